// The two transforms straight from JPEG data: rows go from the decoder into the resize, and no image stands in memory.
#pragma once

#include "image/jpeg_baseline.hpp"
#include "image/transform.hpp"

namespace veclip {

struct StreamScratch {
  JpegScratch jpeg;
  ResizeScratch resize;
  std::array<std::vector<std::uint8_t>, 3> planes;  // fast mode: each component after the first pass
};

// As crop_and_resize and resize_and_fit on the decoded image. False where our decoder gives up, or the box or
// size is not possible: the slot may have been written to, and the way over decode_rgb has the last word.
bool stream_crop(const JpegFrame& frame, const Box& box, const TransformSpec& spec, StreamScratch& scratch,
                 void* slot) noexcept;
bool stream_fit(const JpegFrame& frame, const TransformSpec& spec, StreamScratch& scratch, void* slot) noexcept;

// The fast mode of the training transform: luma and chroma are cropped and resized in their own resolution and turned
// into RGB afterwards. Chroma's smooth upsampling is part of its weights, so that only rounding and clipping differ
// from the exact pixels.
bool has_small_chroma(const JpegFrame& frame) noexcept;  // without it the exact way is as fast
bool stream_crop_fast(const JpegFrame& frame, const Box& box, const TransformSpec& spec, StreamScratch& scratch,
                      void* slot) noexcept;

}  // namespace veclip
