// JPEG files to RGB pixels, by our own decoder or libjpeg-turbo: the same pixels, the same refusals.
#pragma once

#include "image/jpeg_baseline.hpp"
#include "image/types.hpp"

namespace veclip {

// kNotOwn: our decoder has given up on this file before.
enum class JpegTry { kOwnFirst, kNotOwn };

// `header` must come from read_jpeg_header(data) and be within the limits.
Status decode_jpeg(Bytes data, const JpegHeader& header, JpegTry tries, JpegScratch& scratch, RgbImage& out) noexcept;

// The frame of a file that our own decoder is to try first.
std::optional<JpegFrame> own_frame(Bytes data, const JpegHeader& header) noexcept;

}  // namespace veclip
