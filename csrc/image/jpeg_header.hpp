// The part of a JPEG file before its first scan, read as strictly as Pillow's JpegImagePlugin reads it.
#pragma once

#include "core/byte_spans.hpp"
#include "core/status.hpp"

namespace veclip {

struct JpegHeader {
  int width = 0;
  int height = 0;
  int components = 0;  // 1, 3 or 4
  bool progressive = false;
};

// Walks the markers up to the first start of scan. Takes no memory.
Status read_jpeg_header(Bytes data, JpegHeader& out) noexcept;

}  // namespace veclip
