// AVX-512 kernels (VBMI and VNNI: Ice Lake, Zen 4 and later). dpbusd multiplies four 8-bit pixels by four signed 8-bit
// weights, so a weight is written as d2 * 2^16 + d1 * 2^8 + d0 with digits from -128 to 127. The three sums are joined
// modulo 2^32, so that nothing is lost against the scalar 32-bit sum.
#include "image/resample_kernels.hpp"

#if defined(__x86_64__)

#include <immintrin.h>

#include <algorithm>
#include <cstring>

#if !defined(__clang__)
#pragma GCC diagnostic ignored "-Wmaybe-uninitialized"  // of GCC's own header: bug 105593
#endif

#define VECLIP_AVX512 __attribute__((target("avx512f,avx512bw,avx512vl,avx512vbmi,avx512vnni,bmi2")))

namespace veclip {

namespace {

constexpr std::size_t kDigits = 3;
constexpr std::size_t kLanes = 16;        // output pixels of one channel in a group
constexpr std::size_t kVectorBytes = 64;  // four taps of each lane
constexpr int kRowsAtOnce = 16;           // input rows that stay in the first cache while all groups visit them

bool supported() noexcept {
  return __builtin_cpu_supports("avx512f") != 0 && __builtin_cpu_supports("avx512bw") != 0 &&
         __builtin_cpu_supports("avx512vl") != 0 && __builtin_cpu_supports("avx512vbmi") != 0 &&
         __builtin_cpu_supports("avx512vnni") != 0 && __builtin_cpu_supports("bmi2") != 0;
}

// Normalised bicubic weights stay below 1.2, which is 77 in the highest digit.
std::uint8_t digit(std::int32_t weight, std::size_t d) noexcept {
  for (; d > 0; --d) weight = (weight - static_cast<std::int8_t>(weight & 0xff)) >> 8;
  return static_cast<std::uint8_t>(weight & 0xff);
}

VECLIP_AVX512 inline __m512i load(const void* p) noexcept { return _mm512_loadu_si512(p); }

VECLIP_AVX512 inline __mmask64 first_bytes(std::ptrdiff_t n) noexcept {
  return n >= 64 ? ~0ull : n <= 0 ? 0ull : _bzhi_u64(~0ull, static_cast<unsigned>(n));
}

VECLIP_AVX512 inline __m512i finish(const __m512i sums[kDigits]) noexcept {
  const __m512i high = _mm512_add_epi32(_mm512_slli_epi32(sums[2], 16), _mm512_slli_epi32(sums[1], 8));
  const __m512i all = _mm512_add_epi32(_mm512_add_epi32(sums[0], _mm512_set1_epi32(kRounding)), high);
  return _mm512_srai_epi32(all, kPrecisionBits);
}

// Horizontal weights: for every group of 16 outputs a Group, then one index vector per window, then for every block of
// four taps three digit vectors. A window is 128 input bytes from which 16 / windows lanes take their pixels; strong
// reductions need several.
struct Group {
  std::int32_t base[4];  // first pixel of each window
};

// What a window consists of: samples of how many channels, in how many bytes that one permutation chooses from.
struct WindowShape {
  int channels;
  int reach;
};

constexpr WindowShape kPixelWindow{static_cast<int>(kChannels), 128};  // two registers
constexpr WindowShape kPlaneWindow{1, 64};

int windows_needed(const AxisTable& table, const WindowShape& shape) noexcept {
  const std::size_t count = table.start.size();
  for (const std::size_t windows : {1u, 2u, 4u}) {
    const std::size_t lanes = kLanes / windows;
    bool fits = true;
    for (std::size_t x = 0; x < count; x += lanes) {
      const int spread = table.start[std::min(x + lanes, count) - 1] - table.start[x];
      fits = fits && (spread + kTapStep) * shape.channels <= shape.reach;
    }
    if (fits) return static_cast<int>(windows);
  }
  return 0;
}

std::size_t group_bytes(const Pass& pass) noexcept {
  const std::size_t blocks = static_cast<std::size_t>(pass.table.taps / kTapStep);
  return sizeof(Group) + kVectorBytes * (static_cast<std::size_t>(pass.layout) + blocks * kDigits);
}

void pack_indices(const Pass& pass, std::size_t first, int channels, std::uint8_t* out) {
  const AxisTable& table = pass.table;
  const std::size_t windows = static_cast<std::size_t>(pass.layout);
  const std::size_t lanes = kLanes / windows;
  const std::size_t last = table.start.size() - 1;
  Group group{};
  std::uint8_t* indices = out + sizeof(Group);
  for (std::size_t w = 0; w < windows; ++w, indices += kVectorBytes) {
    group.base[w] = table.start[std::min(first + w * lanes, last)];
    for (std::size_t lane = w * lanes; lane < (w + 1) * lanes; ++lane) {
      const int offset = table.start[std::min(first + lane, last)] - group.base[w];
      for (int t = 0; t < kTapStep; ++t) {
        indices[lane * kTapStep + static_cast<std::size_t>(t)] = static_cast<std::uint8_t>((offset + t) * channels);
      }
    }
  }
  std::memcpy(out, &group, sizeof group);
}

void pack_group(const Pass& pass, std::size_t first, int channels, std::uint8_t* out) {
  const AxisTable& table = pass.table;
  const std::size_t taps = static_cast<std::size_t>(table.taps);
  const std::size_t windows = static_cast<std::size_t>(pass.layout);
  pack_indices(pass, first, channels, out);
  std::uint8_t* const digits = out + sizeof(Group) + windows * kVectorBytes;
  const std::size_t lanes = std::min(kLanes, table.start.size() - first);
  for (std::size_t lane = 0; lane < lanes; ++lane) {
    for (std::size_t t = 0; t < taps; ++t) {
      const std::size_t vector = t / kTapStep * kDigits;
      const std::size_t byte = lane * kTapStep + t % kTapStep;
      for (std::size_t d = 0; d < kDigits; ++d) {
        digits[(vector + d) * kVectorBytes + byte] = digit(table.weights[(first + lane) * taps + t], d);
      }
    }
  }
}

void pack_groups(Pass& pass, const WindowShape& shape) {
  pass.layout = windows_needed(pass.table, shape);
  if (pass.layout == 0) return avx2_kernels().pack_horizontal(pass);
  const std::size_t count = pass.table.start.size();
  const std::size_t bytes = group_bytes(pass);
  pass.packed.assign((count + kLanes - 1) / kLanes * bytes, 0);
  for (std::size_t x = 0; x < count; x += kLanes) {
    pack_group(pass, x, shape.channels, pass.packed.data() + x / kLanes * bytes);
  }
}

void pack_horizontal(Pass& pass) { pack_groups(pass, kPixelWindow); }
void pack_across_planes(Pass& pass) { pack_groups(pass, kPlaneWindow); }

// The four taps of 16 outputs, for one channel, from one block of the input row.
template <std::size_t kWindows>
struct Gatherer {
  __m512i indices[kChannels][kWindows];
  const std::uint8_t* packed;

