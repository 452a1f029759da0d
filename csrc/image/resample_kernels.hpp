// The two passes as each instruction set runs them. All give the same bytes (tests/native/test_resample.py).
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <string_view>
#include <vector>

#include "image/jpeg_kernels.hpp"
#include "image/resample_table.hpp"
#include "image/types.hpp"

namespace veclip {

// A table plus the same weights in whatever layout the kernel that made it likes best. Shared and never changed.
struct Pass {
  AxisTable table;
  std::vector<std::uint8_t> packed;
  int layout = 0;  // for kernels that know several
};

struct Kernels {
  std::string_view name;
  bool (*supported)() noexcept;
  // Fills pass.packed from pass.table.
  void (*pack_horizontal)(Pass& pass);
  void (*pack_vertical)(Pass& pass);
  void (*pack_across_planes)(Pass& pass);
  // Interleaved rows in; planar rows out: `count` reds, `count` greens, `count` blues, without gaps.
  // `scratch` has horizontal_scratch(width) bytes.
  void (*horizontal)(const Pass& pass, const ImageView& in, std::uint8_t* out, std::uint8_t* scratch) noexcept;
  // The same for rows of single samples, one output row for each.
  void (*across_planes)(const Pass& pass, const PlaneRows& in, std::uint8_t* out) noexcept;
  // One output row of `bytes` bytes, whatever their layout; rows[t] is the input row of tap t (table.taps of them).
  void (*vertical)(const Pass& pass, std::size_t out_row, const std::uint8_t* const* rows, std::size_t bytes,
                   std::uint8_t* out) noexcept;
  const JpegKernels& (*jpeg)() noexcept;  // for decoding
};

// Room for a copy of one row that kernels may read past.
inline constexpr std::size_t kRowSlack = 256;
constexpr std::size_t horizontal_scratch(int width) noexcept {
  return static_cast<std::size_t>(width) * kChannels + kRowSlack;
}

// (acc >> 22) clipped to 0..255, as Pillow's clip8.
constexpr std::uint8_t clip8(std::int32_t acc) noexcept {
  const std::int32_t value = acc >> kPrecisionBits;
  return static_cast<std::uint8_t>(value < 0 ? 0 : value > 255 ? 255 : value);
}

inline constexpr std::int32_t kRounding = 1 << (kPrecisionBits - 1);

const Kernels& scalar_kernels() noexcept;
#if defined(__x86_64__)
const Kernels& avx2_kernels() noexcept;
const Kernels& avx512_kernels() noexcept;
#endif

// The kernels in use: the best that this processor runs, unless choose_kernels said otherwise.
const Kernels& current_kernels() noexcept;

// For tests: "auto", "scalar", "avx2" or "avx512". False if there is no such name or the processor lacks it.
bool choose_kernels(std::string_view name) noexcept;

// Names that choose_kernels accepts on this processor, best first.
std::vector<std::string_view> usable_kernels();

enum class Direction { kHorizontal, kVertical, kAcrossPlanes };

// From a bounded cache if it can be had without waiting, else made anew.
std::shared_ptr<const Pass> get_pass(const Kernels& kernels, Direction direction, const Axis& axis);

}  // namespace veclip
