#include "image/resample_passes.hpp"

#include <algorithm>

namespace veclip {

bool vertical_comes_first(int in_width, int in_height, const ResizeWindow& window, PassOrder order) noexcept {
  const std::int64_t rows_lost = in_height - window.full_height;
  const std::int64_t columns_lost = in_width - window.full_width;
  return order == PassOrder::kPillow13 && rows_lost > 0 && rows_lost > 2 * columns_lost;
}

bool is_valid(int in_width, int in_height, const ResizeWindow& w) noexcept {
  const auto inside = [](int first, int count, int full) { return first >= 0 && count >= 1 && count <= full - first; };
  return in_width >= 1 && in_height >= 1 && w.full_width >= 1 && w.full_height >= 1 &&
         inside(w.left, w.width, w.full_width) && inside(w.top, w.height, w.full_height);
}

// Where the table points past the last row its weights are zero, and any readable row will do.
const std::uint8_t* const* tap_rows(const AxisTable& table, std::size_t out_row, const ImageView& rows, int first_row,
                                    std::vector<const std::uint8_t*>& taps) {
  taps.resize(static_cast<std::size_t>(table.taps));
  const int start = table.start[out_row] - first_row;
  for (int t = 0; t < table.taps; ++t)
    taps[static_cast<std::size_t>(t)] = rows.row(std::min(start + t, rows.height - 1));
  return taps.data();
}

void finish_vertically(const Passes& passes, ResizeScratch& scratch, RowSink& sink) {
  const AxisTable& down = passes.vertical->table;
  const std::size_t row_bytes = passes.horizontal->table.start.size() * kChannels;
  const int first_row = down.begin();
  const ImageView between{scratch.between.data(), static_cast<int>(row_bytes / kChannels), down.end() - first_row,
                          row_bytes};
  for (std::size_t y = 0; y < down.start.size(); ++y) {
    if (down.axis.is_identity()) {
      sink.row(static_cast<int>(y), between.row(down.axis.first + static_cast<int>(y) - first_row));
      continue;
    }
    const auto* rows = tap_rows(down, y, between, first_row, scratch.taps);
    passes.kernels.vertical(*passes.vertical, y, rows, row_bytes, scratch.row.data());
    sink.row(static_cast<int>(y), scratch.row.data());
  }
}

}  // namespace veclip
