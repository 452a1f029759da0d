#include "image/png_metadata.hpp"

#include <algorithm>
#include <array>

#include "image/inflate.hpp"

namespace veclip {

namespace {

constexpr std::size_t kMaxText = std::size_t{1} << 20;        // PngImagePlugin.MAX_TEXT_CHUNK, decompressed
constexpr std::size_t kMaxTextTotal = std::size_t{64} << 20;  // PngImagePlugin.MAX_TEXT_MEMORY

struct Inflated {
  bool too_large = false;
  bool broken = false;
  std::size_t size = 0;
};

// How much a compressed text holds, without keeping it.
Inflated measure(Bytes data) noexcept {
  Inflated out;
  Inflater inflater;
  inflater.give(data);
  std::array<std::uint8_t, 16384> scratch;
  while (inflater.ready() && out.size < kMaxText) {
    std::size_t produced = 0;
    const int code = inflater.run(scratch.data(), std::min(scratch.size(), kMaxText - out.size), produced);
    out.size += produced;
    if (code == Z_STREAM_END || code == Z_BUF_ERROR) return out;
    out.broken = code != Z_OK;
    if (out.broken || produced == 0) return out;
  }
  out.too_large = inflater.input_left() > 0;
  return out;
}

Status add_text(std::size_t size, std::size_t& text_total) noexcept {
  text_total += size;
  return text_total > kMaxTextTotal ? Status::kCorrupt : Status::kOk;
}

// What follows the first NUL, or nothing; `key_size` is what precedes it.
Bytes after_nul(Bytes data, std::size_t& key_size) noexcept {
  const auto nul = std::ranges::find(data, std::uint8_t{0});
  key_size = static_cast<std::size_t>(nul - data.begin());
  return nul == data.end() ? Bytes{} : data.subspan(key_size + 1);
}

Status check_profile(Bytes data) noexcept {
  std::size_t name_size = 0;
  const Bytes rest = after_nul(data, name_size);
  // Without a NUL Pillow's search gives -1, and the byte after that is the first.
  const bool has_nul = name_size < data.size();
  const Bytes method = has_nul ? rest : data;
  if (method.empty() || method[0] != 0) return Status::kCorrupt;
  return measure(method.subspan(1)).too_large ? Status::kCorrupt : Status::kOk;
}

Status check_text(Bytes data, std::size_t& text_total) noexcept {
  std::size_t key_size = 0;
  const Bytes text = after_nul(data, key_size);
  return key_size == 0 ? Status::kOk : add_text(text.size(), text_total);
}

Status check_compressed_text(Bytes data, std::size_t& text_total) noexcept {
  std::size_t key_size = 0;
  const Bytes text = after_nul(data, key_size);
  if (!text.empty() && text[0] != 0) return Status::kCorrupt;
  const Inflated inflated = measure(text.empty() ? text : text.subspan(1));
  if (inflated.too_large) return Status::kCorrupt;
  return key_size == 0 || inflated.broken ? Status::kOk : add_text(inflated.size, text_total);
}

Status check_international_text(Bytes data, std::size_t& text_total) noexcept {
  std::size_t size = 0;
  const Bytes flags = after_nul(data, size);
  if (size == data.size() || flags.size() < 2) return Status::kOk;
  const Bytes names = flags.subspan(2);
  const Bytes translated = after_nul(names, size);
  if (size == names.size()) return Status::kOk;
  const Bytes text = after_nul(translated, size);
  if (size == translated.size()) return Status::kOk;
  if (flags[0] == 0) return add_text(text.size(), text_total);
  if (flags[1] != 0) return Status::kOk;
  const Inflated inflated = measure(text);
  if (inflated.too_large) return Status::kCorrupt;
  return inflated.broken ? Status::kOk : add_text(inflated.size, text_total);
}

Status at_least(Bytes data, std::size_t size) noexcept { return data.size() < size ? Status::kCorrupt : Status::kOk; }

}  // namespace

Status check_png_metadata(std::uint32_t name, Bytes data, std::size_t& text_total) noexcept {
  switch (name) {
    case png_name("iCCP"):
      return check_profile(data);
    case png_name("gAMA"):
      return at_least(data, 4);
    case png_name("cHRM"):
      return data.size() % 4 == 0 ? Status::kOk : Status::kCorrupt;
    case png_name("sRGB"):
      return at_least(data, 1);
    case png_name("pHYs"):
      return at_least(data, 9);
    case png_name("tEXt"):
      return check_text(data, text_total);
    case png_name("zTXt"):
      return check_compressed_text(data, text_total);
    case png_name("iTXt"):
      return check_international_text(data, text_total);
    default:
      return Status::kOk;
  }
}

}  // namespace veclip
