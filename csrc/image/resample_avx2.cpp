// AVX2 kernels. A 22-bit weight is split as hi * 2^12 + lo, both of which fit the 16 bits that madd_epi16 multiplies;
// the two sums are joined modulo 2^32, so that nothing is lost against the scalar 32-bit sum.
#include "image/resample_kernels.hpp"

#if defined(__x86_64__)

#include <immintrin.h>

#include <algorithm>
#include <cstring>

#define VECLIP_AVX2 __attribute__((target("avx2")))

namespace veclip {

namespace {

constexpr int kLowBits = 12;
constexpr std::size_t kBlockBytes = 16;  // of packed weights for four taps: four hi, four lo
constexpr std::size_t kOutputsAtOnce = 4;

bool supported() noexcept { return __builtin_cpu_supports("avx2") != 0 && __builtin_cpu_supports("bmi2") != 0; }

void pack(Pass& pass) {
  const std::vector<std::int32_t>& weights = pass.table.weights;
  pass.packed.resize(weights.size() / kTapStep * kBlockBytes);
  std::uint8_t* out = pass.packed.data();
  for (std::size_t i = 0; i < weights.size(); i += kTapStep, out += kBlockBytes) {
    std::int16_t block[2 * kTapStep];
    for (std::size_t t = 0; t < kTapStep; ++t) {
      block[t] = static_cast<std::int16_t>(weights[i + t] >> kLowBits);
      block[kTapStep + t] = static_cast<std::int16_t>(weights[i + t] & ((1 << kLowBits) - 1));
    }
    std::memcpy(out, block, kBlockBytes);
  }
}

VECLIP_AVX2 inline __m256i join(__m256i hi, __m256i lo) noexcept {
  return _mm256_add_epi32(_mm256_slli_epi32(hi, kLowBits), lo);
}

VECLIP_AVX2 inline __m256i round_down(__m256i sum) noexcept {
  return _mm256_srai_epi32(_mm256_add_epi32(sum, _mm256_set1_epi32(kRounding)), kPrecisionBits);
}

VECLIP_AVX2 inline __m256i load(const std::uint8_t* p) noexcept {
  return _mm256_loadu_si256(reinterpret_cast<const __m256i*>(p));
}

// One output pixel as 32-bit halves of sums: low lane R R G G, high lane B B - -.
VECLIP_AVX2 inline __m256i pixel_sum(const std::uint8_t* pixels, const std::uint8_t* weights, int blocks) noexcept {
  // Four RGB pixels to 16-bit words: R0 R1 R2 R3 G0 G1 G2 G3 in one lane, B0 B1 B2 B3 in the other.
  const __m256i to_words = _mm256_setr_epi8(0, -1, 3, -1, 6, -1, 9, -1, 1, -1, 4, -1, 7, -1, 10, -1,  //
                                            2, -1, 5, -1, 8, -1, 11, -1, -1, -1, -1, -1, -1, -1, -1, -1);
  __m256i hi = _mm256_setzero_si256();
  __m256i lo = _mm256_setzero_si256();
  for (int b = 0; b < blocks; ++b) {
    const __m128i four = _mm_loadu_si128(reinterpret_cast<const __m128i*>(pixels));
    const __m256i words = _mm256_shuffle_epi8(_mm256_broadcastsi128_si256(four), to_words);
    long long packed[2];
    std::memcpy(packed, weights, sizeof packed);
    hi = _mm256_add_epi32(hi, _mm256_madd_epi16(words, _mm256_set1_epi64x(packed[0])));
    lo = _mm256_add_epi32(lo, _mm256_madd_epi16(words, _mm256_set1_epi64x(packed[1])));
    pixels += kTapStep * kChannels;
    weights += kBlockBytes;
  }
  return join(hi, lo);
}

VECLIP_AVX2 inline void store_four(__m256i sum01, __m256i sum23, std::uint8_t* out, std::size_t plane) noexcept {
  const __m256i words = _mm256_packs_epi32(round_down(sum01), round_down(sum23));
  const __m256i bytes = _mm256_packus_epi16(words, words);
  const __m256i by_channel = _mm256_setr_epi8(0, 2, 4, 6, 1, 3, 5, 7, -1, -1, -1, -1, -1, -1, -1, -1,  //
                                              0, 2, 4, 6, -1, -1, -1, -1, -1, -1, -1, -1, -1, -1, -1, -1);
  const __m256i sorted = _mm256_shuffle_epi8(bytes, by_channel);
  const __m128i red_green = _mm256_castsi256_si128(sorted);
  const int values[kChannels] = {_mm_extract_epi32(red_green, 0), _mm_extract_epi32(red_green, 1),
                                 _mm_cvtsi128_si32(_mm256_extracti128_si256(sorted, 1))};
  for (std::size_t c = 0; c < kChannels; ++c) std::memcpy(out + c * plane, &values[c], sizeof values[c]);
}

VECLIP_AVX2 void horizontal_row(const Pass& pass, const std::uint8_t* in, std::uint8_t* out) noexcept {
  const AxisTable& table = pass.table;
  const std::size_t count = table.start.size();
  const int blocks = table.taps / kTapStep;
  const auto sum = [&](std::size_t x) VECLIP_AVX2 {
    return pixel_sum(in + static_cast<std::size_t>(table.start[x]) * kChannels,
                     pass.packed.data() + x * static_cast<std::size_t>(blocks) * kBlockBytes, blocks);
  };
  for (std::size_t next = 0; next < count; next += kOutputsAtOnce) {
    // The last four may overlap the four before: the same values are written twice.
    const std::size_t x = next + kOutputsAtOnce <= count ? next : count - kOutputsAtOnce;
    store_four(_mm256_hadd_epi32(sum(x), sum(x + 1)), _mm256_hadd_epi32(sum(x + 2), sum(x + 3)), out + x, count);
  }
}

void horizontal(const Pass& pass, const ImageView& in, std::uint8_t* out, std::uint8_t* scratch) noexcept {
  const std::size_t count = pass.table.start.size();
  if (count < kOutputsAtOnce) return scalar_kernels().horizontal(pass, in, out, scratch);
  const std::size_t begin = static_cast<std::size_t>(pass.table.begin()) * kChannels;
  const std::size_t end = static_cast<std::size_t>(pass.table.end()) * kChannels;
  for (int y = 0; y < in.height; ++y, out += count * kChannels) {
    // A copy, because 16-byte loads and taps of weight zero read past the row's end.
    std::memcpy(scratch + begin, in.row(y) + begin, end - begin);
    horizontal_row(pass, scratch, out);
  }
}

// Four rows at once: a block of four taps of each, widened to 16 bits.
VECLIP_AVX2 inline __m256i four_by_four(const std::uint8_t* samples, std::size_t stride) noexcept {
  int taps[4];
  for (std::size_t y = 0; y < 4; ++y) std::memcpy(&taps[y], samples + y * stride, sizeof taps[y]);
  return _mm256_cvtepu8_epi16(_mm_setr_epi32(taps[0], taps[1], taps[2], taps[3]));
}

// Two 32-bit halves of the sum of each row.
VECLIP_AVX2 inline __m256i plane_sum(const std::uint8_t* samples, std::size_t stride, const std::uint8_t* weights,
                                     int blocks) noexcept {
  __m256i hi = _mm256_setzero_si256();
  __m256i lo = _mm256_setzero_si256();
  for (int b = 0; b < blocks; ++b, samples += kTapStep, weights += kBlockBytes) {
    const __m256i words = four_by_four(samples, stride);
    long long packed[2];
    std::memcpy(packed, weights, sizeof packed);
    hi = _mm256_add_epi32(hi, _mm256_madd_epi16(words, _mm256_set1_epi64x(packed[0])));
    lo = _mm256_add_epi32(lo, _mm256_madd_epi16(words, _mm256_set1_epi64x(packed[1])));
  }
  return join(hi, lo);
}

// Sums of four outputs of four rows to four bytes of each row.
VECLIP_AVX2 inline void store_four_rows(__m256i sum01, __m256i sum23, std::uint8_t* out, std::size_t stride) noexcept {
  const __m256i words = _mm256_packs_epi32(round_down(sum01), round_down(sum23));
  const __m256i by_row = _mm256_setr_epi8(0, 2, 4, 6, 1, 3, 5, 7, -1, -1, -1, -1, -1, -1, -1, -1,  //
                                          0, 2, 4, 6, 1, 3, 5, 7, -1, -1, -1, -1, -1, -1, -1, -1);
  const __m256i sorted = _mm256_shuffle_epi8(_mm256_packus_epi16(words, words), by_row);
  const __m128i first = _mm256_castsi256_si128(sorted);
  const __m128i second = _mm256_extracti128_si256(sorted, 1);
  const int rows[4] = {_mm_extract_epi32(first, 0), _mm_extract_epi32(first, 1), _mm_extract_epi32(second, 0),
                       _mm_extract_epi32(second, 1)};
  for (std::size_t y = 0; y < 4; ++y) std::memcpy(out + y * stride, &rows[y], sizeof rows[y]);
}

VECLIP_AVX2 void across_planes(const Pass& pass, const PlaneRows& in, std::uint8_t* out) noexcept {
  const AxisTable& table = pass.table;
  const std::size_t count = table.start.size();
  if (count < kOutputsAtOnce || in.rows < 4) return scalar_kernels().across_planes(pass, in, out);
  const int blocks = table.taps / kTapStep;
  for (std::size_t next_row = 0; next_row < in.rows; next_row += 4) {
    const std::size_t y = std::min(next_row, in.rows - 4);  // the last ones again where they are fewer than four
    const auto sum = [&](std::size_t x) VECLIP_AVX2 {
      return plane_sum(in.data + y * in.stride + table.start[x], in.stride,
                       pass.packed.data() + x * static_cast<std::size_t>(blocks) * kBlockBytes, blocks);
    };
    for (std::size_t next = 0; next < count; next += kOutputsAtOnce) {
      const std::size_t x = std::min(next, count - kOutputsAtOnce);
      store_four_rows(_mm256_hadd_epi32(sum(x), sum(x + 1)), _mm256_hadd_epi32(sum(x + 2), sum(x + 3)),
                      out + y * count + x, count);
    }
  }
}

struct Sums {
  __m256i hi[4];
  __m256i lo[4];
};

// Two rows of 32 bytes as 16-bit pairs; part p holds bytes 4p..4p+3 of each 16-byte lane.
VECLIP_AVX2 inline void add_pair(__m256i a, __m256i b, const std::uint8_t* weights, Sums& sums) noexcept {
  const __m256i zero = _mm256_setzero_si256();
  const __m256i first = _mm256_unpacklo_epi8(a, b);
  const __m256i second = _mm256_unpackhi_epi8(a, b);
  const __m256i parts[4] = {_mm256_unpacklo_epi8(first, zero), _mm256_unpackhi_epi8(first, zero),
                            _mm256_unpacklo_epi8(second, zero), _mm256_unpackhi_epi8(second, zero)};
  int packed_hi;
  int packed_lo;
  std::memcpy(&packed_hi, weights, sizeof packed_hi);
  std::memcpy(&packed_lo, weights + kBlockBytes / 2, sizeof packed_lo);
  const __m256i hi = _mm256_set1_epi32(packed_hi);
  const __m256i lo = _mm256_set1_epi32(packed_lo);
  for (int p = 0; p < 4; ++p) {
    sums.hi[p] = _mm256_add_epi32(sums.hi[p], _mm256_madd_epi16(parts[p], hi));
    sums.lo[p] = _mm256_add_epi32(sums.lo[p], _mm256_madd_epi16(parts[p], lo));
  }
}

VECLIP_AVX2 inline void vertical_chunk(const std::uint8_t* const* rows, std::size_t offset, int blocks,
                                       const std::uint8_t* weights, std::uint8_t* out) noexcept {
  Sums sums;
  for (int p = 0; p < 4; ++p) sums.hi[p] = sums.lo[p] = _mm256_setzero_si256();
  for (int b = 0; b < blocks; ++b, rows += kTapStep, weights += kBlockBytes) {
    add_pair(load(rows[0] + offset), load(rows[1] + offset), weights, sums);
    add_pair(load(rows[2] + offset), load(rows[3] + offset), weights + 4, sums);
  }
  __m256i values[4];
  for (int p = 0; p < 4; ++p) values[p] = round_down(join(sums.hi[p], sums.lo[p]));
  const __m256i bytes =
      _mm256_packus_epi16(_mm256_packs_epi32(values[0], values[1]), _mm256_packs_epi32(values[2], values[3]));
  _mm256_storeu_si256(reinterpret_cast<__m256i*>(out + offset), bytes);
}

VECLIP_AVX2 void vertical(const Pass& pass, std::size_t out_row, const std::uint8_t* const* rows, std::size_t bytes,
                          std::uint8_t* out) noexcept {
  constexpr std::size_t kChunk = 32;
  if (bytes < kChunk) return scalar_kernels().vertical(pass, out_row, rows, bytes, out);
  const int blocks = pass.table.taps / kTapStep;
  const std::uint8_t* const weights = pass.packed.data() + out_row * static_cast<std::size_t>(blocks) * kBlockBytes;
  for (std::size_t next = 0; next < bytes; next += kChunk) {
    vertical_chunk(rows, next + kChunk <= bytes ? next : bytes - kChunk, blocks, weights, out);
  }
}

}  // namespace

const Kernels& avx2_kernels() noexcept {
  static constexpr Kernels kernels{"avx2",   supported,        pack, pack, pack, horizontal, across_planes,
                                   vertical, avx2_jpeg_kernels};
  return kernels;
}

}  // namespace veclip

#endif
