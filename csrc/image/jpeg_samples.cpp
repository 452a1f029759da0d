#include "image/jpeg_samples.hpp"

#include <algorithm>
#include <cstring>

namespace veclip {

namespace {

int divide_up(int value, int by) noexcept { return (value + by - 1) / by; }

void prepare_strip(Strip& strip, int mcus, const JpegComponent& component, int first_column, int end_column) {
  const std::size_t blocks = static_cast<std::size_t>(mcus * component.across);
  strip.first = static_cast<std::size_t>(first_column / kBlockSide);
  strip.blocks = static_cast<std::size_t>(divide_up(end_column, kBlockSide)) - strip.first;
  strip.stride = (blocks * kBlockSide + kSampleSlack + 63) / 64 * 64;
  strip.rows = component.down * kBlockSide;
  const std::size_t bytes = strip.stride * static_cast<std::size_t>(strip.rows + 1) + 2 * kSampleSlack;
  if (strip.samples.size() < bytes) strip.samples.resize(bytes);
}

}  // namespace

void SampleRows::prepare(const JpegFrame& frame, const Box& region) {
  region_ = region;
  components_ = frame.components;
  height_ = frame.height;
  mcu_rows_ = frame.mcu_rows();
  across_ = frame.across();
  down_ = frame.down();
  const int right = region.left + region.width;
  prepare_strip(strips_[0], frame.mcus_per_row(), frame.component[0], region.left, right);
  strips_[0].height = frame.height;
  const int chroma_columns = divide_up(frame.width, across_);
  const int first = across_ == 1 ? region.left : std::max(0, region.left / across_ - 1);
  const int end = across_ == 1 ? right : std::min(chroma_columns, divide_up(right, across_) + 1);
  chroma_first_ = static_cast<std::size_t>(first);
  chroma_width_ = static_cast<std::size_t>(end - first);
  for (std::size_t c = 1; c < static_cast<std::size_t>(components_); ++c) {
    prepare_strip(strips_[c], frame.mcus_per_row(), frame.component[c], first, end);
    strips_[c].height = divide_up(frame.height, down_);
    const std::size_t bytes = chroma_width_ * static_cast<std::size_t>(across_) + 2 * kSampleSlack;
    if (upsampled_[c].size() < bytes) upsampled_[c].resize(bytes);
  }
}

bool SampleRows::needs(int mcu_row) const noexcept {
  const int rows = down_ * kBlockSide;
  return (mcu_row + 1) * rows >= region_.top && mcu_row * rows <= region_.top + region_.height;
}

void SampleRows::emit(int mcu_row, const JpegKernels& kernels, RgbTarget& target) noexcept {
  const int rows = down_ * kBlockSide;
  const int delay = down_ - 1;  // the last row of a pair needs chroma from below
  const int from = std::max(region_.top, mcu_row * rows - delay);
  const int complete = mcu_row + 1 == mcu_rows_ ? height_ : (mcu_row + 1) * rows - delay;
  const int to = std::min(region_.top + region_.height, complete);
  for (int y = from; y < to; ++y) emit_row(y, mcu_row, kernels, target);
  if (delay == 0) return;
  for (std::size_t c = 0; c < static_cast<std::size_t>(components_); ++c) {
    Strip& strip = strips_[c];
    std::memcpy(strip.row(-1), strip.row(strip.rows - 1), strip.stride);
  }
}

void SampleRows::emit(int mcu_row, SampleTarget& target) noexcept {
  for (std::size_t c = 0; c < static_cast<std::size_t>(components_); ++c) {
    Strip& strip = strips_[c];
    const int y = mcu_row * strip.rows;
    const auto count = static_cast<std::size_t>(std::min(strip.rows, strip.height - y));
    target.rows(c, y, {strip.row(0), count, strip.stride});
  }
}

const std::uint8_t* SampleRows::chroma(std::size_t component, int y, int mcu_row, const JpegKernels& kernels) noexcept {
  Strip& strip = strips_[component];
  const int top = mcu_row * strip.rows;
  const int near = y / down_;
  if (down_ == 1 && across_ == 1) return strip.row(near - top) + region_.left;
  const int far = down_ == 1 ? near : std::clamp(near + (y % 2 == 0 ? -1 : 1), 0, strip.height - 1);
  const ChromaRows rows{strip.row(near - top) + chroma_first_, strip.row(far - top) + chroma_first_, chroma_width_};
  std::uint8_t* const out = upsampled_[component].data();
  if (across_ == 1) {
    kernels.between(rows, y % 2 == 0 ? 1 : 2, out);
    return out;
  }
  (down_ == 1 ? kernels.widen : kernels.widen_between)(rows, out);
  return out + static_cast<std::size_t>(region_.left) - 2 * chroma_first_;
}

void SampleRows::emit_row(int y, int mcu_row, const JpegKernels& kernels, RgbTarget& target) noexcept {
  const int row = y - region_.top;
  const RgbRow out = target.room(row);
  const auto width = static_cast<std::size_t>(region_.width);
  const std::uint8_t* const luma = strips_[0].row(y - mcu_row * strips_[0].rows) + region_.left;
  if (components_ == 1) {
    for (std::uint8_t* const plane : {out.r, out.g, out.b}) std::memcpy(plane, luma, width);
  } else {
    kernels.to_rgb({luma, chroma(1, y, mcu_row, kernels), chroma(2, y, mcu_row, kernels)}, width, out);
  }
  target.filled(row);
}

}  // namespace veclip
