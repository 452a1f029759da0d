// Feeds libjpeg from memory in portions, and turns its fatal errors into a jump.
#pragma once

// clang-format off: jpeglib.h uses size_t and FILE without including them.
#include <csetjmp>
#include <cstddef>
#include <cstdio>
#include <jpeglib.h>
#include <jerror.h>
// clang-format on

#include "core/byte_spans.hpp"

namespace veclip {

// Pillow hands libjpeg 64 KiB at a time and asks for more only when it stops for want of data. What libjpeg makes of
// damaged files depends on where it stops, so the portions are part of the result.
struct JpegSource {
  jpeg_source_mgr manager{};  // first: libjpeg holds a pointer to it
  Bytes file;
  std::size_t fed = 0;
  std::size_t skip = 0;  // bytes to pass over that have not been fed yet

  void attach(jpeg_decompress_struct& cinfo, Bytes data) noexcept;
  // Offers the next portion; false at the end of the file.
  bool feed() noexcept;
};

struct JpegErrors {
  jpeg_error_mgr manager{};  // first: libjpeg holds a pointer to it
  std::jmp_buf on_error;

  // Messages go nowhere; a fatal error jumps to on_error, which the caller has set.
  jpeg_error_mgr* attach() noexcept;
};

}  // namespace veclip
