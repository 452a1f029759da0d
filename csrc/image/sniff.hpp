// Which format a file has, by its magic bytes and never by its name.
#pragma once

#include <optional>

#include "core/byte_reader.hpp"
#include "core/status.hpp"
#include "image/limits.hpp"

namespace veclip {

inline std::optional<ImageFormat> sniff(Bytes data) noexcept {
  if (starts_with(data, "\xff\xd8\xff")) return ImageFormat::kJpeg;
  if (starts_with(data, "\x89PNG\r\n\x1a\n")) return ImageFormat::kPng;
  if (starts_with(data, "RIFF") && data.size() >= 12 && starts_with(data.subspan(8), "WEBP")) {
    return ImageFormat::kWebp;
  }
  return std::nullopt;
}

// What can be said before any header is read.
inline Status check_file(Bytes data, const Limits& limits) noexcept {
  if (data.empty()) return Status::kEmpty;
  if (static_cast<std::int64_t>(data.size()) > limits.max_bytes) return Status::kFileTooLarge;
  return sniff(data) ? Status::kOk : Status::kUnsupportedFormat;
}

}  // namespace veclip
