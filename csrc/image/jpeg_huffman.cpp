#include "image/jpeg_huffman.hpp"

#include <algorithm>

namespace veclip {

namespace {

constexpr int kLargestDc = 11;  // bits of a value in 8-bit baseline
constexpr int kLargestAc = 10;

HuffmanEntry dc_entry(int symbol, int code_bits) noexcept {
  return symbol <= kLargestDc ? HuffmanEntry::make(code_bits, symbol, 1) : HuffmanEntry{};
}

HuffmanEntry ac_entry(int symbol, int code_bits) noexcept {
  const int run = symbol >> 4;
  const int value_bits = symbol & 15;
  if (symbol == 0) return HuffmanEntry::make(code_bits, 0, kEndOfBlock);
  if (value_bits > kLargestAc || (value_bits == 0 && run != 15)) return {};
  return HuffmanEntry::make(code_bits, value_bits, run + 1);
}

}  // namespace

bool HuffmanTable::set(Bytes definition, HuffmanClass kind) {
  if (valid_ && std::ranges::equal(definition, definition_)) return true;
  definition_.assign(definition.begin(), definition.end());
  valid_ = build(kind);
  return valid_;
}

bool HuffmanTable::build(HuffmanClass kind) noexcept {
  lookup_.fill({});
  limit_.fill(0);
  std::uint32_t code = 0;
  std::size_t next = 0;
  for (int bits = 1; bits <= kLongestCode; ++bits, code <<= 1) {
    offset_[static_cast<std::size_t>(bits)] = static_cast<int>(next) - static_cast<int>(code);
    for (int n = definition_[static_cast<std::size_t>(bits - 1)]; n > 0; --n, ++code, ++next) {
      if (code + 1 >= 1u << bits) return false;  // a code of nothing but ones, or too many codes
      const int symbol = definition_[16 + next];
      if (kind == HuffmanClass::kDc && symbol > 15) return false;
      const HuffmanEntry entry = kind == HuffmanClass::kDc ? dc_entry(symbol, bits) : ac_entry(symbol, bits);
      symbols_[next] = entry;
      if (bits > kLookupBits) continue;
      const std::uint32_t first = code << (kLookupBits - bits);
      std::fill_n(lookup_.begin() + first, 1u << (kLookupBits - bits), entry);
    }
    limit_[static_cast<std::size_t>(bits)] = code << (kLongestCode - bits);
  }
  return true;
}

HuffmanEntry HuffmanTable::find_long(std::uint64_t bits) const noexcept {
  const auto code = static_cast<std::uint32_t>(bits >> (64 - kLongestCode));
  for (std::size_t length = 1; length <= kLongestCode; ++length) {
    if (code >= limit_[length]) continue;
    return symbols_[static_cast<std::size_t>(static_cast<int>(code >> (kLongestCode - length)) + offset_[length])];
  }
  return {};
}

}  // namespace veclip
