// AVX2 kernels. The inverse DCT works on two blocks at a time, one in each 128-bit lane.
#include "image/jpeg_kernels.hpp"

#if defined(__x86_64__)

#include <immintrin.h>

#include <algorithm>
#include <cstdlib>

#include "image/jpeg_entropy.hpp"
#include "image/jpeg_idct.hpp"

#define VECLIP_AVX2 __attribute__((target("avx2,bmi2")))

namespace veclip {

namespace {

VECLIP_AVX2 bool read_mcus(BitReader& reader, McuRun& run) noexcept { return read_mcus_inline(reader, run); }

VECLIP_AVX2 inline __m256i load(const std::uint8_t* p) noexcept {
  return _mm256_loadu_si256(reinterpret_cast<const __m256i*>(p));
}

VECLIP_AVX2 inline void store(std::uint8_t* p, __m256i v) noexcept {
  _mm256_storeu_si256(reinterpret_cast<__m256i*>(p), v);
}

// ---- inverse DCT

constexpr std::size_t kLanes = 2;  // blocks at a time
constexpr int kLastOfCorner = 9;   // up to here in zigzag order only the upper left quarter of a block is touched

struct Pair {
  const std::int16_t* block[kLanes];
};

template <typename Lane>
VECLIP_AVX2 inline __m256i load_row(const Lane* first, const Lane* second, int row) noexcept {
  const auto half = [row](const Lane* block) VECLIP_AVX2 {
    return _mm_loadu_si128(reinterpret_cast<const __m128i*>(block + row * kBlockSide));
  };
  return _mm256_inserti128_si256(_mm256_castsi128_si256(half(first)), half(second), 1);
}

// Factors for madd_epi16: `a` times the even words, `b` times the odd ones.
VECLIP_AVX2 inline __m256i factors(int a, int b) noexcept {
  return _mm256_set1_epi32(static_cast<int>((static_cast<unsigned>(b) << 16) | (static_cast<unsigned>(a) & 0xffffu)));
}

VECLIP_AVX2 inline __m256i times(__m256i words, int a, int b) noexcept {
  return _mm256_madd_epi16(words, factors(a, b));
}

// Half of the columns: sums before rounding. `word[i]` holds pairs of rows 0 4, 2 6, 1 3, 5 7 (of which only 0 2 and
// 1 3 if the rest is zeros).
struct Halves {
  __m256i even[4];
  __m256i odd[4];
};

VECLIP_AVX2 inline Halves sums_of_corner(__m256i row02, __m256i row13, __m256i rounding) noexcept {
  using namespace idct;
  const auto even = [&](int b) VECLIP_AVX2 { return _mm256_add_epi32(times(row02, kOne, b), rounding); };
  return {{even(kEven32), even(kEven22), even(-kEven22), even(-kEven32)},
          {times(row13, kOdd11 + kOdd44, kOdd34), times(row13, kOdd34, kOdd33b + kOdd33),
           times(row13, kOdd44, kOdd35 + kOdd34), times(row13, kOdd17 + kOdd34, kOdd33)}};
}

VECLIP_AVX2 inline Halves sums_of_all(const __m256i word[4], __m256i rounding) noexcept {
  using namespace idct;
  const __m256i sum = _mm256_add_epi32(times(word[0], kOne, kOne), rounding);
  const __m256i difference = _mm256_add_epi32(times(word[0], kOne, -kOne), rounding);
  const __m256i even2 = times(word[1], kEven22, kEven26);
  const __m256i even3 = times(word[1], kEven32, kEven36);
  const auto odd = [&](int f1, int f3, int f5, int f7)
                       VECLIP_AVX2 { return _mm256_add_epi32(times(word[2], f1, f3), times(word[3], f5, f7)); };
  return {
      {_mm256_add_epi32(sum, even3), _mm256_add_epi32(difference, even2), _mm256_sub_epi32(difference, even2),
       _mm256_sub_epi32(sum, even3)},
      {odd(kOdd11 + kOdd44, kOdd34, kOdd44, kOdd17 + kOdd34), odd(kOdd34, kOdd33b + kOdd33, kOdd35 + kOdd34, kOdd33),
       odd(kOdd44, kOdd35 + kOdd34, kOdd55 + kOdd44, kOdd34), odd(kOdd17 + kOdd34, kOdd33, kOdd34, kOdd77 + kOdd33)}};
}

template <int kShift>
VECLIP_AVX2 inline __m256i round_down(__m256i low, __m256i high) noexcept {
  return _mm256_packs_epi32(_mm256_srai_epi32(low, kShift), _mm256_srai_epi32(high, kShift));
}

// One pass over all columns. With kCorner rows 4 to 7 are zeros and not looked at.
template <int kShift, bool kCorner>
VECLIP_AVX2 inline void transform(__m256i row[8]) noexcept {
  const __m256i rounding = _mm256_set1_epi32(1 << (kShift - 1));
  Halves low;
  Halves high;
  if constexpr (kCorner) {
    low = sums_of_corner(_mm256_unpacklo_epi16(row[0], row[2]), _mm256_unpacklo_epi16(row[1], row[3]), rounding);
    high = sums_of_corner(_mm256_unpackhi_epi16(row[0], row[2]), _mm256_unpackhi_epi16(row[1], row[3]), rounding);
  } else {
    const __m256i lower[4] = {_mm256_unpacklo_epi16(row[0], row[4]), _mm256_unpacklo_epi16(row[2], row[6]),
                              _mm256_unpacklo_epi16(row[1], row[3]), _mm256_unpacklo_epi16(row[5], row[7])};
    const __m256i upper[4] = {_mm256_unpackhi_epi16(row[0], row[4]), _mm256_unpackhi_epi16(row[2], row[6]),
                              _mm256_unpackhi_epi16(row[1], row[3]), _mm256_unpackhi_epi16(row[5], row[7])};
    low = sums_of_all(lower, rounding);
    high = sums_of_all(upper, rounding);
  }
  for (int i = 0; i < 4; ++i) {
    row[i] = round_down<kShift>(_mm256_add_epi32(low.even[i], low.odd[i]), _mm256_add_epi32(high.even[i], high.odd[i]));
    row[7 - i] =
        round_down<kShift>(_mm256_sub_epi32(low.even[i], low.odd[i]), _mm256_sub_epi32(high.even[i], high.odd[i]));
  }
}

// 8 x 8 words in each lane. With kCorner only columns 0 to 3 matter, which become rows 0 to 3.
template <bool kCorner>
VECLIP_AVX2 inline void transpose(__m256i row[8]) noexcept {
  __m256i pairs[8];
  for (int i = 0; i < 4; ++i) {
    pairs[i] = _mm256_unpacklo_epi16(row[2 * i], row[2 * i + 1]);
    if constexpr (!kCorner) pairs[4 + i] = _mm256_unpackhi_epi16(row[2 * i], row[2 * i + 1]);
  }
  for (int half = 0; half < (kCorner ? 1 : 2); ++half) {
    const __m256i* const in = pairs + 4 * half;
    const __m256i low01 = _mm256_unpacklo_epi32(in[0], in[1]);
    const __m256i low23 = _mm256_unpacklo_epi32(in[2], in[3]);
    const __m256i high01 = _mm256_unpackhi_epi32(in[0], in[1]);
    const __m256i high23 = _mm256_unpackhi_epi32(in[2], in[3]);
    row[4 * half] = _mm256_unpacklo_epi64(low01, low23);
    row[4 * half + 1] = _mm256_unpackhi_epi64(low01, low23);
    row[4 * half + 2] = _mm256_unpacklo_epi64(high01, high23);
    row[4 * half + 3] = _mm256_unpackhi_epi64(high01, high23);
  }
}

// Columns of 16-bit samples around 0 to rows of bytes around 128.
VECLIP_AVX2 inline void store_rows(const __m256i column[8], std::size_t blocks, std::uint8_t* out,
                                   std::size_t stride) noexcept {
  __m256i packed[4];
  for (int i = 0; i < 4; ++i) {
    packed[i] = _mm256_xor_si256(_mm256_packs_epi16(column[i], column[4 + i]), _mm256_set1_epi8(-128));
  }
  const __m256i first02 = _mm256_unpacklo_epi8(packed[0], packed[2]);
  const __m256i first13 = _mm256_unpacklo_epi8(packed[1], packed[3]);
  const __m256i second02 = _mm256_unpackhi_epi8(packed[0], packed[2]);
  const __m256i second13 = _mm256_unpackhi_epi8(packed[1], packed[3]);
  const __m256i left[2] = {_mm256_unpacklo_epi8(first02, first13), _mm256_unpackhi_epi8(first02, first13)};
  const __m256i right[2] = {_mm256_unpacklo_epi8(second02, second13), _mm256_unpackhi_epi8(second02, second13)};
  for (int i = 0; i < 4; ++i, out += 2 * stride) {
    const __m256i rows = i % 2 == 0 ? _mm256_unpacklo_epi32(left[i / 2], right[i / 2])
                                    : _mm256_unpackhi_epi32(left[i / 2], right[i / 2]);
    const __m256i sorted = _mm256_permute4x64_epi64(rows, 0xd8);
    const __m128i upper = _mm256_castsi256_si128(sorted);
    const __m128i lower = _mm256_extracti128_si256(sorted, 1);
    if (blocks == kLanes) {
      _mm_storeu_si128(reinterpret_cast<__m128i*>(out), upper);
      _mm_storeu_si128(reinterpret_cast<__m128i*>(out + stride), lower);
    } else {
      _mm_storel_epi64(reinterpret_cast<__m128i*>(out), upper);
      _mm_storel_epi64(reinterpret_cast<__m128i*>(out + stride), lower);
    }
  }
}

// In each lane: the magnitudes of dequantised coefficients, summed over columns 0 1 4 5, then 2 3 6 7, then the same.
VECLIP_AVX2 inline __m256i magnitudes(const __m256i* row, const __m256i* step, int rows) noexcept {
  __m256i sum = _mm256_setzero_si256();
  for (int i = 0; i < rows; ++i) {
    sum = _mm256_add_epi32(sum, _mm256_madd_epi16(_mm256_abs_epi16(row[i]), step[i]));
  }
  return _mm256_add_epi32(sum, _mm256_shuffle_epi32(sum, 0x4e));
}

VECLIP_AVX2 inline bool any_above(__m256i values, int limit) noexcept {
  const __m256i above = _mm256_cmpgt_epi32(values, _mm256_set1_epi32(limit));
  return _mm256_testz_si256(above, above) == 0;
}

// Samples that libjpeg's C code would not clip as its SIMD code does. Sums below four times the limit cannot be.
VECLIP_AVX2 bool are_too_loud(const __m256i column[8]) noexcept {
  __m256i largest = _mm256_setzero_si256();
  for (int i = 0; i < 8; ++i) largest = _mm256_max_epu16(largest, _mm256_abs_epi16(column[i]));
  const __m256i excess = _mm256_subs_epu16(largest, _mm256_set1_epi16(idct::kLargestSample));
  return _mm256_testz_si256(excess, excess) == 0;
}

struct Output {
  std::size_t blocks;  // 1 or 2
  std::uint8_t* samples;
  std::size_t stride;
};

template <bool kCorner>
VECLIP_AVX2 inline bool inverse_dct_pair(const Pair& pair, const __m256i* step, const Output& out) noexcept {
  constexpr int kRows = kCorner ? 4 : 8;
  __m256i row[8];
  for (int i = 0; i < kRows; ++i) row[i] = load_row(pair.block[0], pair.block[1], i);
  const __m256i sums = magnitudes(row, step, kRows);
  if (any_above(sums, idct::kLargestSum)) return false;
  for (int i = 0; i < kRows; ++i) row[i] = _mm256_mullo_epi16(row[i], step[i]);
  transform<idct::kFirstShift, kCorner>(row);
  transpose<kCorner>(row);
  transform<idct::kSecondShift, kCorner>(row);
  const __m256i all = _mm256_add_epi32(sums, _mm256_shuffle_epi32(sums, 0xb1));
  if (any_above(all, 4 * idct::kLargestSample - 8) && are_too_loud(row)) return false;
  store_rows(row, out.blocks, out.samples, out.stride);
  return true;
}

VECLIP_AVX2 inline bool fill_block(int dc, std::uint8_t* out, std::size_t stride) noexcept {
  const int sample = (dc + 4) >> 3;
  if (std::abs(sample) > idct::kLargestSample) return false;
  const __m128i samples = _mm_set1_epi8(static_cast<char>(std::clamp(sample + 128, 0, 255)));
  for (std::size_t y = 0; y < kBlockSide; ++y) {
    _mm_storel_epi64(reinterpret_cast<__m128i*>(out + y * stride), samples);
  }
  return true;
}

VECLIP_AVX2 bool inverse_dct(const BlockRow& row) noexcept {
  __m256i step[8];
  const std::uint16_t* const steps = row.quant->step.data();
  for (int i = 0; i < 8; ++i) step[i] = load_row(steps, steps, i);
  for (std::size_t b = 0; b < row.blocks; b += kLanes) {
    const std::size_t blocks = std::min(kLanes, row.blocks - b);
    const std::size_t second = b + blocks - 1;  // the same again at an odd end
    const Pair pair{{row.coefficients + b * kBlockSize, row.coefficients + second * kBlockSize}};
    const Output out{blocks, row.samples + b * kBlockSide, row.stride};
    const int last = std::max(row.last[b], row.last[second]);
    bool agreed = true;
    if (last == 0) {
      for (std::size_t i = 0; i < blocks; ++i) {
        agreed &= fill_block(pair.block[i][0] * steps[0], out.samples + i * kBlockSide, out.stride);
      }
    } else {
      agreed =
          last <= kLastOfCorner ? inverse_dct_pair<true>(pair, step, out) : inverse_dct_pair<false>(pair, step, out);
    }
    if (!agreed) return false;
  }
  return true;
}

// ---- chroma

constexpr std::size_t kStep = 16;  // inputs at a time

VECLIP_AVX2 inline __m256i words(const std::uint8_t* p) noexcept {
  return _mm256_cvtepu8_epi16(_mm_loadu_si128(reinterpret_cast<const __m128i*>(p)));
}

VECLIP_AVX2 inline __m256i three_times(__m256i v) noexcept { return _mm256_add_epi16(v, _mm256_add_epi16(v, v)); }

// Every second byte of the output each: (3 * here + neighbour + rounding) >> kShift.
template <int kShift>
VECLIP_AVX2 inline __m256i lean(__m256i here, __m256i neighbour, int rounding) noexcept {
  const __m256i sum =
      _mm256_add_epi16(_mm256_add_epi16(three_times(here), neighbour), _mm256_set1_epi16(static_cast<short>(rounding)));
  return _mm256_srli_epi16(sum, kShift);
}

VECLIP_AVX2 inline __m256i alternate(__m256i even, __m256i odd) noexcept {
  return _mm256_or_si256(even, _mm256_slli_epi16(odd, 8));
}

VECLIP_AVX2 void widen(const ChromaRows& rows, std::uint8_t* out) noexcept {
  const std::uint8_t* const in = rows.near;
  for (std::size_t x = 0; x < rows.width; x += kStep) {
    const __m256i here = words(in + x);
    store(out + 2 * x, alternate(lean<2>(here, words(in + x - 1), 1), lean<2>(here, words(in + x + 1), 2)));
  }
  out[0] = in[0];
  out[2 * rows.width - 1] = in[rows.width - 1];
}

VECLIP_AVX2 inline __m256i column_sums(const ChromaRows& rows, std::ptrdiff_t x) noexcept {
  return _mm256_add_epi16(three_times(words(rows.near + x)), words(rows.far + x));
}

VECLIP_AVX2 void widen_between(const ChromaRows& rows, std::uint8_t* out) noexcept {
  for (std::size_t i = 0; i < rows.width; i += kStep) {
    const auto x = static_cast<std::ptrdiff_t>(i);
    const __m256i here = column_sums(rows, x);
    store(out + 2 * x,
          alternate(lean<4>(here, column_sums(rows, x - 1), 8), lean<4>(here, column_sums(rows, x + 1), 7)));
  }
  const std::size_t last = rows.width - 1;
  out[0] = static_cast<std::uint8_t>((3 * rows.near[0] + rows.far[0] + 2) >> 2);
  out[2 * last + 1] = static_cast<std::uint8_t>((4 * (3 * rows.near[last] + rows.far[last]) + 7) >> 4);
}

VECLIP_AVX2 void between(const ChromaRows& rows, int rounding, std::uint8_t* out) noexcept {
  for (std::size_t x = 0; x < rows.width; x += kStep) {
    const __m256i values = lean<2>(words(rows.near + x), words(rows.far + x), rounding);
    const __m256i bytes = _mm256_permute4x64_epi64(_mm256_packus_epi16(values, values), 0xd8);
    _mm_storeu_si128(reinterpret_cast<__m128i*>(out + x), _mm256_castsi256_si128(bytes));
  }
}

// ---- colour

struct Words {
  __m256i r;
  __m256i g;
  __m256i b;
};

// (-22554 cb - 46802 cr + 2^15) >> 16 is (-11277 cb + 9367 cr + 2^14 >> 15) - cr.
VECLIP_AVX2 inline __m256i green(__m256i interleaved) noexcept {
  const __m256i sum = _mm256_madd_epi16(interleaved, factors(-11277, 9367));
  return _mm256_srai_epi32(_mm256_add_epi32(sum, _mm256_set1_epi32(1 << 14)), 15);
}

// mulhrs rounds x * f / 2^15. -7471 is half of the blue factor's distance from 2; 13173 gives red's products, whose
// factor is odd, for every 8-bit value (tests compare all of them).
VECLIP_AVX2 inline Words convert(__m256i y, __m256i cb, __m256i cr) noexcept {
  const __m256i red = _mm256_add_epi16(cr, _mm256_mulhrs_epi16(cr, _mm256_set1_epi16(13173)));
  const __m256i blue = _mm256_add_epi16(_mm256_add_epi16(cb, cb), _mm256_mulhrs_epi16(cb, _mm256_set1_epi16(-7471)));
  const __m256i chroma = _mm256_packs_epi32(green(_mm256_unpacklo_epi16(cb, cr)), green(_mm256_unpackhi_epi16(cb, cr)));
  return {_mm256_add_epi16(y, red), _mm256_add_epi16(_mm256_sub_epi16(y, cr), chroma), _mm256_add_epi16(y, blue)};
}

VECLIP_AVX2 void to_rgb(const YccRow& in, std::size_t width, const RgbRow& out) noexcept {
  const __m256i zero = _mm256_setzero_si256();
  const __m256i centre = _mm256_set1_epi16(128);
  for (std::size_t x = 0; x < width; x += 32) {
    const __m256i y = load(in.y + x);
    const __m256i cb = load(in.cb + x);
    const __m256i cr = load(in.cr + x);
    const Words low = convert(_mm256_unpacklo_epi8(y, zero), _mm256_sub_epi16(_mm256_unpacklo_epi8(cb, zero), centre),
                              _mm256_sub_epi16(_mm256_unpacklo_epi8(cr, zero), centre));
    const Words high = convert(_mm256_unpackhi_epi8(y, zero), _mm256_sub_epi16(_mm256_unpackhi_epi8(cb, zero), centre),
                               _mm256_sub_epi16(_mm256_unpackhi_epi8(cr, zero), centre));
    store(out.r + x, _mm256_packus_epi16(low.r, high.r));
    store(out.g + x, _mm256_packus_epi16(low.g, high.g));
    store(out.b + x, _mm256_packus_epi16(low.b, high.b));
  }
}

// Sixteen pixels to 48 bytes: each plane's bytes to every third place.
VECLIP_AVX2 void interleave(const RgbPlanes& in, std::size_t width, std::uint8_t* out) noexcept {
  const __m128i places[3] = {_mm_setr_epi8(0, 11, 6, 1, 12, 7, 2, 13, 8, 3, 14, 9, 4, 15, 10, 5),
                             _mm_setr_epi8(5, 0, 11, 6, 1, 12, 7, 2, 13, 8, 3, 14, 9, 4, 15, 10),
                             _mm_setr_epi8(10, 5, 0, 11, 6, 1, 12, 7, 2, 13, 8, 3, 14, 9, 4, 15)};
  const __m128i second = _mm_setr_epi8(0, -1, 0, 0, -1, 0, 0, -1, 0, 0, -1, 0, 0, -1, 0, 0);
  const __m128i third = _mm_setr_epi8(0, 0, -1, 0, 0, -1, 0, 0, -1, 0, 0, -1, 0, 0, -1, 0);
  std::size_t x = 0;
  for (; x + 16 <= width; x += 16, out += 48) {
    const auto spread = [&](const std::uint8_t* plane, int i) VECLIP_AVX2 {
      return _mm_shuffle_epi8(_mm_loadu_si128(reinterpret_cast<const __m128i*>(plane + x)), places[i]);
    };
    const __m128i r = spread(in.r, 0);
    const __m128i g = spread(in.g, 1);
    const __m128i b = spread(in.b, 2);
    const auto put = [&](__m128i first, __m128i next, __m128i then, std::size_t at) VECLIP_AVX2 {
      const __m128i bytes = _mm_blendv_epi8(_mm_blendv_epi8(first, next, second), then, third);
      _mm_storeu_si128(reinterpret_cast<__m128i*>(out + at), bytes);
    };
    put(r, g, b, 0);
    put(g, b, r, 16);
    put(b, r, g, 32);
  }
  scalar_jpeg_kernels().interleave({in.r + x, in.g + x, in.b + x}, width - x, out);
}

}  // namespace

const JpegKernels& avx2_jpeg_kernels() noexcept {
  static constexpr JpegKernels kernels{read_mcus, inverse_dct, widen, widen_between, between, to_rgb, interleave};
  return kernels;
}

}  // namespace veclip

#endif
