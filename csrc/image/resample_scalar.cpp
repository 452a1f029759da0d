// The reference: Pillow's ImagingResample arithmetic, one sample at a time. Runs everywhere.
#include <algorithm>

#include "image/resample_kernels.hpp"

namespace veclip {

namespace {

void pack_nothing(Pass&) {}

void horizontal_row(const AxisTable& table, const std::uint8_t* in, std::uint8_t* out) noexcept {
  const std::size_t count = table.start.size();
  for (std::size_t x = 0; x < count; ++x) {
    const std::int32_t* const weights = table.weights.data() + x * static_cast<std::size_t>(table.taps);
    const std::uint8_t* pixel = in + static_cast<std::size_t>(table.start[x]) * kChannels;
    const int taps = std::min(table.taps, table.axis.in - table.start[x]);
    std::int32_t acc[kChannels] = {kRounding, kRounding, kRounding};
    for (int t = 0; t < taps; ++t, pixel += kChannels) {
      for (std::size_t c = 0; c < kChannels; ++c) acc[c] += pixel[c] * weights[t];
    }
    for (std::size_t c = 0; c < kChannels; ++c) out[c * count + x] = clip8(acc[c]);
  }
}

void horizontal(const Pass& pass, const ImageView& in, std::uint8_t* out, std::uint8_t*) noexcept {
  const std::size_t out_stride = pass.table.start.size() * kChannels;
  for (int y = 0; y < in.height; ++y)
    horizontal_row(pass.table, in.row(y), out + static_cast<std::size_t>(y) * out_stride);
}

void across_planes(const Pass& pass, const PlaneRows& in, std::uint8_t* out) noexcept {
  const AxisTable& table = pass.table;
  for (std::size_t y = 0; y < in.rows; ++y) {
    const std::uint8_t* const row = in.data + y * in.stride;
    for (std::size_t x = 0; x < table.start.size(); ++x) {
      const std::int32_t* const weights = table.weights.data() + x * static_cast<std::size_t>(table.taps);
      const int taps = std::min(table.taps, table.axis.in - table.start[x]);
      std::int32_t acc = kRounding;
      for (int t = 0; t < taps; ++t) acc += row[table.start[x] + t] * weights[t];
      *out++ = clip8(acc);
    }
  }
}

void vertical(const Pass& pass, std::size_t out_row, const std::uint8_t* const* rows, std::size_t bytes,
              std::uint8_t* out) noexcept {
  const int taps = pass.table.taps;
  const std::int32_t* const weights = pass.table.weights.data() + out_row * static_cast<std::size_t>(taps);
  for (std::size_t i = 0; i < bytes; ++i) {
    std::int32_t acc = kRounding;
    for (int t = 0; t < taps; ++t) acc += rows[t][i] * weights[t];
    out[i] = clip8(acc);
  }
}

}  // namespace

const Kernels& scalar_kernels() noexcept {
  static constexpr Kernels kernels{"scalar",           []() noexcept { return true; },
                                   pack_nothing,       pack_nothing,
                                   pack_nothing,       horizontal,
                                   across_planes,      vertical,
                                   scalar_jpeg_kernels};
  return kernels;
}

}  // namespace veclip
