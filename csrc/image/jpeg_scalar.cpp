// The reference in plain C++: libjpeg's arithmetic, one sample at a time. Runs everywhere.
#include <algorithm>
#include <cstdlib>

#include "image/jpeg_entropy.hpp"
#include "image/jpeg_idct.hpp"
#include "image/jpeg_kernels.hpp"

namespace veclip {

namespace {

bool read_mcus(BitReader& reader, McuRun& run) noexcept { return read_mcus_inline(reader, run); }

// Eight values `stride` apart through the one-dimensional transform, rounded to `shift` fewer bits.
void transform(std::int32_t* v, std::size_t stride, int shift) noexcept {
  using namespace idct;
  const auto in = [&](std::size_t i) { return v[i * stride]; };
  const std::int32_t sum = (in(0) + in(4)) * kOne + (1 << (shift - 1));
  const std::int32_t difference = (in(0) - in(4)) * kOne + (1 << (shift - 1));
  const std::int32_t even2 = in(2) * kEven22 + in(6) * kEven26;
  const std::int32_t even3 = in(2) * kEven32 + in(6) * kEven36;
  const std::int32_t even[4] = {sum + even3, difference + even2, difference - even2, sum - even3};
  const std::int32_t z3 = in(3) + in(7);
  const std::int32_t z4 = in(1) + in(5);
  const std::int32_t common3 = z3 * kOdd33 + z4 * kOdd34;
  const std::int32_t common4 = z3 * kOdd34 + z4 * kOdd44;
  const std::int32_t odd[4] = {in(1) * kOdd11 + in(7) * kOdd17 + common4, in(3) * kOdd33b + in(5) * kOdd35 + common3,
                               in(5) * kOdd55 + in(3) * kOdd35 + common4, in(7) * kOdd77 + in(1) * kOdd17 + common3};
  for (std::size_t i = 0; i < 4; ++i) {
    v[i * stride] = (even[i] + odd[i]) >> shift;
    v[(7 - i) * stride] = (even[i] - odd[i]) >> shift;
  }
}

bool dequantise(const std::int16_t* in, const QuantTable& quant, std::int32_t* out) noexcept {
  std::int32_t column[kBlockSide] = {};
  for (std::size_t i = 0; i < kBlockSize; ++i) {
    out[i] = in[i] * quant.step[i];
    column[i % kBlockSide] += std::min(std::abs(out[i]), idct::kLargestSum + 1);
  }
  for (std::size_t x = 0; x < kBlockSide / 2; ++x) {
    if (column[x] + column[x + kBlockSide / 2] > idct::kLargestSum) return false;
  }
  return true;
}

bool store(const std::int32_t* values, std::uint8_t* out, std::size_t stride) noexcept {
  bool agreed = true;
  for (std::size_t i = 0; i < kBlockSize; ++i) {
    agreed &= std::abs(values[i]) <= idct::kLargestSample;
    const std::int32_t sample = std::clamp(values[i] + 128, 0, 255);
    out[i / kBlockSide * stride + i % kBlockSide] = static_cast<std::uint8_t>(sample);
  }
  return agreed;
}

bool inverse_dct_block(const std::int16_t* in, const QuantTable& quant, std::uint8_t* out,
                       std::size_t stride) noexcept {
  std::int32_t values[kBlockSize];
  if (!dequantise(in, quant, values)) return false;
  for (std::size_t x = 0; x < kBlockSide; ++x) transform(values + x, kBlockSide, idct::kFirstShift);
  for (std::size_t y = 0; y < kBlockSide; ++y) transform(values + y * kBlockSide, 1, idct::kSecondShift);
  return store(values, out, stride);
}

bool inverse_dct(const BlockRow& row) noexcept {
  bool agreed = true;
  for (std::size_t b = 0; b < row.blocks; ++b) {
    agreed &=
        inverse_dct_block(row.coefficients + b * kBlockSize, *row.quant, row.samples + b * kBlockSide, row.stride);
  }
  return agreed;
}

// Each output leans three to one to its nearer input; the ends have no further one. `at` gives an input times
// `scale`, `left` and `right` the rounding.
template <typename At>
void widen_with(const At& at, std::size_t width, int shift, int left, int right, std::uint8_t* out) noexcept {
  for (std::size_t x = 0; x < width; ++x) {
    const int here = at(x);
    const int before = x == 0 ? here : at(x - 1);
    const int after = x + 1 == width ? here : at(x + 1);
    out[2 * x] = static_cast<std::uint8_t>((3 * here + before + left) >> shift);
    out[2 * x + 1] = static_cast<std::uint8_t>((3 * here + after + right) >> shift);
  }
}

void widen(const ChromaRows& rows, std::uint8_t* out) noexcept {
  widen_with([&](std::size_t x) { return int{rows.near[x]}; }, rows.width, 2, 1, 2, out);
}

void widen_between(const ChromaRows& rows, std::uint8_t* out) noexcept {
  widen_with([&](std::size_t x) { return 3 * rows.near[x] + rows.far[x]; }, rows.width, 4, 8, 7, out);
}

void between(const ChromaRows& rows, int rounding, std::uint8_t* out) noexcept {
  for (std::size_t x = 0; x < rows.width; ++x) {
    out[x] = static_cast<std::uint8_t>((3 * rows.near[x] + rows.far[x] + rounding) >> 2);
  }
}

std::uint8_t clip(int value) noexcept { return static_cast<std::uint8_t>(std::clamp(value, 0, 255)); }

// ITU-R BT.601 in 16-bit fixed point, rounded as jdcolor rounds it.
void to_rgb(const YccRow& in, std::size_t width, const RgbRow& out) noexcept {
  constexpr int kHalf = 1 << 15;
  for (std::size_t x = 0; x < width; ++x) {
    const int y = in.y[x];
    const int cb = in.cb[x] - 128;
    const int cr = in.cr[x] - 128;
    out.r[x] = clip(y + ((91881 * cr + kHalf) >> 16));                // 1.40200
    out.g[x] = clip(y + ((-22554 * cb - 46802 * cr + kHalf) >> 16));  // 0.34414, 0.71414
    out.b[x] = clip(y + ((116130 * cb + kHalf) >> 16));               // 1.77200
  }
}

void interleave(const RgbPlanes& in, std::size_t width, std::uint8_t* out) noexcept {
  for (std::size_t x = 0; x < width; ++x, out += 3) {
    out[0] = in.r[x];
    out[1] = in.g[x];
    out[2] = in.b[x];
  }
}

}  // namespace

const JpegKernels& scalar_jpeg_kernels() noexcept {
  static constexpr JpegKernels kernels{read_mcus, inverse_dct, widen, widen_between, between, to_rgb, interleave};
  return kernels;
}

}  // namespace veclip
