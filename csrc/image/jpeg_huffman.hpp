// Huffman tables for decoding, one look-up for most codes.
#pragma once

#include <array>
#include <cstdint>
#include <vector>

#include "core/byte_spans.hpp"

namespace veclip {

inline constexpr int kLookupBits = 10;  // longer codes are rare
inline constexpr int kLongestCode = 16;
inline constexpr int kEndOfBlock = 128;  // an advance beyond every place in a block

// A decoded symbol: how many bits its code has, how many code and value have together, and how far it advances
// through the zigzag order. 0 is no symbol at all.
struct HuffmanEntry {
  std::uint32_t word = 0;

  static constexpr HuffmanEntry make(int code_bits, int value_bits, int advance) noexcept {
    return {static_cast<std::uint32_t>(code_bits + value_bits) | static_cast<std::uint32_t>(63 - value_bits) << 8 |
            static_cast<std::uint32_t>(code_bits) << 16 | static_cast<std::uint32_t>(advance) << 24};
  }
  constexpr bool known() const noexcept { return word != 0; }
  constexpr int bits() const noexcept { return word & 0xff; }
  constexpr int value_shift() const noexcept { return word >> 8 & 0xff; }  // 63 - bits of the value
  constexpr int code_bits() const noexcept { return word >> 16 & 0xff; }
  constexpr int advance() const noexcept { return static_cast<int>(word >> 24); }
};

enum class HuffmanClass { kDc, kAc };

class HuffmanTable {
 public:
  // `definition`: 16 counts, then the symbols, complete. False where libjpeg, or baseline's rules, would object.
  // Costs nothing when it equals the last one.
  bool set(Bytes definition, HuffmanClass kind);

  // The symbol that `bits` (most significant first) begin with; unknown for what baseline has no use for.
  HuffmanEntry find(std::uint64_t bits) const noexcept {
    const HuffmanEntry entry = lookup_[bits >> (64 - kLookupBits)];
    return entry.known() ? entry : find_long(bits);
  }

 private:
  bool build(HuffmanClass kind) noexcept;
  HuffmanEntry find_long(std::uint64_t bits) const noexcept;

  std::vector<std::uint8_t> definition_;
  bool valid_ = false;
  std::array<HuffmanEntry, 1 << kLookupBits> lookup_;
  std::array<HuffmanEntry, 256> symbols_;
  // Of each length: the first code beyond it, left-aligned in 17 bits, and what to add to a code to find its symbol.
  std::array<std::uint32_t, kLongestCode + 1> limit_;
  std::array<int, kLongestCode + 1> offset_;
};

}  // namespace veclip
