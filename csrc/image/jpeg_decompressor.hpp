// A libjpeg decompressor over memory that cleans up after itself.
#pragma once

#include "core/status.hpp"
#include "image/jpeg_header.hpp"
#include "image/jpeg_source.hpp"

namespace veclip {

struct Decompressor {
  jpeg_decompress_struct cinfo{};
  JpegErrors errors;
  JpegSource source;
  jpeg_progress_mgr progress{};

  Decompressor() = default;
  Decompressor(const Decompressor&) = delete;
  Decompressor& operator=(const Decompressor&) = delete;
  ~Decompressor() { jpeg_destroy_decompress(&cinfo); }  // harmless when creation failed: cinfo.mem is null then

  // Reads the header and compares it with `header`. Owns nothing; call after setjmp on `errors`.
  Status begin(Bytes data, const JpegHeader& header);
  // What the fatal error that made libjpeg jump means.
  Status failure() const noexcept;
};

}  // namespace veclip
