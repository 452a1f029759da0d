// A cursor over bytes that nobody vouches for: every read is checked and says whether it succeeded.
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <optional>
#include <string_view>

#include "core/byte_spans.hpp"

namespace veclip {

inline std::uint16_t load_be16(const std::uint8_t* p) noexcept { return static_cast<std::uint16_t>(p[0] << 8 | p[1]); }

inline std::uint16_t load_le16(const std::uint8_t* p) noexcept { return static_cast<std::uint16_t>(p[1] << 8 | p[0]); }

inline std::uint32_t load_be32(const std::uint8_t* p) noexcept {
  return std::uint32_t{p[0]} << 24 | std::uint32_t{p[1]} << 16 | std::uint32_t{p[2]} << 8 | p[3];
}

inline std::uint32_t load_le32(const std::uint8_t* p) noexcept {
  return std::uint32_t{p[3]} << 24 | std::uint32_t{p[2]} << 16 | std::uint32_t{p[1]} << 8 | p[0];
}

inline std::uint32_t load_le24(const std::uint8_t* p) noexcept {
  return std::uint32_t{p[2]} << 16 | std::uint32_t{p[1]} << 8 | p[0];
}

inline bool starts_with(Bytes data, std::string_view prefix) noexcept {
  return data.size() >= prefix.size() && std::memcmp(data.data(), prefix.data(), prefix.size()) == 0;
}

class ByteReader {
 public:
  explicit ByteReader(Bytes data) noexcept : data_(data) {}

  std::size_t position() const noexcept { return position_; }
  std::size_t remaining() const noexcept { return data_.size() - position_; }

  // Exactly `count` bytes, or nothing and no movement.
  std::optional<Bytes> take(std::size_t count) noexcept {
    if (count > remaining()) return std::nullopt;
    const Bytes out = data_.subspan(position_, count);
    position_ += count;
    return out;
  }
  // As many as there are, up to `count`.
  Bytes take_up_to(std::size_t count) noexcept { return *take(std::min(count, remaining())); }

  std::optional<std::uint8_t> u8() noexcept {
    const auto bytes = take(1);
    return bytes ? std::optional((*bytes)[0]) : std::nullopt;
  }
  std::optional<std::uint16_t> be16() noexcept {
    const auto bytes = take(2);
    return bytes ? std::optional(load_be16(bytes->data())) : std::nullopt;
  }

 private:
  Bytes data_;
  std::size_t position_ = 0;
};

}  // namespace veclip
