// Rows of PNG samples: filters undone, samples turned into RGB as Pillow's modes and convert("RGB") do.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>

#include "core/status.hpp"
#include "image/png_stream.hpp"

namespace veclip {

using PngPalette = std::array<std::uint8_t, 256 * 3>;

// Entries that the file does not give are black. kCorrupt for more than 256.
Status make_palette(Bytes triples, PngPalette& out) noexcept;

int bits_per_pixel(PngPixels pixels) noexcept;

// Undoes the filter of `row`, which begins with the filter's number; `above` begins with any byte. `size` counts
// what follows, `step` is the distance to the pixel on the left in bytes.
Status undo_filter(std::uint8_t* row, const std::uint8_t* above, std::size_t size, std::size_t step) noexcept;

// Writes `count` pixels, `stride` bytes apart.
void unpack_row(PngPixels pixels, const PngPalette& palette, const std::uint8_t* in, std::int64_t count,
                std::uint8_t* out, std::size_t stride) noexcept;

}  // namespace veclip
