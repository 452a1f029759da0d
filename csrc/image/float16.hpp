// The two floating-point formats of 16 bits, as bit patterns: bfloat16 (the upper half of a float32) and IEEE binary16.
#pragma once

#include <bit>
#include <cstdint>

namespace veclip {

// The nearest one, ties to even. `value` is no NaN.
inline std::uint16_t to_bfloat16(float value) noexcept {
  const std::uint32_t bits = std::bit_cast<std::uint32_t>(value);
  return static_cast<std::uint16_t>((bits + 0x7fffu + ((bits >> 16) & 1u)) >> 16);
}

// The nearest one, ties to even; infinity from 65,520 on. `value` is no NaN.
inline std::uint16_t to_float16(float value) noexcept {
  constexpr std::uint32_t kTooLarge = 0x47800000;  // 2^16
  constexpr std::uint32_t kNormal = 0x38800000;    // 2^-14
  constexpr std::uint32_t kRebias = 0x38000000;    // 127 - 15, as an exponent
  const std::uint32_t bits = std::bit_cast<std::uint32_t>(value);
  const std::uint32_t sign = bits >> 16 & 0x8000u;
  std::uint32_t size = bits & 0x7fffffffu;
  if (size >= kTooLarge) return static_cast<std::uint16_t>(sign | 0x7c00u);
  if (size < kNormal) {  // the last digit of a float32 beside 0.5 is 2^-24, that of the subnormal ones
    size = std::bit_cast<std::uint32_t>(std::bit_cast<float>(size) + 0.5f) - std::bit_cast<std::uint32_t>(0.5f);
  } else {
    size = (size - kRebias + 0xfffu + (size >> 13 & 1u)) >> 13;
  }
  return static_cast<std::uint16_t>(sign | size);
}

}  // namespace veclip