  VECLIP_AVX512 explicit Gatherer(const std::uint8_t* group) noexcept : packed(group) {
    for (std::size_t w = 0; w < kWindows; ++w) {
      indices[0][w] = load(group + sizeof(Group) + w * kVectorBytes);
      indices[1][w] = _mm512_add_epi8(indices[0][w], _mm512_set1_epi8(1));
      indices[2][w] = _mm512_add_epi8(indices[0][w], _mm512_set1_epi8(2));
    }
  }
};

struct RowEnds {
  const std::uint8_t* begin;
  const std::uint8_t* end;
};

template <std::size_t kWindows>
VECLIP_AVX512 inline void gather(const Gatherer<kWindows>& gatherer, const RowEnds& row, std::size_t block,
                                 __m512i pixels[kChannels]) noexcept {
  const std::int32_t* const base = reinterpret_cast<const Group*>(gatherer.packed)->base;
  for (std::size_t w = 0; w < kWindows; ++w) {
    const std::uint8_t* const from = row.begin + (static_cast<std::size_t>(base[w]) + block * kTapStep) * kChannels;
    const std::ptrdiff_t left = row.end - from;
    const __m512i low = _mm512_maskz_loadu_epi8(first_bytes(left), from);
    const __m512i high = _mm512_maskz_loadu_epi8(first_bytes(left - 64), from + 64);
    const __mmask64 lanes = (kWindows == 1 ? ~0ull : ((1ull << (64 / kWindows % 64)) - 1))
                            << (w * (64 / kWindows) % 64);
    for (std::size_t c = 0; c < kChannels; ++c) {
      const __m512i chosen = _mm512_permutex2var_epi8(low, gatherer.indices[c][w], high);
      pixels[c] = w == 0 ? chosen : _mm512_mask_mov_epi8(pixels[c], lanes, chosen);
    }
  }
}

template <std::size_t kWindows>
VECLIP_AVX512 inline void horizontal_group(const Gatherer<kWindows>& gatherer, const RowEnds& row, std::size_t blocks,
                                           __m512i values[kChannels]) noexcept {
  const std::uint8_t* digits = gatherer.packed + sizeof(Group) + kWindows * kVectorBytes;
  __m512i sums[kChannels][kDigits];
  for (auto& channel : sums) {
    for (__m512i& sum : channel) sum = _mm512_setzero_si512();
  }
  for (std::size_t b = 0; b < blocks; ++b) {
    __m512i pixels[kChannels];
    gather(gatherer, row, b, pixels);
    for (std::size_t d = 0; d < kDigits; ++d, digits += kVectorBytes) {
      const __m512i weights = load(digits);
      for (std::size_t c = 0; c < kChannels; ++c) sums[c][d] = _mm512_dpbusd_epi32(sums[c][d], pixels[c], weights);
    }
  }
  for (std::size_t c = 0; c < kChannels; ++c) values[c] = finish(sums[c]);
}

template <std::size_t kWindows>
VECLIP_AVX512 void horizontal_rows(const Pass& pass, const ImageView& in, std::uint8_t* out) noexcept {
  const std::size_t count = pass.table.start.size();
  const std::size_t blocks = static_cast<std::size_t>(pass.table.taps / kTapStep);
  const std::size_t stride = group_bytes(pass);
  for (std::size_t x = 0; x < count; x += kLanes) {
    const Gatherer<kWindows> gatherer(pass.packed.data() + x / kLanes * stride);
    const __mmask16 lanes = static_cast<__mmask16>(first_bytes(static_cast<std::ptrdiff_t>(count - x)));
    std::uint8_t* to = out + x;
    for (int y = 0; y < in.height; ++y) {
      const RowEnds row{in.row(y), in.row(y) + static_cast<std::size_t>(in.width) * kChannels};
      __m512i values[kChannels];
      horizontal_group(gatherer, row, blocks, values);
      for (std::size_t c = 0; c < kChannels; ++c, to += count) {
        const __m512i positive = _mm512_max_epi32(values[c], _mm512_setzero_si512());
        _mm_mask_storeu_epi8(to, lanes, _mm512_cvtusepi32_epi8(positive));
      }
    }
  }
}

void horizontal(const Pass& pass, const ImageView& in, std::uint8_t* out, std::uint8_t* scratch) noexcept {
  if (pass.layout == 0) return avx2_kernels().horizontal(pass, in, out, scratch);
  const auto run = pass.layout == 1 ? horizontal_rows<1> : pass.layout == 2 ? horizontal_rows<2> : horizontal_rows<4>;
  const std::size_t out_stride = pass.table.start.size() * kChannels;
  for (int y = 0; y < in.height; y += kRowsAtOnce) {
    const ImageView some{in.row(y), in.width, std::min(kRowsAtOnce, in.height - y), in.stride};
    run(pass, some, out + static_cast<std::size_t>(y) * out_stride);
  }
}

constexpr std::size_t kPlanesAtOnce = 4;

// Four rows from `row` on: 16 outputs of each.
template <std::size_t kWindows>
VECLIP_AVX512 inline void plane_group(const std::uint8_t* const row[kPlanesAtOnce], const std::uint8_t* packed,
                                      std::size_t blocks, __m512i values[kPlanesAtOnce]) noexcept {
  const std::int32_t* const base = reinterpret_cast<const Group*>(packed)->base;
  const std::uint8_t* const indices = packed + sizeof(Group);
  const std::uint8_t* digits = indices + kWindows * kVectorBytes;
  __m512i sums[kPlanesAtOnce][kDigits];
  for (auto& of_row : sums) {
    for (__m512i& sum : of_row) sum = _mm512_setzero_si512();
  }
  for (std::size_t b = 0; b < blocks; ++b, digits += kDigits * kVectorBytes) {
    for (std::size_t r = 0; r < kPlanesAtOnce; ++r) {
      __m512i taps = _mm512_permutexvar_epi8(load(indices), load(row[r] + base[0] + b * kTapStep));
      for (std::size_t w = 1; w < kWindows; ++w) {
        const __mmask64 lanes = ((1ull << (64 / kWindows % 64)) - 1) << (w * (64 / kWindows) % 64);
        taps = _mm512_mask_permutexvar_epi8(taps, lanes, load(indices + w * kVectorBytes),
                                            load(row[r] + base[w] + b * kTapStep));
      }
      for (std::size_t d = 0; d < kDigits; ++d) {
        sums[r][d] = _mm512_dpbusd_epi32(sums[r][d], taps, load(digits + d * kVectorBytes));
      }
    }
  }
  for (std::size_t r = 0; r < kPlanesAtOnce; ++r) values[r] = finish(sums[r]);
}

template <std::size_t kWindows>
VECLIP_AVX512 void plane_rows(const Pass& pass, const PlaneRows& in, std::uint8_t* out) noexcept {
  const std::size_t count = pass.table.start.size();
  const std::size_t blocks = static_cast<std::size_t>(pass.table.taps / kTapStep);
  const std::size_t stride = group_bytes(pass);
  for (std::size_t x = 0; x < count; x += kLanes) {
    const std::uint8_t* const packed = pass.packed.data() + x / kLanes * stride;
    const __mmask16 lanes = static_cast<__mmask16>(first_bytes(static_cast<std::ptrdiff_t>(count - x)));
    for (std::size_t y = 0; y < in.rows; y += kPlanesAtOnce) {
      const std::uint8_t* row[kPlanesAtOnce];  // the last one again where there are fewer
      for (std::size_t r = 0; r < kPlanesAtOnce; ++r) row[r] = in.data + std::min(y + r, in.rows - 1) * in.stride;
      __m512i values[kPlanesAtOnce];
      plane_group<kWindows>(row, packed, blocks, values);
      for (std::size_t r = 0; r < kPlanesAtOnce && y + r < in.rows; ++r) {
        const __m512i positive = _mm512_max_epi32(values[r], _mm512_setzero_si512());
        _mm_mask_storeu_epi8(out + (y + r) * count + x, lanes, _mm512_cvtusepi32_epi8(positive));
      }
    }
  }
}

void across_planes(const Pass& pass, const PlaneRows& in, std::uint8_t* out) noexcept {
  if (pass.layout == 0) return avx2_kernels().across_planes(pass, in, out);
  const auto run = pass.layout == 1 ? plane_rows<1> : pass.layout == 2 ? plane_rows<2> : plane_rows<4>;
  run(pass, in, out);
}

// Vertical weights: for every output and block of four taps, three times four digits.
constexpr std::size_t kVerticalBlock = kDigits * kTapStep;

void pack_vertical(Pass& pass) {
  const std::vector<std::int32_t>& weights = pass.table.weights;
  pass.packed.resize(weights.size() * kDigits);
  std::uint8_t* out = pass.packed.data();
  for (std::size_t i = 0; i < weights.size(); i += kTapStep) {
    for (std::size_t d = 0; d < kDigits; ++d) {
      for (std::size_t t = 0; t < kTapStep; ++t) *out++ = digit(weights[i + t], d);
    }
  }
}

using VerticalSums = __m512i[4][kDigits];

// Four rows of 64 bytes as 32-bit lanes of four taps; part p holds bytes 4p..4p+3 of each 16-byte lane.
VECLIP_AVX512 inline void add_rows(const __m512i rows[kTapStep], const std::uint8_t* digits,
                                   VerticalSums& sums) noexcept {
  const __m512i lower01 = _mm512_unpacklo_epi8(rows[0], rows[1]);
  const __m512i upper01 = _mm512_unpackhi_epi8(rows[0], rows[1]);
  const __m512i lower23 = _mm512_unpacklo_epi8(rows[2], rows[3]);
  const __m512i upper23 = _mm512_unpackhi_epi8(rows[2], rows[3]);
  const __m512i parts[4] = {_mm512_unpacklo_epi16(lower01, lower23), _mm512_unpackhi_epi16(lower01, lower23),
                            _mm512_unpacklo_epi16(upper01, upper23), _mm512_unpackhi_epi16(upper01, upper23)};
  for (std::size_t d = 0; d < kDigits; ++d) {
    int four;
    std::memcpy(&four, digits + d * kTapStep, sizeof four);
    const __m512i weights = _mm512_set1_epi32(four);
    for (std::size_t p = 0; p < 4; ++p) sums[p][d] = _mm512_dpbusd_epi32(sums[p][d], parts[p], weights);
  }
}

VECLIP_AVX512 void vertical(const Pass& pass, std::size_t out_row, const std::uint8_t* const* rows, std::size_t bytes,
                            std::uint8_t* out) noexcept {
  const std::size_t taps = static_cast<std::size_t>(pass.table.taps);
  const std::uint8_t* const weights = pass.packed.data() + out_row * taps * kDigits;
  for (std::size_t x = 0; x < bytes; x += 64) {
    const __mmask64 mask = first_bytes(static_cast<std::ptrdiff_t>(bytes - x));
    VerticalSums sums;
    for (auto& part : sums) {
      for (__m512i& sum : part) sum = _mm512_setzero_si512();
    }
    for (std::size_t t = 0; t < taps; t += kTapStep) {
      __m512i four[kTapStep];
      for (std::size_t i = 0; i < kTapStep; ++i) four[i] = _mm512_maskz_loadu_epi8(mask, rows[t + i] + x);
      add_rows(four, weights + t / kTapStep * kVerticalBlock, sums);
    }
    const __m512i lower = _mm512_packs_epi32(finish(sums[0]), finish(sums[1]));
    const __m512i upper = _mm512_packs_epi32(finish(sums[2]), finish(sums[3]));
    _mm512_mask_storeu_epi8(out + x, mask, _mm512_packus_epi16(lower, upper));
  }
}

}  // namespace

const Kernels& avx512_kernels() noexcept {
  static constexpr Kernels kernels{"avx512",   supported,     pack_horizontal, pack_vertical,    pack_across_planes,
                                   horizontal, across_planes, vertical,        avx2_jpeg_kernels};
  return kernels;
}

}  // namespace veclip

#endif
