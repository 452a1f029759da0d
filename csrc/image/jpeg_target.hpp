// Where decoded rows go.
#pragma once

#include "image/jpeg_kernels.hpp"

namespace veclip {

// Receives the rows of the region that was asked for, from top to bottom; row 0 is the region's first.
class RgbTarget {
 public:
  virtual ~RgbTarget() = default;
  // Room for row y: three planes of the region's width, each with kSampleSlack bytes behind it.
  virtual RgbRow room(int y) noexcept = 0;
  // Row y is written.
  virtual void filled(int y) noexcept = 0;
};

}  // namespace veclip
