#include "image/resample.hpp"

#include <exception>

#include "image/resample_passes.hpp"

namespace veclip {

namespace {

// The columns that the horizontal pass reads need not be the whole row; the vertical pass works on those alone.
struct Columns {
  std::size_t offset;
  std::size_t bytes;
};

Columns needed_columns(const AxisTable& table) noexcept {
  const std::size_t begin = static_cast<std::size_t>(table.begin()) * kChannels;
  return {begin, static_cast<std::size_t>(table.end()) * kChannels - begin};
}

void horizontal_first(const ImageView& in, const Passes& passes, ResizeScratch& scratch, RowSink& sink) {
  const AxisTable& down = passes.vertical->table;
  const std::size_t row_bytes = passes.horizontal->table.start.size() * kChannels;
  const int first_row = down.begin();
  const ImageView needed{in.row(first_row), in.width, down.end() - first_row, in.stride};
  grow(scratch.between, static_cast<std::size_t>(needed.height) * row_bytes);
  passes.kernels.horizontal(*passes.horizontal, needed, scratch.between.data(), scratch.copy.data());
  finish_vertically(passes, scratch, sink);
}

void vertical_first(const ImageView& in, const Passes& passes, ResizeScratch& scratch, RowSink& sink) {
  const AxisTable& down = passes.vertical->table;
  const Columns columns = needed_columns(passes.horizontal->table);
  const std::size_t stride = static_cast<std::size_t>(in.width) * kChannels;
  grow(scratch.between, stride);
  const ImageView needed{in.data + columns.offset, in.width, in.height, in.stride};
  const ImageView between{scratch.between.data(), in.width, 1, stride};
  for (std::size_t y = 0; y < down.start.size(); ++y) {
    const auto* rows = tap_rows(down, y, needed, 0, scratch.taps);
    passes.kernels.vertical(*passes.vertical, y, rows, columns.bytes, scratch.between.data() + columns.offset);
    passes.kernels.horizontal(*passes.horizontal, between, scratch.row.data(), scratch.copy.data());
    sink.row(static_cast<int>(y), scratch.row.data());
  }
}

void run(const ImageView& in, const ResizeWindow& window, PassOrder order, ResizeScratch& scratch, RowSink& sink) {
  const Kernels& kernels = current_kernels();
  const Passes passes{kernels, get_pass(kernels, Direction::kHorizontal, window.across(in.width)),
                      get_pass(kernels, Direction::kVertical, window.down(in.height))};
  grow(scratch.row, static_cast<std::size_t>(window.width) * kChannels);
  grow(scratch.copy, horizontal_scratch(in.width));
  const auto pipeline = vertical_comes_first(in.width, in.height, window, order) ? vertical_first : horizontal_first;
  pipeline(in, passes, scratch, sink);
}

class InterleavingSink final : public RowSink {
 public:
  explicit InterleavingSink(RgbImage& out) : out_(out) {}
  void row(int y, const std::uint8_t* planes) noexcept override {
    std::uint8_t* pixel = out_.row(y);
    const std::size_t width = static_cast<std::size_t>(out_.width());
    for (std::size_t x = 0; x < width; ++x, pixel += kChannels) {
      for (std::size_t c = 0; c < kChannels; ++c) pixel[c] = planes[c * width + x];
    }
  }

 private:
  RgbImage& out_;
};

}  // namespace

Status resize_window(const ImageView& in, const ResizeWindow& window, PassOrder order, ResizeScratch& scratch,
                     RowSink& sink) noexcept {
  if (in.data == nullptr || !is_valid(in.width, in.height, window)) return Status::kBadArgument;
  try {
    run(in, window, order, scratch, sink);
  } catch (const std::exception&) {  // nothing in there throws but failed allocations
    return Status::kOutOfMemory;
  }
  return Status::kOk;
}

Status resize_rgb(const ImageView& in, int out_w, int out_h, PassOrder order, RgbImage& out) {
  if (const Status status = out.reset(out_w, out_h); status != Status::kOk) return status;
  ResizeScratch scratch;
  InterleavingSink sink(out);
  return resize_window(in, {out_w, out_h, 0, 0, out_w, out_h}, order, scratch, sink);
}

}  // namespace veclip
