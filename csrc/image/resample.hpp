// Antialiased, separable resampling, bit for bit as Pillow's Image.resize computes it.
#pragma once

#include <vector>

#include "image/resample_table.hpp"
#include "image/types.hpp"

namespace veclip {

// Which of the two passes comes first; the 8-bit intermediate makes the order visible in the result.
enum class PassOrder {
  kPillow11,  // horizontal, then vertical (Pillow up to 12)
  kPillow13,  // vertical first where that saves work (python-pillow/Pillow#9549)
};

// Resizes the whole of `in` to out_w x out_h (bicubic). kBadArgument for sides < 1. `in` must not be a view of `out`.
Status resize_rgb(const ImageView& in, int out_w, int out_h, PassOrder order, RgbImage& out);

// A resize of which only a rectangle is wanted: its pixels are those of the whole result, the rest is not computed.
struct ResizeWindow {
  int full_width = 0;
  int full_height = 0;
  int left = 0;
  int top = 0;
  int width = 0;
  int height = 0;
  Filter filter = Filter::kBicubic;

  Axis across(int in_width) const noexcept {
    return {.in = in_width, .out = full_width, .first = left, .count = width, .filter = filter};
  }
  Axis down(int in_height) const noexcept {
    return {.in = in_height, .out = full_height, .first = top, .count = height, .filter = filter};
  }
};

// Receives the rows of a result from top to bottom.
class RowSink {
 public:
  virtual ~RowSink() = default;
  // planes: `width` reds, then as many greens, then blues.
  virtual void row(int y, const std::uint8_t* planes) noexcept = 0;
};

// Memory that one image after another reuses; one per thread.
struct ResizeScratch {
  std::vector<std::uint8_t> planes;   // rows that wait for the first pass
  std::vector<std::uint8_t> between;  // what the first pass leaves for the second
  std::vector<std::uint8_t> row;      // one finished row
  std::vector<std::uint8_t> copy;     // one input row with slack behind it
  std::vector<const std::uint8_t*> taps;
};

Status resize_window(const ImageView& in, const ResizeWindow& window, PassOrder order, ResizeScratch& scratch,
                     RowSink& sink) noexcept;

}  // namespace veclip
