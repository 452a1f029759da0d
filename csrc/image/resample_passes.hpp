// What the resamplers share: the two passes of a resize, and the second one over rows in memory.
#pragma once

#include "image/resample.hpp"
#include "image/resample_kernels.hpp"

namespace veclip {

// Buffers only grow: what they hold need not be cleared.
inline void grow(std::vector<std::uint8_t>& buffer, std::size_t bytes) {
  if (buffer.size() < bytes) buffer.resize(bytes);
}

struct Passes {
  const Kernels& kernels;
  std::shared_ptr<const Pass> horizontal;
  std::shared_ptr<const Pass> vertical;
};

// Pillow 13's choice, recovered by probing and checked against it (docs/decisions/0020). Sizes are those of the whole
// resize, not of the window.
bool vertical_comes_first(int in_width, int in_height, const ResizeWindow& window, PassOrder order) noexcept;

bool is_valid(int in_width, int in_height, const ResizeWindow& window) noexcept;

// Pointers to the input rows of one output row; row `first_row` of the image is row 0 of `rows`.
const std::uint8_t* const* tap_rows(const AxisTable& table, std::size_t out_row, const ImageView& rows, int first_row,
                                    std::vector<const std::uint8_t*>& taps);

// The rows that the vertical pass needs, resized horizontally into scratch.between, to the sink.
void finish_vertically(const Passes& passes, ResizeScratch& scratch, RowSink& sink);

}  // namespace veclip
