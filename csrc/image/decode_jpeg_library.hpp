// JPEG through libjpeg-turbo, fed in the portions that Pillow feeds.
#pragma once

#include "core/byte_spans.hpp"
#include "core/status.hpp"
#include "image/jpeg_header.hpp"
#include "image/types.hpp"

namespace veclip {

// `header` must come from read_jpeg_header(data) and be within the limits.
Status decode_jpeg_by_library(Bytes data, const JpegHeader& header, RgbImage& out) noexcept;

}  // namespace veclip
