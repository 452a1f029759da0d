#include "image/crop.hpp"

#include <cmath>

namespace veclip {

namespace {

constexpr std::uint32_t kTries = 10;

// Python's round() gives halves to the even neighbour, as the default rounding mode does.
double python_round(double value) noexcept { return std::nearbyint(value); }

// Compared as doubles: a wide ratio can give sides that no int holds.
bool fits(double side, int limit) noexcept { return side > 0 && side <= limit; }

Box centred(int width, int height, int box_width, int box_height) noexcept {
  return {(width - box_width) / 2, (height - box_height) / 2, box_width, box_height};
}

// The image itself if its ratio is allowed, else the largest centred box of the nearest allowed ratio.
Box fallback(int width, int height, const Range& ratio) noexcept {
  const double in_ratio = static_cast<double>(width) / static_cast<double>(height);
  if (in_ratio < ratio.low) return centred(width, height, width, static_cast<int>(python_round(width / ratio.low)));
  if (in_ratio > ratio.high) return centred(width, height, static_cast<int>(python_round(height * ratio.high)), height);
  return {0, 0, width, height};
}

}  // namespace

Box random_resized_crop(int width, int height, const DrawKey& key, const CropLaw& law) noexcept {
  if (width < 1 || height < 1) return {};
  const double area = static_cast<double>(width) * height;
  const double log_low = std::log(law.ratio.low);
  const double log_high = std::log(law.ratio.high);
  for (std::uint32_t attempt = 0; attempt < kTries; ++attempt) {
    const PhiloxCounter words = draw_words(key, Purpose::kCrop, attempt);
    const double target = area * (law.scale.low + uniform(words[0]) * (law.scale.high - law.scale.low));
    const double aspect = std::exp(log_low + uniform(words[1]) * (log_high - log_low));
    const double w = python_round(std::sqrt(target * aspect));
    const double h = python_round(std::sqrt(target / aspect));
    if (!fits(w, width) || !fits(h, height)) continue;
    const int box_width = static_cast<int>(w);
    const int box_height = static_cast<int>(h);
    const auto top = below(words[2], static_cast<std::uint32_t>(height - box_height) + 1);
    const auto left = below(words[3], static_cast<std::uint32_t>(width - box_width) + 1);
    return {static_cast<std::int32_t>(left), static_cast<std::int32_t>(top), box_width, box_height};
  }
  return fallback(width, height, law.ratio);
}

}  // namespace veclip
