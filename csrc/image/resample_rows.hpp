// A resize of rows that arrive one after another, so that the image never stands in memory as a whole.
#pragma once

#include "image/jpeg_target.hpp"
#include "image/resample_passes.hpp"

namespace veclip {

// Takes all rows of an image of width x height pixels in order, then finish() sends the window to the sink.
// The constructor and finish() throw std::bad_alloc.
class RowResizer final : public RgbTarget {
 public:
  struct Size {
    int width;
    int height;
  };

  RowResizer(Size in, const ResizeWindow& window, PassOrder order, ResizeScratch& scratch, RowSink& sink);

  RgbRow room(int y) noexcept override;
  void filled(int y) noexcept override;
  void finish();

 private:
  void flush() noexcept;
  void finish_vertical_first();
  std::size_t row_bytes() const noexcept { return passes_.horizontal->table.start.size() * kChannels; }

  ResizeScratch& scratch_;
  RowSink& sink_;
  const Passes passes_;
  const bool vertical_first_;
  const Size in_;
  const std::size_t plane_;  // bytes from one plane of a row to the next
  std::size_t waiting_ = 0;  // rows in scratch.planes
  std::size_t done_ = 0;     // rows in scratch.between
};

}  // namespace veclip
