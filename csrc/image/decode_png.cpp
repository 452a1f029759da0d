#include "image/decode_png.hpp"

#include <cstring>
#include <memory>
#include <new>
#include <utility>

#include "image/inflate.hpp"
#include "image/png_rows.hpp"

namespace veclip {

namespace {

// Adam7; a picture that is not interlaced is one pass that takes every pixel.
struct Pass {
  int first_x, first_y, step_x, step_y;
};
constexpr Pass kWhole[] = {{0, 0, 1, 1}};
constexpr Pass kAdam7[] = {{0, 0, 8, 8}, {4, 0, 8, 8}, {0, 4, 4, 8}, {2, 0, 4, 4},
                           {0, 2, 2, 4}, {1, 0, 2, 2}, {0, 1, 1, 2}};

std::int64_t steps(std::int64_t size, int first, int step) noexcept {
  return size > first ? (size - first + step - 1) / step : 0;
}

// Receives the unpacked stream byte by byte and puts finished rows into the image.
class RowSink {
 public:
  RowSink(const PngHeader& header, const PngRect& rect, const PngPalette& palette, RgbImage& out) noexcept
      : pixels_(header.pixels), rect_(rect), palette_(palette), out_(out), interlaced_(header.interlaced) {
    // Pillow forgets the frame's place when it is interlaced.
    if (interlaced_) rect_.x = rect_.y = 0;
  }

  Status begin() noexcept {
    const std::size_t capacity = row_bytes(rect_.width) + 1;
    rows_.reset(new (std::nothrow) std::uint8_t[2 * capacity]());
    if (!rows_) return Status::kOutOfMemory;
    current_ = rows_.get();
    above_ = rows_.get() + capacity;
    capacity_ = capacity;
    if (interlaced_ || rect_.width < out_.width() || rect_.height < out_.height()) blank(0, out_.height());
    return Status::kOk;
  }
  std::uint8_t* room() noexcept { return current_ + filled_; }
  std::size_t room_size() const noexcept { return row_bytes(columns()) + 1 - filled_; }
  bool complete() const noexcept { return complete_; }

  // True once the row is full and has been taken.
  Status advance(std::size_t produced, bool& row_done) noexcept {
    filled_ += produced;
    row_done = room_size() == 0;
    if (!row_done) return Status::kOk;
    const std::size_t step = static_cast<std::size_t>(bits_per_pixel(pixels_) + 7) / 8;
    const Status status = undo_filter(current_, above_, filled_ - 1, step);
    if (status != Status::kOk) return status;
    std::uint8_t* first =
        out_.row(static_cast<int>(rect_.y + y())) + static_cast<std::size_t>(rect_.x + pass().first_x) * kChannels;
    unpack_row(pixels_, palette_, current_ + 1, columns(), first, static_cast<std::size_t>(pass().step_x) * kChannels);
    next_row();
    return Status::kOk;
  }
  // What a stream that ends early leaves out is zeros to Pillow.
  void end_early() noexcept {
    if (!interlaced_ && rect_.height == out_.height()) blank(static_cast<int>(y()), out_.height());
  }

 private:
  const Pass& pass() const noexcept { return interlaced_ ? kAdam7[pass_] : kWhole[0]; }
  int pass_count() const noexcept { return interlaced_ ? 7 : 1; }
  std::int64_t columns() const noexcept { return steps(rect_.width, pass().first_x, pass().step_x); }
  std::int64_t rows() const noexcept { return steps(rect_.height, pass().first_y, pass().step_y); }
  std::int64_t y() const noexcept { return pass().first_y + row_ * pass().step_y; }
  std::size_t row_bytes(std::int64_t width) const noexcept {
    return static_cast<std::size_t>(width * bits_per_pixel(pixels_) + 7) / 8;
  }

  void next_row() noexcept {
    filled_ = 0;
    ++row_;
    const int before = pass_;
    while (!complete_ && (row_ >= rows() || columns() == 0)) {
      row_ = 0;
      complete_ = ++pass_ == pass_count();
    }
    if (pass_ != before) std::memset(current_, 0, capacity_);  // the row above a pass's first is black
    std::swap(current_, above_);
  }
  void blank(int from, int to) noexcept {
    for (int y = from; y < to; ++y) {
      std::uint8_t* row = out_.row(y);
      const std::uint8_t zeros[8] = {};
      for (int x = 0; x < out_.width(); ++x) unpack_row(pixels_, palette_, zeros, 1, row + x * kChannels, kChannels);
    }
  }

  const PngPixels pixels_;
  PngRect rect_;
  const PngPalette& palette_;
  RgbImage& out_;
  const bool interlaced_;
  std::unique_ptr<std::uint8_t[]> rows_;
  std::uint8_t* current_ = nullptr;
  std::uint8_t* above_ = nullptr;
  std::size_t capacity_ = 0;
  std::size_t filled_ = 0;
  std::int64_t row_ = 0;
  int pass_ = 0;
  bool complete_ = false;
};

// Inflates one portion. A stream that ends after a whole row ends the image; one that ends within a row goes on
// asking for data, which is how Pillow notices.
Status consume(Inflater& inflater, RowSink& sink, bool& done) noexcept {
  while (inflater.input_left() > 0) {
    std::size_t produced = 0;
    const int code = inflater.run(sink.room(), sink.room_size(), produced);
    if (code < 0 || code == Z_NEED_DICT) return code == Z_MEM_ERROR ? Status::kOutOfMemory : Status::kCorrupt;
    bool row_done = false;
    if (const Status status = sink.advance(produced, row_done); status != Status::kOk) return status;
    if (!row_done) return Status::kOk;
    done = sink.complete() || code == Z_STREAM_END;
    if (done) return Status::kOk;
  }
  return Status::kOk;
}

Status read_pixels(PngStream& stream, RowSink& sink) noexcept {
  Inflater inflater;
  if (!inflater.ready()) return Status::kOutOfMemory;
  for (bool done = false; !done;) {
    Bytes portion;
    if (const Status status = stream.next_portion(portion); status != Status::kOk) return status;
    inflater.give(portion);
    if (const Status status = consume(inflater, sink, done); status != Status::kOk) return status;
  }
  if (!sink.complete()) sink.end_early();
  return Status::kOk;
}

}  // namespace

Status decode_png(PngStream& stream, RgbImage& out) noexcept {
  const PngHeader& header = stream.header();
  const PngRect rect = stream.frame();
  if (rect.width <= 0 || rect.height <= 0 || rect.x + rect.width > header.width ||
      rect.y + rect.height > header.height) {
    return Status::kCorrupt;
  }
  PngPalette palette;
  if (const Status status = make_palette(header.palette, palette); status != Status::kOk) return status;
  if (const Status status = out.reset(static_cast<int>(header.width), static_cast<int>(header.height));
      status != Status::kOk) {
    return status;
  }
  RowSink sink(header, rect, palette, out);
  if (const Status status = sink.begin(); status != Status::kOk) return status;
  if (const Status status = read_pixels(stream, sink); status != Status::kOk) return status;
  if (const Status status = stream.read_tail(); status != Status::kOk) return status;
  return stream.transparent_index_without_palette() ? Status::kCorrupt : Status::kOk;
}

}  // namespace veclip
