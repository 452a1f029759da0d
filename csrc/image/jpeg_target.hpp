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

// Receives the samples of each component as they are, before upsampling and colour.
class SampleTarget {
 public:
  virtual ~SampleTarget() = default;
  // `count` rows of component `component`, from the component's row y on, all its columns. Rows come in order; those
  // that the region does not need may be left out. kSampleSlack readable bytes before and behind each row.
  virtual void rows(std::size_t component, int y, const PlaneRows& rows) noexcept = 0;
};

}  // namespace veclip
