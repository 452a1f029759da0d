#include "image/tf_bilinear.hpp"

#include <algorithm>
#include <cmath>
#include <memory>
#include <new>

#include "image/float16.hpp"

namespace veclip {

namespace {

// What ml-veclip's processor asks the longer side to be at most: more than any image has.
constexpr float kLongest = 100000.0f;

// An output line is its lower input line, and `share` of the way to its upper one.
struct Tap {
  int lower;
  int upper;
  float share;
};

// Output lines begin ... begin + count - 1 of `out_size` made of `in_size`: centres of pixels at halves.
std::unique_ptr<Tap[]> make_taps(int in_size, int out_size, int begin, int count) noexcept {
  std::unique_ptr<Tap[]> taps(new (std::nothrow) Tap[static_cast<std::size_t>(count)]);
  if (!taps) return taps;
  const float scale = static_cast<float>(in_size) / static_cast<float>(out_size);
  for (int i = 0; i < count; ++i) {
    const float at = (static_cast<float>(begin + i) + 0.5f) * scale - 0.5f;
    const float below = std::floor(at);
    const int lower = std::clamp(static_cast<int>(below), 0, in_size - 1);
    const int upper = std::clamp(static_cast<int>(std::ceil(at)), lower, in_size - 1);
    taps[static_cast<std::size_t>(i)] = {lower, upper, at - below};
  }
  return taps;
}

struct Sides {
  int width;
  int height;
};

// preserve_aspect_ratio: both sides times the smaller factor, rounded halves to even.
Sides scaled(int width, int height, int size) noexcept {
  const float w = static_cast<float>(width), h = static_cast<float>(height), s = static_cast<float>(size);
  const float factor = height > width ? std::min(kLongest / h, s / w) : std::min(s / h, kLongest / w);
  return {static_cast<int>(std::nearbyint(factor * w)), static_cast<int>(std::nearbyint(factor * h))};
}

struct Taps {
  std::unique_ptr<Tap[]> x;
  std::unique_ptr<Tap[]> y;
};

// convert(float) -> Pixel
template <typename Pixel, typename Convert>
void sample(const ImageView& in, const Taps& taps, const TransformSpec& spec, Pixel* slot,
            const Convert& convert) noexcept {
  const Normalisation& norm = spec.tables->normalisation();
  const std::size_t size = spec.row();
  for (std::size_t c = 0; c < kChannels; ++c) {
    const float mean = static_cast<float>(norm.mean[c] * 255.0), std = static_cast<float>(norm.std[c] * 255.0);
    for (std::size_t y = 0; y < size; ++y) {
      const Tap& ty = taps.y[y];
      const SlotRow at = spec.slot_row(c, y);
      const std::uint8_t *const top = in.row(ty.lower) + c, *const bottom = in.row(ty.upper) + c;
      for (std::size_t x = 0; x < size; ++x) {
        const Tap& tx = taps.x[x];
        const auto left = static_cast<std::size_t>(tx.lower) * kChannels;
        const auto right = static_cast<std::size_t>(tx.upper) * kChannels;
        const float t = static_cast<float>(top[left]), b = static_cast<float>(bottom[left]);
        const float above = t + (static_cast<float>(top[right]) - t) * tx.share;
        const float below = b + (static_cast<float>(bottom[right]) - b) * tx.share;
        slot[at.first + x * at.step] = convert((above + (below - above) * ty.share - mean) / std);
      }
    }
  }
}

}  // namespace

Status sample_and_fit(const ImageView& in, const TransformSpec& spec, void* slot) noexcept {
  if (spec.type == PixelType::kUint8 || in.width < 1 || in.height < 1) return Status::kBadArgument;
  const Sides full = scaled(in.width, in.height, spec.size);
  if (full.width < spec.size || full.height < spec.size) return Status::kBadArgument;
  const Taps taps{make_taps(in.width, full.width, (full.width - spec.size) / 2, spec.size),
                  make_taps(in.height, full.height, (full.height - spec.size) / 2, spec.size)};
  if (!taps.x || !taps.y) return Status::kOutOfMemory;
  if (spec.type == PixelType::kFloat32) {
    sample(in, taps, spec, static_cast<float*>(slot), [](float value) { return value; });
  } else if (spec.type == PixelType::kBfloat16) {
    sample(in, taps, spec, static_cast<std::uint16_t*>(slot), to_bfloat16);
  } else {
    sample(in, taps, spec, static_cast<std::uint16_t*>(slot), to_float16);
  }
  return Status::kOk;
}

}  // namespace veclip
