// Reading MCUs. Inline, so that each instruction set compiles it for itself.
#pragma once

#include <bit>
#include <cstring>

#include "image/jpeg_kernels.hpp"

namespace veclip {

#define VECLIP_INLINE __attribute__((always_inline)) inline

VECLIP_INLINE std::uint64_t load_be64(const std::uint8_t* p) noexcept {
  std::uint64_t word;
  std::memcpy(&word, p, sizeof word);
  if constexpr (std::endian::native == std::endian::little) word = __builtin_bswap64(word);
  return word;
}

// At least 56 bits afterwards. Bits beyond `count` are those of the next byte already: or-ing them again is harmless.
VECLIP_INLINE void refill(BitReader& reader) noexcept {
  reader.bits |= load_be64(reader.next) >> reader.count;
  reader.next += (63 - reader.count) >> 3;
  reader.count |= 56;
}

VECLIP_INLINE void consume(BitReader& reader, HuffmanEntry entry) noexcept {
  reader.bits <<= entry.bits() & 63;
  reader.count -= static_cast<unsigned>(entry.bits());
}

// The value behind a code: `n` bits; with a first bit of 0 it is what they say minus (2^n - 1). 0 for n = 0.
VECLIP_INLINE int value_of(std::uint64_t bits, HuffmanEntry entry) noexcept {
  const std::uint64_t value = bits << (entry.code_bits() & 63);
  const std::uint64_t inverted = static_cast<std::uint64_t>(~static_cast<std::int64_t>(value) >> 63);  // negative
  const std::uint64_t magnitude = ((value ^ inverted) >> 1) >> (entry.value_shift() & 63);
  return static_cast<int>((magnitude ^ inverted) - inverted);
}

// Far beyond what an encoder writes; a file that gets there is damaged.
inline constexpr int kLargestDcValue = 1 << 14;

enum class Step { kMore, kDone, kBad };

VECLIP_INLINE Step read_coefficient(BitReader& reader, const McuBlock& block, int& place) noexcept {
  const HuffmanEntry entry = block.ac->find(reader.bits);
  const int next = place + entry.advance();
  if (next >= kBlockSize) {
    consume(reader, entry);
    return next >= kEndOfBlock ? Step::kDone : Step::kBad;
  }
  block.coefficients[kRowOrder[static_cast<std::size_t>(next)]] =
      static_cast<std::int16_t>(value_of(reader.bits, entry));
  consume(reader, entry);
  if (next == place) return Step::kBad;  // no symbol
  place = next;
  return next == kBlockSize - 1 ? Step::kDone : Step::kMore;
}

// A code and its value take 27 bits at most, so that one refill serves two symbols.
VECLIP_INLINE bool read_block(BitReader& reader, const McuBlock& block) noexcept {
  refill(reader);
  const HuffmanEntry entry = block.dc->find(reader.bits);
  if (!entry.known()) return false;
  const int dc = *block.prediction += value_of(reader.bits, entry);
  consume(reader, entry);
  if (dc < -kLargestDcValue || dc > kLargestDcValue) return false;
  block.coefficients[0] = static_cast<std::int16_t>(dc);
  int place = 0;
  Step step = read_coefficient(reader, block, place);
  while (step == Step::kMore) {
    refill(reader);
    step = read_coefficient(reader, block, place);
    if (step == Step::kMore) step = read_coefficient(reader, block, place);
  }
  *block.last = static_cast<std::uint8_t>(place);
  return step == Step::kDone;
}

VECLIP_INLINE bool read_mcus_inline(BitReader& state, McuRun& run) noexcept {
  BitReader reader = state;
  for (int mcu = 0; mcu < run.mcus; ++mcu) {
    if (reader.next > run.end + sizeof(std::uint64_t)) return false;  // what lies beyond is slack for one MCU
    for (std::size_t b = 0; b < run.blocks; ++b) {
      McuBlock& block = run.block[b];
      if (!read_block(reader, block)) return false;
      block.coefficients += block.step * kBlockSize;
      block.last += block.step;
    }
  }
  state = reader;
  return true;
}

}  // namespace veclip
