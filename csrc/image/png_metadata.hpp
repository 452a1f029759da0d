// PNG chunks that do not change pixels but make Pillow refuse a file when they break its rules.
#pragma once

#include <cstddef>
#include <cstdint>

#include "core/byte_spans.hpp"
#include "core/status.hpp"

namespace veclip {

constexpr std::uint32_t png_name(const char (&text)[5]) noexcept {
  return std::uint32_t(static_cast<unsigned char>(text[0])) << 24 |
         std::uint32_t(static_cast<unsigned char>(text[1])) << 16 |
         std::uint32_t(static_cast<unsigned char>(text[2])) << 8 | static_cast<unsigned char>(text[3]);
}

// iCCP, gAMA, cHRM, sRGB, pHYs, tEXt, zTXt and iTXt; others are fine. `text_total` adds up over the file.
Status check_png_metadata(std::uint32_t name, Bytes data, std::size_t& text_total) noexcept;

}  // namespace veclip
