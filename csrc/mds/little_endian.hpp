// Unaligned little-endian integers, the byte order of every MDS file.
#pragma once

#include <bit>
#include <cstdint>
#include <cstring>

namespace veclip::mds {

static_assert(std::endian::native == std::endian::little, "MDS integers are read and written in native order");

inline std::uint32_t load_u32(const std::uint8_t* from) noexcept {
  std::uint32_t value;
  std::memcpy(&value, from, sizeof value);
  return value;
}

inline void store_u32(std::uint8_t* to, std::uint32_t value) noexcept { std::memcpy(to, &value, sizeof value); }

}  // namespace veclip::mds
