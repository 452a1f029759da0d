// Counter-based random numbers: Philox4x32-10 (Salmon et al., "Parallel random numbers: as easy as 1, 2, 3", SC 2011).
// engine/draws/philox.py is the same in Python; tests/native/philox_vectors.json holds for both.
#pragma once

#include <array>
#include <cstdint>

namespace veclip {

using PhiloxCounter = std::array<std::uint32_t, 4>;
using PhiloxKey = std::array<std::uint32_t, 2>;

constexpr PhiloxCounter philox4x32(PhiloxCounter c, PhiloxKey k) noexcept {
  constexpr std::uint64_t kMultiplier0 = 0xD2511F53;
  constexpr std::uint64_t kMultiplier1 = 0xCD9E8D57;
  constexpr std::uint32_t kWeyl0 = 0x9E3779B9;
  constexpr std::uint32_t kWeyl1 = 0xBB67AE85;
  for (int round = 0; round < 10; ++round) {
    const std::uint64_t product0 = kMultiplier0 * c[0];
    const std::uint64_t product1 = kMultiplier1 * c[2];
    c = {static_cast<std::uint32_t>(product1 >> 32) ^ c[1] ^ k[0], static_cast<std::uint32_t>(product1),
         static_cast<std::uint32_t>(product0 >> 32) ^ c[3] ^ k[1], static_cast<std::uint32_t>(product0)};
    k = {k[0] + kWeyl0, k[1] + kWeyl1};
  }
  return c;
}

// What a draw is for; separates streams of one sample and epoch (docs/architecture.md, "Random draws").
enum class Purpose : std::uint32_t { kCaption = 0, kCrop = 1 };

// Names all draws for one sample in one epoch of one run.
struct DrawKey {
  std::uint64_t key_hash = 0;  // xxh3_64 of the sample key
  std::uint64_t seed = 0;
  std::uint32_t epoch = 0;
};

constexpr PhiloxCounter draw_words(const DrawKey& key, Purpose purpose, std::uint32_t block) noexcept {
  const PhiloxCounter counter{static_cast<std::uint32_t>(key.key_hash), static_cast<std::uint32_t>(key.key_hash >> 32),
                              key.epoch, static_cast<std::uint32_t>(purpose) << 16 | block};
  return philox4x32(counter, {static_cast<std::uint32_t>(key.seed), static_cast<std::uint32_t>(key.seed >> 32)});
}

// In [0, 1), exact in double.
constexpr double uniform(std::uint32_t word) noexcept { return word * 0x1p-32; }

// In [0, n); n >= 1.
constexpr std::uint32_t below(std::uint32_t word, std::uint32_t n) noexcept {
  return static_cast<std::uint32_t>((static_cast<std::uint64_t>(word) * n) >> 32);
}

}  // namespace veclip
