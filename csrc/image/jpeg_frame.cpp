#include "image/jpeg_frame.hpp"

#include "core/byte_reader.hpp"
#include "image/jpeg_header.hpp"
#include "image/jpeg_source.hpp"
#include "image/sniff.hpp"

namespace veclip {

namespace {

constexpr int kMaxSide = 65500;  // libjpeg's JPEG_MAX_DIMENSION

// libjpeg-turbo changed how it smooths 4:4:0 before this version.
#if defined(LIBJPEG_TURBO_VERSION_NUMBER) && LIBJPEG_TURBO_VERSION_NUMBER >= 2001000
constexpr bool kTallChroma = true;
#else
constexpr bool kTallChroma = false;
#endif

struct Parser {
  JpegFrame frame;
  std::array<bool, 4> has_quant{};
  bool has_frame = false;
  bool progressive = false;
  bool has_jfif = false;
  int adobe_transform = -1;
};

bool read_quant_tables(Bytes payload, Parser& parser) noexcept {
  constexpr std::size_t kSize = 1 + kBlockSize;
  for (; !payload.empty(); payload = payload.subspan(kSize)) {
    if (payload.size() < kSize || payload[0] > 3) return false;  // 16-bit steps have their precision in the high digit
    QuantTable& table = parser.frame.quant[payload[0]];
    for (std::size_t k = 0; k < kBlockSize; ++k) table.step[kRowOrder[k]] = payload[1 + k];
    parser.has_quant[payload[0]] = true;
  }
  return true;
}

bool read_huffman_tables(Bytes payload, Parser& parser) noexcept {
  constexpr std::size_t kCounts = 16;
  while (!payload.empty()) {
    if (payload.size() < 1 + kCounts || (payload[0] & 0xef) > 3) return false;
    std::size_t symbols = 0;
    for (std::size_t i = 0; i < kCounts; ++i) symbols += payload[1 + i];
    if (symbols > 256 || payload.size() < 1 + kCounts + symbols) return false;
    auto& tables = (payload[0] & 0x10) != 0 ? parser.frame.ac : parser.frame.dc;
    tables[payload[0] & 3] = payload.subspan(1, kCounts + symbols);
    payload = payload.subspan(1 + kCounts + symbols);
  }
  return true;
}

bool has_known_sampling(const JpegFrame& frame) noexcept {
  const auto is = [&](std::size_t c, int across, int down) {
    return frame.component[c].across == across && frame.component[c].down == down;
  };
  if (frame.components == 1) return is(0, 1, 1);
  if (!is(1, 1, 1) || !is(2, 1, 1)) return false;
  if (frame.across() == 2 && frame.width <= 4) return false;  // libjpeg does not smooth chroma that narrow
  return is(0, 1, 1) || is(0, 2, 1) || is(0, 2, 2) || (kTallChroma && is(0, 1, 2));
}

bool read_frame_header(Bytes payload, Parser& parser) noexcept {
  JpegFrame& frame = parser.frame;
  if (parser.has_frame || payload.size() < 6 || payload[0] != 8) return false;
  frame.height = load_be16(&payload[1]);
  frame.width = load_be16(&payload[3]);
  frame.components = payload[5];
  if (frame.components != 1 && frame.components != 3) return false;
  if (payload.size() != 6 + 3 * static_cast<std::size_t>(frame.components)) return false;
  if (frame.width < 1 || frame.height < 1 || frame.width > kMaxSide || frame.height > kMaxSide) return false;
  for (std::size_t c = 0; c < static_cast<std::size_t>(frame.components); ++c) {
    const std::uint8_t* const entry = &payload[6 + 3 * c];
    if (entry[2] > 3) return false;
    frame.component[c] = {entry[0], entry[1] >> 4, entry[1] & 15, entry[2], 0, 0};
    for (std::size_t before = 0; before < c; ++before) {
      if (frame.component[before].id == entry[0]) return false;
    }
  }
  parser.has_frame = true;
  return has_known_sampling(frame);
}

bool read_restart_interval(Bytes payload, Parser& parser) noexcept {
  if (payload.size() != 2) return false;
  parser.frame.restart_interval = load_be16(payload.data());
  return true;
}

// libjpeg takes three components for YCbCr unless Adobe's marker, or their names without JFIF's, say otherwise.
bool is_ycc(const Parser& parser) noexcept {
  const JpegFrame& frame = parser.frame;
  if (frame.components == 1 || parser.has_jfif) return true;
  if (parser.adobe_transform >= 0) return parser.adobe_transform == 1;
  return frame.component[0].id != 'R' || frame.component[1].id != 'G' || frame.component[2].id != 'B';
}

// The first scan of a sequential file is all of it; that of a progressive one has the upper bits of the DC coefficients
// of all components or of the first ones.
bool read_scan_header(Bytes payload, Parser& parser) noexcept {
  JpegFrame& frame = parser.frame;
  if (!parser.has_frame || payload.empty()) return false;
  const std::size_t count = payload[0], components = static_cast<std::size_t>(frame.components);
  if (payload.size() != 4 + 2 * count || count > components || count < (parser.progressive ? 1 : components)) {
    return false;
  }
  for (std::size_t c = 0; c < count; ++c) {
    JpegComponent& component = frame.component[c];
    component.dc = payload[2 + 2 * c] >> 4;
    component.ac = payload[2 + 2 * c] & 15;
    if (payload[1 + 2 * c] != component.id || component.dc > 3 || component.ac > 3) return false;
    if (frame.dc[static_cast<std::size_t>(component.dc)].empty()) return false;
    if (!parser.progressive && frame.ac[static_cast<std::size_t>(component.ac)].empty()) return false;
    if (!parser.has_quant[static_cast<std::size_t>(component.quant)]) return false;
  }
  const std::uint8_t* const spectrum = &payload[1 + 2 * count];
  const int last = parser.progressive ? 0 : kBlockSize - 1;
  const int shift = parser.progressive ? spectrum[2] & 15 : 0;
  return spectrum[0] == 0 && spectrum[1] == last && spectrum[2] == shift && is_ycc(parser);
}

bool read_application_segment(int marker, Bytes payload, Parser& parser) noexcept {
  constexpr std::string_view kJfif("JFIF\0", 5);
  if (marker == 0xe0 && payload.size() >= 14 && starts_with(payload, kJfif)) parser.has_jfif = true;
  if (marker == 0xee && payload.size() >= 12 && starts_with(payload, "Adobe")) parser.adobe_transform = payload[11];
  return true;
}

bool read_segment(int marker, Bytes payload, Parser& parser) noexcept {
  if (marker >= 0xc0 && marker <= 0xc2) {
    parser.progressive = marker == 0xc2;
    return read_frame_header(payload, parser);
  }
  if (marker == 0xc4) return read_huffman_tables(payload, parser);
  if (marker == 0xda) return read_scan_header(payload, parser);
  if (marker == 0xdb) return read_quant_tables(payload, parser);
  if (marker == 0xdd) return read_restart_interval(payload, parser);
  if (marker >= 0xe0 && marker <= 0xef) return read_application_segment(marker, payload, parser);
  return marker == 0xfe;
}

bool read_segments(Bytes data, Parser& parser) noexcept {
  ByteReader reader(data);
  if (reader.be16() != 0xffd8) return false;
  while (true) {
    const auto marker = reader.be16();
    const auto length = reader.be16();
    if (!marker || !length || *marker < 0xff00 || *length < 2) return false;
    const auto payload = reader.take(*length - 2u);
    if (!payload || !read_segment(*marker & 0xff, *payload, parser)) return false;
    if (*marker != 0xffda) continue;
    parser.frame.scan = data.subspan(reader.position());
    return true;
  }
}

// Nothing in the file that one decoder may take for a sign of RGB and another may not.
bool is_surely_ycc(const Parser& parser) noexcept {
  const JpegFrame& frame = parser.frame;
  if (frame.components == 1) return true;
  const int first = frame.component[0].id;
  if (first > 1 || frame.component[1].id != first + 1 || frame.component[2].id != first + 2) return false;
  return parser.adobe_transform == -1 || parser.adobe_transform == 1;
}

}  // namespace

std::optional<JpegFrame> parse_jpeg_frame(Bytes data) noexcept {
  Parser parser;
  return read_segments(data, parser) && !parser.progressive ? std::optional(parser.frame) : std::nullopt;
}

std::optional<JpegSize> plain_jpeg(Bytes data, const Limits& limits) noexcept {
  Parser parser;
  JpegHeader header;
  if (check_file(data, limits) != Status::kOk || load_be16(&data[data.size() - 2]) != 0xffd9) return std::nullopt;
  if (!read_segments(data, parser) || !is_surely_ycc(parser)) return std::nullopt;
  if (read_jpeg_header(data, header) != Status::kOk) return std::nullopt;
  const bool agrees = header.width == parser.frame.width && header.height == parser.frame.height;
  if (!agrees || check_size(header.width, header.height, limits) != Status::kOk) return std::nullopt;
  return JpegSize{header.width, header.height};
}

}  // namespace veclip
