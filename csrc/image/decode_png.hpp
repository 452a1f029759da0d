// PNG over zlib alone: what Pillow makes of damaged files differs from what libpng makes of them.
#pragma once

#include "core/status.hpp"
#include "image/png_stream.hpp"
#include "image/types.hpp"

namespace veclip {

// `stream` must have read its header, and that must be within the limits. Of animations the first frame.
Status decode_png(PngStream& stream, RgbImage& out) noexcept;

}  // namespace veclip
