#include "image/jpeg_header.hpp"

#include <algorithm>

#include "core/byte_reader.hpp"

namespace veclip {

namespace {

constexpr std::uint8_t kMarkerPrefix = 0xff;

// Pillow reads some application segments for their metadata and refuses the file where they are cut short.
struct Walk {
  ByteReader reader;
  JpegHeader header;
  bool has_icc = false;
  Bytes first_icc;  // smallest ICC segment since the last frame header, in byte order
};

bool is_frame_header(int marker) noexcept {
  if (marker == 0xde) return true;  // hierarchical progression carries a frame header
  return marker >= 0xc0 && marker <= 0xcf && marker != 0xc4 && marker != 0xc8 && marker != 0xcc;
}

// Markers whose two length bytes Pillow follows; restart, SOI, EOI and the reserved JPGn stand alone for it.
bool has_payload(int marker) noexcept {
  if (marker == 0xc8 || (marker >= 0xd0 && marker <= 0xd9)) return false;
  return (marker >= 0xc0 && marker <= 0xef) || marker == 0xfe;
}

bool is_known(int marker) noexcept { return marker >= 0xc0 && marker <= 0xfe; }

bool is_progressive(int marker) noexcept {
  return marker == 0xc2 || marker == 0xc6 || marker == 0xca || marker == 0xce;
}

Status read_frame_header(int marker, Bytes payload, Walk& walk) noexcept {
  if (payload.size() < 6 || payload.size() % 3 != 0) return Status::kCorrupt;
  if (walk.has_icc && walk.first_icc.size() < 14) return Status::kCorrupt;
  walk.has_icc = false;
  if (payload[0] != 8) return Status::kUnsupportedVariant;
  const int components = payload[5];
  if (components != 1 && components != 3 && components != 4) return Status::kUnsupportedVariant;
  walk.header.height = load_be16(&payload[1]);
  walk.header.width = load_be16(&payload[3]);
  walk.header.components = components;
  walk.header.progressive |= is_progressive(marker);
  return Status::kOk;
}

Status check_quantization_tables(Bytes payload) noexcept {
  while (!payload.empty()) {
    const std::size_t bytes_per_entry = payload[0] < 16 ? 1 : 2;
    const std::size_t size = 1 + 64 * bytes_per_entry;
    if (payload.size() < size) return Status::kCorrupt;
    payload = payload.subspan(size);
  }
  return Status::kOk;
}

// Photoshop's resource blocks: only a name length that lies outside the segment makes Pillow refuse the file.
Status check_photoshop(Bytes payload) noexcept {
  std::size_t at = 14;
  while (at <= payload.size() && starts_with(payload.subspan(at), "8BIM")) {
    at += 4;
    if (at + 2 > payload.size()) return Status::kOk;
    const int code = load_be16(&payload[at]);
    at += 2;
    if (at >= payload.size()) return Status::kCorrupt;
    at += 1 + std::size_t{payload[at]};
    at += at & 1;
    if (at + 4 > payload.size()) return Status::kOk;
    const std::size_t size = load_be32(&payload[at]);
    at += 4;
    const std::size_t present = at < payload.size() ? std::min(size, payload.size() - at) : 0;
    if (code == 0x03ed && present < 14) return Status::kOk;
    at += size;
    at += at & 1;
  }
  return Status::kOk;
}

void remember_icc(Bytes payload, Walk& walk) noexcept {
  if (!walk.has_icc || std::ranges::lexicographical_compare(payload, walk.first_icc)) walk.first_icc = payload;
  walk.has_icc = true;
}

Status check_application_segment(int marker, Bytes payload, Walk& walk) noexcept {
  if (marker == 0xe0 && starts_with(payload, "JFIF")) return payload.size() < 7 ? Status::kCorrupt : Status::kOk;
  if (marker == 0xee && starts_with(payload, "Adobe")) return payload.size() < 7 ? Status::kCorrupt : Status::kOk;
  if (marker == 0xe2 && starts_with(payload, std::string_view("ICC_PROFILE\0", 12))) remember_icc(payload, walk);
  if (marker == 0xed && starts_with(payload, std::string_view("Photoshop 3.0\0", 14))) return check_photoshop(payload);
  return Status::kOk;
}

Status read_segment(int marker, Walk& walk) noexcept {
  const auto length = walk.reader.be16();
  if (!length) return Status::kTruncated;
  const auto payload = walk.reader.take(*length > 2 ? *length - 2u : 0u);
  if (!payload) return Status::kTruncated;
  if (is_frame_header(marker)) return read_frame_header(marker, *payload, walk);
  if (marker == 0xdb) return check_quantization_tables(*payload);
  if (marker >= 0xe0 && marker <= 0xef) return check_application_segment(marker, *payload, walk);
  return Status::kOk;
}

// The next marker's code; junk between markers, padding and escaped 0xff are skipped.
std::optional<int> next_marker(ByteReader& reader, bool& prefix_seen) noexcept {
  while (const auto byte = reader.u8()) {
    if (!prefix_seen) {
      prefix_seen = *byte == kMarkerPrefix;
    } else if (*byte != kMarkerPrefix) {
      prefix_seen = false;
      if (*byte != 0) return *byte;
    }
  }
  return std::nullopt;
}

}  // namespace

Status read_jpeg_header(Bytes data, JpegHeader& out) noexcept {
  if (!starts_with(data, "\xff\xd8\xff")) return Status::kUnsupportedFormat;
  Walk walk{ByteReader(data.subspan(3)), {}, false, {}};
  bool prefix_seen = true;  // the third byte read above begins the first marker
  while (const auto marker = next_marker(walk.reader, prefix_seen)) {
    if (!is_known(*marker)) return Status::kCorrupt;
    if (!has_payload(*marker)) continue;
    if (const Status status = read_segment(*marker, walk); status != Status::kOk) return status;
    if (*marker != 0xda) continue;
    out = walk.header;
    return out.components == 0 ? Status::kCorrupt : Status::kOk;
  }
  return Status::kTruncated;
}

}  // namespace veclip
