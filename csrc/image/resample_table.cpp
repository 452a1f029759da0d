#include "image/resample_table.hpp"

#include <algorithm>
#include <cmath>
#include <utility>

namespace veclip {

namespace {

// Keys' cubic with a = -0.5, in the order of operations that Pillow uses: the
// doubles must be the same.
double bicubic(double x) noexcept {
  constexpr double a = -0.5;
  if (x < 0.0) x = -x;
  if (x < 1.0) return ((a + 2.0) * x - (a + 3.0)) * x * x + 1;
  if (x < 2.0) return (((x - 5) * x + 8) * x - 4) * a;
  return 0.0;
}

double bilinear(double x) noexcept {
  if (x < 0.0) x = -x;
  return x < 1.0 ? 1.0 - x : 0.0;
}

// A filter, and how far it reaches to each side.
struct Shape {
  double (*value)(double) noexcept;
  double support;
};

constexpr Shape shape_of(Filter filter) noexcept {
  return filter == Filter::kBicubic ? Shape{bicubic, 2.0} : Shape{bilinear, 1.0};
}

std::int32_t to_fixed(double weight) noexcept {
  const double scaled = weight * (1 << kPrecisionBits);
  return static_cast<std::int32_t>(scaled < 0 ? scaled - 0.5 : scaled + 0.5);
}

// The weights of one output sample.
struct Window {
  int start = 0;
  std::vector<double> weights;

  // Pillow's precompute_coeffs, one output at a time.
  void make(const Axis& axis, int out_index) {
    const double scale = static_cast<double>(axis.in) / axis.out;
    const double filter_scale = std::max(scale, 1.0);
    const double inverse = 1.0 / filter_scale;
    const Shape shape = shape_of(axis.filter);
    const double support = shape.support * filter_scale;
    const double centre = (out_index + 0.5) * scale;
    start = std::max(0, static_cast<int>(centre - support + 0.5));
    const int end = std::min(axis.in, static_cast<int>(centre + support + 0.5));
    double sum = 0.0;
    weights.clear();
    for (int x = start; x < end; ++x) {
      weights.push_back(shape.value((x - centre + 0.5) * inverse));
      sum += weights.back();
    }
    if (sum == 0.0) return;
    for (double& weight : weights) weight /= sum;
  }
};

// Weights of upsampled pixels to weights of the samples that they are made of:
// three quarters of the nearer one, one quarter of the other, which at the
// image's edge is the same.
void fold(const Axis& axis, Window& window) {
  const int first = std::max(0, (window.start + axis.lead - 1) / 2);
  std::vector<double> samples;
  for (std::size_t i = 0; i < window.weights.size(); ++i) {
    const int pixel = window.start + axis.lead + static_cast<int>(i);
    const int near = pixel / 2;
    const int far = std::clamp(near + (pixel % 2 == 0 ? -1 : 1), 0, axis.in - 1);
    samples.resize(std::max(samples.size(), static_cast<std::size_t>(std::max(near, far) - first) + 1));
    samples[static_cast<std::size_t>(near - first)] += 0.75 * window.weights[i];
    samples[static_cast<std::size_t>(far - first)] += 0.25 * window.weights[i];
  }
  window.start = first;
  window.weights = std::move(samples);
}

void make_upsampled(const Axis& axis, int out_index, Window& window) {
  window.make({axis.pixels, axis.out, axis.first, axis.count}, out_index);
  fold(axis, window);
}

// Where sizes agree, the filter's values at whole distances are 1 and 0: a
// copy, as Pillow's skipped pass is.
void make_identity(int out_index, Window& window) {
  window.start = out_index;
  window.weights.assign(1, 1.0);
}

int round_up(int value, int step) noexcept { return (value + step - 1) / step * step; }

}  // namespace

AxisTable make_table(const Axis& axis) {
  std::vector<Window> windows(static_cast<std::size_t>(axis.count));
  std::size_t longest = 1;
  for (int i = 0; i < axis.count; ++i) {
    Window& window = windows[static_cast<std::size_t>(i)];
    if (axis.is_identity()) {
      make_identity(axis.first + i, window);
    } else if (axis.pixels != 0) {
      make_upsampled(axis, axis.first + i, window);
    } else {
      window.make(axis, axis.first + i);
    }
    longest = std::max(longest, window.weights.size());
  }
  AxisTable table{.axis = axis, .taps = round_up(static_cast<int>(longest), kTapStep), .start = {}, .weights = {}};
  const std::size_t taps = static_cast<std::size_t>(table.taps);
  table.weights.assign(windows.size() * taps, 0);
  table.start.resize(windows.size());
  for (std::size_t i = 0; i < windows.size(); ++i) {
    // Near the end a window begins earlier, with zeros in front, so that its
    // last tap still exists.
    table.start[i] = std::min(windows[i].start, std::max(0, axis.in - table.taps));
    const std::size_t shift = static_cast<std::size_t>(windows[i].start - table.start[i]);
    std::transform(windows[i].weights.begin(), windows[i].weights.end(),
                   table.weights.begin() + static_cast<std::ptrdiff_t>(i * taps + shift), to_fixed);
  }
  return table;
}

}  // namespace veclip
