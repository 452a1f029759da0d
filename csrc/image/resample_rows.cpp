#include "image/resample_rows.hpp"

namespace veclip {

namespace {

constexpr std::size_t kRowsAtOnce = 16;  // that stay in the first cache until they are resized

Passes make_passes(const RowResizer::Size& in, const ResizeWindow& window) {
  const Kernels& kernels = current_kernels();
  return {kernels, get_pass(kernels, Direction::kAcrossPlanes, window.across(in.width)),
          get_pass(kernels, Direction::kVertical, window.down(in.height))};
}

// Vectors read past a row's end, and a row's begin should not share a cache line with another's.
constexpr std::size_t plane_bytes(int width) noexcept {
  return (static_cast<std::size_t>(width) + 63) / 64 * 64 + kSampleSlack;
}

}  // namespace

RowResizer::RowResizer(Size in, const ResizeWindow& window, PassOrder order, ResizeScratch& scratch, RowSink& sink)
    : scratch_(scratch),
      sink_(sink),
      passes_(make_passes(in, window)),
      vertical_first_(vertical_comes_first(in.width, in.height, window, order)),
      in_(in),
      plane_(plane_bytes(in.width)) {
  const AxisTable& down = passes_.vertical->table;
  const std::size_t rows = vertical_first_ ? static_cast<std::size_t>(in.height) : kRowsAtOnce;
  grow(scratch.planes, rows * kChannels * plane_ + kSampleSlack);
  grow(scratch.between, vertical_first_ ? kChannels * plane_ + kSampleSlack
                                        : static_cast<std::size_t>(down.end() - down.begin()) * row_bytes());
  grow(scratch.row, row_bytes());
}

RgbRow RowResizer::room(int) noexcept {
  std::uint8_t* const row = scratch_.planes.data() + waiting_ * kChannels * plane_;
  return {row, row + plane_, row + 2 * plane_};
}

void RowResizer::filled(int y) noexcept {
  const AxisTable& down = passes_.vertical->table;
  if (vertical_first_) {
    ++waiting_;
  } else if (y >= down.begin() && y < down.end()) {
    ++waiting_;
    if (waiting_ == kRowsAtOnce || y + 1 == down.end()) flush();
  }
}

void RowResizer::flush() noexcept {
  passes_.kernels.across_planes(*passes_.horizontal, {scratch_.planes.data(), waiting_ * kChannels, plane_},
                                scratch_.between.data() + done_ * row_bytes());
  done_ += waiting_;
  waiting_ = 0;
}

void RowResizer::finish_vertical_first() {
  const AxisTable& down = passes_.vertical->table;
  const ImageView rows{scratch_.planes.data(), in_.width, in_.height, kChannels * plane_};
  for (std::size_t y = 0; y < down.start.size(); ++y) {
    const auto* taps = tap_rows(down, y, rows, 0, scratch_.taps);
    passes_.kernels.vertical(*passes_.vertical, y, taps, kChannels * plane_, scratch_.between.data());
    passes_.kernels.across_planes(*passes_.horizontal, {scratch_.between.data(), kChannels, plane_},
                                  scratch_.row.data());
    sink_.row(static_cast<int>(y), scratch_.row.data());
  }
}

void RowResizer::finish() { vertical_first_ ? finish_vertical_first() : finish_vertically(passes_, scratch_, sink_); }

}  // namespace veclip
