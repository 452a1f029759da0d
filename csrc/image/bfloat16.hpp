// bfloat16: the upper half of a float32.
#pragma once

#include <bit>
#include <cstdint>

namespace veclip {

// The nearest one, ties to even; the bit pattern. `value` is finite.
inline std::uint16_t to_bfloat16(float value) noexcept {
  const std::uint32_t bits = std::bit_cast<std::uint32_t>(value);
  return static_cast<std::uint16_t>((bits + 0x7fffu + ((bits >> 16) & 1u)) >> 16);
}

}  // namespace veclip
