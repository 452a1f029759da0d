#include "image/png_stream.hpp"

#include <zlib.h>

#include <algorithm>

namespace veclip {

namespace {

constexpr std::size_t kPortion = 65536;  // PIL.ImageFile.MAXBLOCK
constexpr std::size_t kCrcSize = 4;

bool is_name_byte(std::uint8_t c) noexcept {
  return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '_';
}

bool crc_matches(std::uint32_t name, Bytes data, const std::uint8_t* stored) noexcept {
  const Bytef text[4] = {static_cast<Bytef>(name >> 24), static_cast<Bytef>(name >> 16), static_cast<Bytef>(name >> 8),
                         static_cast<Bytef>(name)};
  const uLong crc = crc32_z(crc32_z(0, text, sizeof text), data.data(), data.size());
  return crc == load_be32(stored);
}

PngPixels pixels_of(int depth, int colour) noexcept {
  using enum PngPixels;
  struct Entry {
    int depth, colour;
    PngPixels pixels;
  };
  constexpr Entry kTable[] = {{1, 0, kGrey1},   {2, 0, kGrey2},        {4, 0, kGrey4},  {8, 0, kGrey8},
                              {16, 0, kGrey16}, {8, 2, kRgb8},         {16, 2, kRgb16}, {1, 3, kIndex1},
                              {2, 3, kIndex2},  {4, 3, kIndex4},       {8, 3, kIndex8}, {8, 4, kGreyAlpha8},
                              {8, 6, kRgba8},   {16, 4, kGreyAlpha16}, {16, 6, kRgba16}};
  for (const Entry& entry : kTable) {
    if (entry.depth == depth && entry.colour == colour) return entry.pixels;
  }
  return kNone;
}

// One fully transparent entry among opaque ones: Pillow's pattern ^\xff*\x00\xff*$, whose end may precede a newline.
bool is_single_transparent_entry(Bytes data) noexcept {
  if (!data.empty() && data.back() == '\n') data = data.first(data.size() - 1);
  return std::ranges::count(data, std::uint8_t{0}) == 1 &&
         std::ranges::count(data, std::uint8_t{0xff}) + 1 == static_cast<std::ptrdiff_t>(data.size());
}

}  // namespace

// A frame without width at the left edge means the whole image to Pillow's tiles.
PngRect PngStream::frame() const noexcept {
  const PngRect whole{0, 0, header_.width, header_.height};
  const bool named = first_rect_ && (first_rect_->x != 0 || first_rect_->width != 0);
  return named ? *first_rect_ : whole;
}

Status PngStream::read_chunk(Chunk& out) noexcept {
  const auto head = reader_.take(8);
  if (!head) return Status::kTruncated;
  if (!std::all_of(head->begin() + 4, head->end(), is_name_byte)) return Status::kCorrupt;
  out = {load_be32(head->data() + 4), load_be32(head->data())};
  return Status::kOk;
}

Status PngStream::read_image_header(Bytes data) noexcept {
  if (data.size() < 13) return Status::kCorrupt;
  current_.width = load_be32(data.data());
  current_.height = load_be32(data.data() + 4);
  const PngPixels pixels = pixels_of(data[8], data[9]);
  if (pixels != PngPixels::kNone) current_.pixels = pixels;
  if (data[12] != 0) current_.interlaced = true;
  return data[11] == 0 ? Status::kOk : Status::kUnsupportedVariant;
}

Status PngStream::read_transparency(Bytes data) noexcept {
  using enum PngPixels;
  const PngPixels pixels = current_.pixels;
  if (current_.indexed()) {
    has_transparent_index_ = is_single_transparent_entry(data);
    return Status::kOk;
  }
  if (pixels >= kGrey1 && pixels <= kGrey16) return data.size() < 2 ? Status::kCorrupt : Status::kOk;
  if (pixels == kRgb8 || pixels == kRgb16) return data.size() < 6 ? Status::kCorrupt : Status::kOk;
  return Status::kOk;
}

Status PngStream::read_animation_control(Bytes data) noexcept {
  if (data.size() < 8) return Status::kCorrupt;
  const std::uint32_t frames = load_be32(data.data());
  if (frames_) {
    frames_.reset();
  } else if (frames != 0 && frames <= 0x80000000u) {
    frames_ = frames;
  }
  return Status::kOk;
}

Status PngStream::read_frame_control(Bytes data) noexcept {
  if (data.size() < 26) return Status::kCorrupt;
  const std::uint32_t sequence = load_be32(data.data());
  const std::uint32_t expected = sequence_ ? *sequence_ + 1 : 0;
  if (sequence != expected || (sequence_ && expected == 0)) return Status::kCorrupt;
  sequence_ = sequence;
  const PngRect rect{load_be32(data.data() + 12), load_be32(data.data() + 16), load_be32(data.data() + 4),
                     load_be32(data.data() + 8)};
  if (rect.x + rect.width > current_.width || rect.y + rect.height > current_.height) return Status::kCorrupt;
  rect_ = rect;
  return Status::kOk;
}

Status PngStream::interpret(std::uint32_t name, Bytes data) noexcept {
  switch (name) {
    case png_name("IHDR"):
      return read_image_header(data);
    case png_name("PLTE"):
      if (current_.indexed()) {
        current_.has_palette = true;
        current_.palette = data;
      }
      return Status::kOk;
    case png_name("tRNS"):
      return read_transparency(data);
    case png_name("acTL"):
      return read_animation_control(data);
    case png_name("fcTL"):
      return read_frame_control(data);
    default:
      return check_png_metadata(name, data, text_total_);
  }
}

// Image data before a usable header is an unknown chunk to Pillow: passed over, checksum and all.
Status PngStream::handle_image_data(const Chunk& chunk, std::uint32_t length, Bytes& data, Outcome& outcome) noexcept {
  if (current_.pixels == PngPixels::kNone) {
    const auto body = reader_.take(chunk.length);
    if (!body) return Status::kTruncated;
    data = *body;
    return Status::kOk;
  }
  if (!rect_ && frames_) default_image_ = true;
  data_left_ = length;
  outcome = Outcome::kImageData;
  return Status::kOk;
}

Status PngStream::handle_animation_data(const Chunk& chunk, Bytes& data, Outcome& outcome) noexcept {
  if (chunk.length < 4) return Status::kCorrupt;
  const auto head = reader_.take(4);
  if (!head) return Status::kTruncated;
  const std::uint32_t sequence = load_be32(head->data());
  if (!sequence_ || sequence == 0 || *sequence_ != sequence - 1) return Status::kCorrupt;
  sequence_ = sequence;
  return handle_image_data(chunk, chunk.length - 4, data, outcome);
}

// Leaves the reader after the chunk's body, or in front of it where outcome is kImageData. `data` is for the checksum.
Status PngStream::handle(const Chunk& chunk, Bytes& data, Outcome& outcome) noexcept {
  outcome = Outcome::kHandled;
  if (chunk.name == png_name("IDAT")) return handle_image_data(chunk, chunk.length, data, outcome);
  if (chunk.name == png_name("fdAT")) return handle_animation_data(chunk, data, outcome);
  if (chunk.name == png_name("IEND")) {
    outcome = Outcome::kEnd;
    return Status::kOk;
  }
  const auto body = reader_.take(chunk.length);
  if (!body) return Status::kTruncated;
  data = *body;
  return interpret(chunk.name, data);
}

bool PngStream::animated() const noexcept {
  const std::int64_t frames = std::int64_t{frames_.value_or(1)} + (frames_ && default_image_ ? 1 : 0);
  return frames > 1;
}

Status PngStream::read_header() noexcept {
  const auto magic = reader_.take(8);
  if (!magic || !starts_with(*magic, "\x89PNG\r\n\x1a\n")) return Status::kUnsupportedFormat;
  Outcome outcome = Outcome::kHandled;
  while (outcome == Outcome::kHandled) {
    Chunk chunk;
    Bytes data;
    if (const Status status = read_chunk(chunk); status != Status::kOk) return status;
    if (const Status status = handle(chunk, data, outcome); status != Status::kOk) return status;
    if (outcome != Outcome::kHandled) break;
    const auto crc = reader_.take(kCrcSize);
    if (!crc) return Status::kTruncated;
    if (!crc_matches(chunk.name, data, crc->data())) return Status::kCorrupt;
  }
  header_ = current_;
  first_rect_ = rect_;
  animated_ = animated();
  if (header_.pixels == PngPixels::kNone) return Status::kUnsupportedVariant;
  return outcome == Outcome::kImageData ? Status::kOk : Status::kTruncated;
}

Status PngStream::next_portion(Bytes& out) noexcept {
  while (data_left_ == 0) {
    reader_.take_up_to(kCrcSize);  // Pillow does not check the sums of image data
    Chunk chunk;
    if (const Status status = read_chunk(chunk); status != Status::kOk) return status;
    if (chunk.name == png_name("IDAT") || chunk.name == png_name("DDAT")) {
      data_left_ = chunk.length;
    } else if (chunk.name == png_name("fdAT")) {
      Bytes unused;
      Outcome outcome;
      if (const Status status = handle_animation_data(chunk, unused, outcome); status != Status::kOk) return status;
    } else {
      return Status::kTruncated;
    }
  }
  out = reader_.take_up_to(std::min<std::size_t>(kPortion, data_left_));
  data_left_ -= static_cast<std::uint32_t>(out.size());
  return out.empty() ? Status::kTruncated : Status::kOk;
}

Status PngStream::read_tail() noexcept {
  reader_.take_up_to(data_left_);
  for (;;) {
    reader_.take_up_to(kCrcSize);
    Chunk chunk;
    if (read_chunk(chunk) != Status::kOk || chunk.name == png_name("IEND")) return Status::kOk;
    if (chunk.name == png_name("fcTL") && animated_) return Status::kOk;
    Bytes data;
    Outcome outcome;
    if (const Status status = handle(chunk, data, outcome); status != Status::kOk) return status;
    if (outcome == Outcome::kImageData && !reader_.take(data_left_)) return Status::kTruncated;
  }
}

}  // namespace veclip
