#include "image/resample_plane.hpp"

#include <algorithm>

namespace veclip {

PlaneResizer::PlaneResizer(const Axis& across, const Axis& down, std::size_t column, std::vector<std::uint8_t>& between)
    : kernels_(current_kernels()),
      across_(get_pass(kernels_, Direction::kAcrossPlanes, across)),
      down_(get_pass(kernels_, Direction::kVertical, down)),
      column_(column),
      between_(between) {
  grow(between_, static_cast<std::size_t>(down_->table.end() - down_->table.begin()) * row_bytes());
}

void PlaneResizer::take(int y, const PlaneRows& rows) noexcept {
  const AxisTable& down = down_->table;
  const int from = std::max(y, down.begin());
  const int to = std::min(y + static_cast<int>(rows.rows), down.end());
  if (from >= to) return;
  const PlaneRows needed{rows.data + static_cast<std::size_t>(from - y) * rows.stride + column_,
                         static_cast<std::size_t>(to - from), rows.stride};
  kernels_.across_planes(*across_, needed,
                         between_.data() + static_cast<std::size_t>(from - down.begin()) * row_bytes());
}

void PlaneResizer::row(std::size_t y, std::vector<const std::uint8_t*>& taps, std::uint8_t* out) const {
  const AxisTable& down = down_->table;
  taps.resize(static_cast<std::size_t>(down.taps));
  const int start = down.start[y] - down.begin();
  const int last = down.end() - down.begin() - 1;
  for (int t = 0; t < down.taps; ++t) {
    taps[static_cast<std::size_t>(t)] =
        between_.data() + static_cast<std::size_t>(std::min(start + t, last)) * row_bytes();
  }
  kernels_.vertical(*down_, y, taps.data(), row_bytes(), out);
}

}  // namespace veclip
