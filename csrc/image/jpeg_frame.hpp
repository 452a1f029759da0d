// The headers of the baseline JPEG files that we decode ourselves, and of those that any decoder reads alike.
#pragma once

#include <array>
#include <cstdint>
#include <optional>

#include "core/byte_spans.hpp"
#include "image/limits.hpp"

namespace veclip {

inline constexpr int kBlockSide = 8;
inline constexpr int kBlockSize = kBlockSide * kBlockSide;

// Where the coefficient at each place of a block's zigzag order stands in row order.
inline constexpr std::array<std::uint8_t, kBlockSize> kRowOrder = {
    0,  1,  8,  16, 9,  2,  3,  10, 17, 24, 32, 25, 18, 11, 4,  5,  12, 19, 26, 33, 40, 48,
    41, 34, 27, 20, 13, 6,  7,  14, 21, 28, 35, 42, 49, 56, 57, 50, 43, 36, 29, 22, 15, 23,
    30, 37, 44, 51, 58, 59, 52, 45, 38, 31, 39, 46, 53, 60, 61, 54, 47, 55, 62, 63};

// Quantisation steps in row order.
struct alignas(64) QuantTable {
  std::array<std::uint16_t, kBlockSize> step;
};

struct JpegComponent {
  int id = 0;
  int across = 1;  // blocks of an MCU, horizontally and vertically
  int down = 1;
  int quant = 0;  // table numbers
  int dc = 0;
  int ac = 0;
};

// One interleaved scan of 8-bit samples: grey, or YCbCr in 4:4:4, 4:2:2, 4:4:0 or 4:2:0.
struct JpegFrame {
  int width = 0;
  int height = 0;
  int components = 0;  // 1 or 3
  std::array<JpegComponent, 3> component;
  std::array<QuantTable, 4> quant;
  std::array<Bytes, 4> dc;  // Huffman tables as in the file: 16 counts, then the symbols
  std::array<Bytes, 4> ac;
  int restart_interval = 0;  // in MCUs; 0: none
  Bytes scan;                // entropy-coded data and all that follows

  int across() const noexcept { return component[0].across; }  // of the luma, the largest
  int down() const noexcept { return component[0].down; }
  int mcus_per_row() const noexcept { return (width + across() * kBlockSide - 1) / (across() * kBlockSide); }
  int mcu_rows() const noexcept { return (height + down() * kBlockSide - 1) / (down() * kBlockSide); }
};

// Nothing where the file is anything but the most regular baseline JPEG: such files are libjpeg-turbo's business.
std::optional<JpegFrame> parse_jpeg_frame(Bytes data) noexcept;

struct JpegSize {
  int width;
  int height;
};

// The size of a file within the limits that a decoder which is not ours may be given, because all of them read it
// alike; else nothing. Such a file has headers as regular as above, sequential or progressive; it is grey, or YCbCr by
// every sign in it (component numbers from 0 or 1 on, no Adobe marker that says otherwise), and its last bytes are the
// end-of-image marker. The coded data are not looked at: they may still be damaged.
std::optional<JpegSize> plain_jpeg(Bytes data, const Limits& limits) noexcept;

}  // namespace veclip
