// The parts of JPEG decoding that each instruction set has its own code for. All give the same bytes.
#pragma once

#include <cstddef>
#include <cstdint>

#include "image/jpeg_frame.hpp"
#include "image/jpeg_huffman.hpp"

namespace veclip {

inline constexpr std::size_t kMostBlocks = 6;    // of an MCU
inline constexpr std::size_t kScanSlack = 2048;  // readable bytes behind entropy-coded data: more than an MCU can take
inline constexpr std::size_t kSampleSlack =
    64;  // bytes before and behind a row of samples that kernels may read, and write behind

// Entropy-coded data without stuffing, read from the most significant bit on.
struct BitReader {
  const std::uint8_t* next = nullptr;
  std::uint64_t bits = 0;
  unsigned count = 0;  // valid bits, from the top of `bits`
};

// One of an MCU's blocks, and where the next MCU's goes.
struct McuBlock {
  const HuffmanTable* dc;
  const HuffmanTable* ac;
  int* prediction;
  std::int16_t* coefficients;  // zeros before, in row order after
  std::uint8_t* last;          // place in the zigzag order of the last coefficient that may differ from 0
  std::size_t step;            // blocks from one MCU to the next
};

struct McuRun {
  std::size_t blocks = 0;
  McuBlock block[kMostBlocks];
  const std::uint8_t* end = nullptr;  // of the data
  int mcus = 0;
};

// Blocks side by side to rows of samples.
struct BlockRow {
  const std::int16_t* coefficients;
  const std::uint8_t* last;
  std::size_t blocks;
  const QuantTable* quant;
  std::uint8_t* samples;
  std::size_t stride;
};

// Rows of single samples, each with kSampleSlack readable bytes behind it.
struct PlaneRows {
  const std::uint8_t* data;
  std::size_t rows;
  std::size_t stride;
};

// Two rows of chroma samples, from which one row of twice the width is made.
struct ChromaRows {
  const std::uint8_t* near;
  const std::uint8_t* far;
  std::size_t width;
};

struct YccRow {
  const std::uint8_t* y;
  const std::uint8_t* cb;
  const std::uint8_t* cr;
};

struct RgbRow {
  std::uint8_t* r;
  std::uint8_t* g;
  std::uint8_t* b;
};

// The same to read from.
struct RgbPlanes {
  const std::uint8_t* r;
  const std::uint8_t* g;
  const std::uint8_t* b;
};

struct JpegKernels {
  // False where the data break a rule or end early; moves each block of `run` on.
  bool (*read_mcus)(BitReader& reader, McuRun& run) noexcept;
  // False where a sum might leave the range in which libjpeg-turbo's implementations agree.
  bool (*inverse_dct)(const BlockRow& row) noexcept;
  // libjpeg's "fancy" upsampling: h2v1 (`near` alone), h2v2, h1v2 with its rounding of 1 above and 2 below.
  void (*widen)(const ChromaRows& rows, std::uint8_t* out) noexcept;
  void (*widen_between)(const ChromaRows& rows, std::uint8_t* out) noexcept;
  void (*between)(const ChromaRows& rows, int rounding, std::uint8_t* out) noexcept;
  void (*to_rgb)(const YccRow& in, std::size_t width, const RgbRow& out) noexcept;
  void (*interleave)(const RgbPlanes& in, std::size_t width, std::uint8_t* out) noexcept;
};

const JpegKernels& scalar_jpeg_kernels() noexcept;
#if defined(__x86_64__)
const JpegKernels& avx2_jpeg_kernels() noexcept;
#endif

// Those that belong to the resampling kernels in use (choose_kernels).
const JpegKernels& current_jpeg_kernels() noexcept;

}  // namespace veclip
