// Which input samples, with which weights, make each output sample along one
// axis.
#pragma once

#include <cstdint>
#include <vector>

namespace veclip {

// Pillow's filters by these names.
enum class Filter { kBicubic, kBilinear };

// Resampling `in` samples to `out` samples, of which only [first, first +
// count) are wanted.
struct Axis {
  int in = 0;
  int out = 0;
  int first = 0;
  int count = 0;
  // Not 0: what is resized are this many pixels of JPEG's smooth upsampling of
  // the `in` samples to twice as many, from pixel `lead` on. The table then
  // goes from samples to results at once.
  int pixels = 0;
  int lead = 0;
  Filter filter = Filter::kBicubic;

  bool is_identity() const noexcept { return in == out && pixels == 0; }
  friend bool operator==(const Axis&, const Axis&) = default;
};

inline constexpr int kPrecisionBits = 22;  // Pillow's PRECISION_BITS = 32 - 8 - 2
inline constexpr int kTapStep = 4;         // every output has a multiple of this many
                                           // taps, padded with zero weights

// Output i is the sum over t < taps of weights[i * taps + t] * sample[start[i]
// + t], plus half, >> kPrecisionBits, clipped to 8 bits. `start` never
// decreases. Where an axis has fewer than `taps` samples, start is 0 and the
// weights of samples that do not exist are 0; otherwise all samples exist.
struct AxisTable {
  Axis axis;
  int taps = 0;
  std::vector<std::int32_t> start;
  std::vector<std::int32_t> weights;

  int begin() const noexcept { return start.front(); }  // the samples that any output needs: [begin, end)
  int end() const noexcept { return start.back() + taps < axis.in ? start.back() + taps : axis.in; }
};

// Needs 1 <= in, 1 <= out, 0 <= first, 1 <= count, first + count <= out.
AxisTable make_table(const Axis& axis);

}  // namespace veclip
