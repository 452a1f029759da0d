// JPEG to baseline JPEG without touching a coefficient.
#pragma once

#include "core/byte_spans.hpp"
#include "core/status.hpp"
#include "image/encode_jpeg.hpp"
#include "image/jpeg_header.hpp"

namespace veclip {

// Drops metadata but the JFIF and Adobe markers that say how colours are stored. `header` must come from
// read_jpeg_header(data) and be within the limits. The pixels are the same unless decoders smooth what a progressive
// file left out: compare before the result is used.
Status transcode_to_baseline(Bytes data, const JpegHeader& header, OwnedBytes& out) noexcept;

}  // namespace veclip
