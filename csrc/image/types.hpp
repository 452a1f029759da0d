// Pixels in memory: RGB, 8 bits a channel, interleaved, rows top to bottom.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <new>

#include "core/status.hpp"

namespace veclip {

inline constexpr std::size_t kChannels = 3;

// Someone else's pixels; only the bytes [row, row + 3 * width) of each row may be read.
struct ImageView {
  const std::uint8_t* data = nullptr;
  int width = 0;
  int height = 0;
  std::size_t stride = 0;  // bytes from one row to the next

  const std::uint8_t* row(int y) const noexcept { return data + static_cast<std::size_t>(y) * stride; }
};

// Owned pixels without gaps between rows. The buffer only grows, so that one image after another reuses it.
class RgbImage {
 public:
  // Makes room for width x height; what the pixels hold afterwards is unspecified.
  Status reset(int width, int height) noexcept {
    if (width <= 0 || height <= 0) return Status::kBadArgument;
    const std::size_t bytes = static_cast<std::size_t>(width) * static_cast<std::size_t>(height) * kChannels;
    if (bytes > capacity_) {
      buffer_.reset();
      capacity_ = 0;
      buffer_.reset(new (std::nothrow) std::uint8_t[bytes]);
      if (!buffer_) {
        width_ = height_ = 0;
        return Status::kOutOfMemory;
      }
      capacity_ = bytes;
    }
    width_ = width;
    height_ = height;
    return Status::kOk;
  }

  int width() const noexcept { return width_; }
  int height() const noexcept { return height_; }
  std::size_t stride() const noexcept { return static_cast<std::size_t>(width_) * kChannels; }
  std::size_t capacity() const noexcept { return capacity_; }
  std::uint8_t* data() noexcept { return buffer_.get(); }
  const std::uint8_t* data() const noexcept { return buffer_.get(); }
  std::uint8_t* row(int y) noexcept { return data() + static_cast<std::size_t>(y) * stride(); }
  ImageView view() const noexcept { return {data(), width_, height_, stride()}; }

 private:
  std::unique_ptr<std::uint8_t[]> buffer_;
  std::size_t capacity_ = 0;
  int width_ = 0;
  int height_ = 0;
};

}  // namespace veclip
