// What a header may announce, and what it announced.
#pragma once

#include <cstdint>

#include "core/status.hpp"

namespace veclip {

// Checked against the header before memory that grows with the announced size is taken.
struct Limits {
  std::int64_t max_pixels = 64'000'000;
  int max_side = 16'384;
  std::int64_t max_bytes = 32ll << 20;
};

// 64 bits, because some headers announce more than an int holds.
constexpr Status check_size(std::int64_t width, std::int64_t height, const Limits& limits) noexcept {
  if (width <= 0 || height <= 0) return Status::kCorrupt;
  if (width > limits.max_side || height > limits.max_side) return Status::kSideTooLarge;
  if (width * height > limits.max_pixels) return Status::kTooManyPixels;
  return Status::kOk;
}

enum class ImageFormat : std::uint8_t { kJpeg, kPng, kWebp };

struct ImageInfo {
  ImageFormat format = ImageFormat::kJpeg;
  int width = 0;
  int height = 0;
  bool progressive = false;  // progressive JPEG
};

}  // namespace veclip
