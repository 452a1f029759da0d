// Format, size and limits from the first bytes of a file, without decoding.
#pragma once

#include "core/byte_spans.hpp"
#include "core/status.hpp"
#include "image/limits.hpp"

namespace veclip {

// Reads the header that announces the size and checks it against the limits. Takes no memory.
Status probe(Bytes data, const Limits& limits, ImageInfo& out) noexcept;

}  // namespace veclip
