// The chunks of a PNG file, walked as Pillow's PngImagePlugin walks them: what it refuses is refused.
#pragma once

#include <cstdint>
#include <optional>

#include "core/byte_reader.hpp"
#include "core/status.hpp"
#include "image/png_metadata.hpp"

namespace veclip {

// How a pixel lies in a row. The names are bit depth and colour type.
enum class PngPixels : std::uint8_t {
  kNone,
  kGrey1,
  kGrey2,
  kGrey4,
  kGrey8,
  kGrey16,
  kRgb8,
  kRgb16,
  kIndex1,
  kIndex2,
  kIndex4,
  kIndex8,
  kGreyAlpha8,
  kGreyAlpha16,
  kRgba8,
  kRgba16,
};

struct PngHeader {
  std::int64_t width = 0;
  std::int64_t height = 0;
  PngPixels pixels = PngPixels::kNone;
  bool interlaced = false;
  bool has_palette = false;
  Bytes palette;  // RGB triples as the file holds them

  bool indexed() const noexcept { return pixels >= PngPixels::kIndex1 && pixels <= PngPixels::kIndex8; }
};

// Where the first frame goes; smaller than the image only in animations.
struct PngRect {
  std::int64_t x = 0, y = 0, width = 0, height = 0;
};

class PngStream {
 public:
  explicit PngStream(Bytes data) noexcept : reader_(data) {}

  // Reads up to the image data. Takes no memory that grows with what the file announces.
  Status read_header() noexcept;
  // As read_header() left them; later chunks do not change them.
  const PngHeader& header() const noexcept { return header_; }
  PngRect frame() const noexcept;

  // The next portion of compressed image data (never empty), across chunk borders.
  Status next_portion(Bytes& out) noexcept;
  // Checks what follows the image data, once the pixels are complete.
  Status read_tail() noexcept;
  // Pillow's conversion to RGB trips over a transparent index without a palette.
  bool transparent_index_without_palette() const noexcept {
    return header_.indexed() && !header_.has_palette && has_transparent_index_;
  }

 private:
  struct Chunk {
    std::uint32_t name = 0;
    std::uint32_t length = 0;
  };
  enum class Outcome { kHandled, kImageData, kEnd };

  Status read_chunk(Chunk& out) noexcept;
  Status handle(const Chunk& chunk, Bytes& data, Outcome& outcome) noexcept;
  Status handle_image_data(const Chunk& chunk, std::uint32_t length, Bytes& data, Outcome& outcome) noexcept;
  Status handle_animation_data(const Chunk& chunk, Bytes& data, Outcome& outcome) noexcept;
  Status interpret(std::uint32_t name, Bytes data) noexcept;
  Status read_image_header(Bytes data) noexcept;
  Status read_transparency(Bytes data) noexcept;
  Status read_animation_control(Bytes data) noexcept;
  Status read_frame_control(Bytes data) noexcept;
  bool animated() const noexcept;

  ByteReader reader_;
  PngHeader header_;   // frozen by read_header()
  PngHeader current_;  // follows every chunk
  std::optional<PngRect> rect_;
  std::optional<PngRect> first_rect_;
  std::optional<std::uint32_t> frames_;
  std::optional<std::uint32_t> sequence_;
  bool default_image_ = false;
  bool animated_ = false;
  bool has_transparent_index_ = false;
  std::uint32_t data_left_ = 0;  // of the current chunk of image data
  std::size_t text_total_ = 0;
};

}  // namespace veclip
