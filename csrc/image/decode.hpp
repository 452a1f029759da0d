// Image files to RGB pixels, equal to Pillow 11.3's Image.open(BytesIO(data)).convert("RGB").
#pragma once

#include "core/byte_spans.hpp"
#include "core/status.hpp"
#include "image/limits.hpp"
#include "image/types.hpp"

namespace veclip {

// Decodes JPEG, PNG or WebP (first frame), told apart by magic bytes. `out` is reused between calls; after a failure
// its contents are undefined. Safe to call from many threads with different `out`.
Status decode_rgb(Bytes data, const Limits& limits, RgbImage& out) noexcept;

}  // namespace veclip
