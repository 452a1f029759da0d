// What a header may announce, and what it announced.
#pragma once

#include <cstdint>

namespace veclip {

// Checked against the header before memory that grows with the announced size is taken.
struct Limits {
  std::int64_t max_pixels = 64'000'000;
  int max_side = 16'384;
  std::int64_t max_bytes = 32ll << 20;
};

enum class ImageFormat : std::uint8_t { kJpeg, kPng, kWebp };

struct ImageInfo {
  ImageFormat format = ImageFormat::kJpeg;
  int width = 0;
  int height = 0;
  bool progressive = false;  // progressive JPEG
};

}  // namespace veclip
