#include <algorithm>
#include <cstring>
#include <exception>
#include <functional>

#include "image/resample_plane.hpp"
#include "image/slot_sink.hpp"
#include "image/transform_jpeg.hpp"

namespace veclip {

namespace {

// The samples of one axis that a crop needs of a component, and their resize.
struct Cut {
  int first;
  Axis axis;
};

Cut cut_luma(int begin, int length, int size) noexcept {
  return {begin, {.in = length, .out = size, .first = 0, .count = size}};
}

// Of `side` samples, half as many as pixels: also the neighbours that
// upsampling takes from.
Cut cut_chroma(int begin, int length, int size, int side) noexcept {
  const int first = std::max(0, begin / 2 - 1);
  const int end = std::min(side, (begin + length - 1) / 2 + 2);
  return {first,
          {.in = end - first, .out = size, .first = 0, .count = size, .pixels = length, .lead = begin - 2 * first}};
}

class YccResizer final : public SampleTarget {
 public:
  YccResizer(const JpegFrame& frame, const Box& box, int size, StreamScratch& scratch) : scratch_(scratch) {
    for (std::size_t c = 0; c < kChannels; ++c) {
      const bool narrow = c > 0 && frame.across() == 2;
      const bool low = c > 0 && frame.down() == 2;
      const Cut across =
          narrow ? cut_chroma(box.left, box.width, size, (frame.width + 1) / 2) : cut_luma(box.left, box.width, size);
      const Cut down =
          low ? cut_chroma(box.top, box.height, size, (frame.height + 1) / 2) : cut_luma(box.top, box.height, size);
      tops_[c] = down.first;
      planes_[c].emplace(across.axis, down.axis, static_cast<std::size_t>(across.first), scratch.planes[c]);
    }
  }

  void rows(std::size_t component, int y, const PlaneRows& rows) noexcept override {
    planes_[component]->take(y - tops_[component], rows);
  }

  void finish(std::size_t size, RowSink& sink) {
    const std::size_t stride = size + kSampleSlack;
    grow(scratch_.resize.row, 2 * kChannels * stride);
    std::uint8_t* const ycc = scratch_.resize.row.data();
    std::uint8_t* const rgb = ycc + kChannels * stride;
    const JpegKernels& kernels = current_jpeg_kernels();
    for (std::size_t y = 0; y < size; ++y) {
      for (std::size_t c = 0; c < kChannels; ++c) planes_[c]->row(y, scratch_.resize.taps, ycc + c * stride);
      kernels.to_rgb({ycc, ycc + stride, ycc + 2 * stride}, size, {rgb, rgb + stride, rgb + 2 * stride});
      for (std::size_t c = 1; c < kChannels; ++c) std::memmove(rgb + c * size, rgb + c * stride, size);  // no gaps
      sink.row(static_cast<int>(y), rgb);
    }
  }

 private:
  StreamScratch& scratch_;
  std::array<std::optional<PlaneResizer>, kChannels> planes_;
  std::array<int, kChannels> tops_{};
};

}  // namespace

bool has_small_chroma(const JpegFrame& frame) noexcept {
  return frame.components == 3 && frame.across() * frame.down() > 1;
}

bool stream_crop_fast(const JpegFrame& frame, const Box& box, const TransformSpec& spec, StreamScratch& scratch,
                      void* slot) noexcept {
  if (!has_small_chroma(frame) || !contains(frame.width, frame.height, box)) return false;
  const auto run = [&](RowSink& sink) {
    YccResizer resizer(frame, box, spec.size, scratch);
    if (!decode_samples(frame, box, scratch.jpeg, resizer)) return Status::kCorrupt;
    resizer.finish(static_cast<std::size_t>(spec.size), sink);
    return Status::kOk;
  };
  try {
    return with_slot_sink(spec, slot, std::ref(run)) == Status::kOk;
  } catch (const std::exception&) {  // nothing in there throws but failed allocations
    return false;
  }
}

}  // namespace veclip
