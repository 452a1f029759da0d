// Image files to RGB pixels, equal to Pillow 11.3's Image.open(BytesIO(data)).convert("RGB").
#pragma once

#include "core/byte_spans.hpp"
#include "core/status.hpp"
#include "image/decode_jpeg.hpp"
#include "image/limits.hpp"
#include "image/types.hpp"

namespace veclip {

// Decodes JPEG, PNG or WebP (first frame), told apart by magic bytes. `scratch` and `out` are reused between calls;
// after a failure the contents of `out` are undefined. Safe to call from many threads, each with its own of both.
Status decode_rgb(Bytes data, const Limits& limits, JpegScratch& scratch, RgbImage& out,
                  JpegTry jpeg = JpegTry::kOwnFirst) noexcept;

// The frame of a JPEG file within the limits that our own decoder is to try first.
std::optional<JpegFrame> own_frame(Bytes data, const Limits& limits) noexcept;

}  // namespace veclip
