// The resize of one plane whose rows arrive one after another.
#pragma once

#include "image/resample_passes.hpp"

namespace veclip {

class PlaneResizer {
 public:
  // Both axes of the resize, and the first column of the rows that will arrive. Throws std::bad_alloc.
  PlaneResizer(const Axis& across, const Axis& down, std::size_t column, std::vector<std::uint8_t>& between);

  // Rows y to y + rows.rows - 1 of the resized part (y may be negative), in order; what is not needed is passed over.
  void take(int y, const PlaneRows& rows) noexcept;
  // Output row y, of across.count samples.
  void row(std::size_t y, std::vector<const std::uint8_t*>& taps, std::uint8_t* out) const;

 private:
  std::size_t row_bytes() const noexcept { return across_->table.start.size(); }

  const Kernels& kernels_;
  const std::shared_ptr<const Pass> across_;
  const std::shared_ptr<const Pass> down_;
  const std::size_t column_;
  std::vector<std::uint8_t>& between_;
};

}  // namespace veclip
