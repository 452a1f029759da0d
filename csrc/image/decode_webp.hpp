// WebP's first frame through libwebp, as Pillow's WebPImagePlugin shows it.
#pragma once

#include "core/byte_spans.hpp"
#include "core/status.hpp"
#include "image/types.hpp"

namespace veclip {

struct WebpHeader {
  int width = 0;  // of the canvas
  int height = 0;
};

// Reads the first chunk only. Takes no memory.
Status read_webp_header(Bytes data, WebpHeader& out) noexcept;

// `header` must come from read_webp_header(data) and be within the limits. Alpha is dropped, not blended.
Status decode_webp(Bytes data, const WebpHeader& header, RgbImage& out) noexcept;

}  // namespace veclip
