// A libjpeg compressor that writes to memory and cleans up after itself.
#pragma once

#include "image/encode_jpeg.hpp"
#include "image/jpeg_source.hpp"

namespace veclip {

struct Compressor {
  jpeg_compress_struct cinfo{};
  JpegErrors errors;
  unsigned char* memory = nullptr;  // libjpeg reallocates it
  unsigned long size = 0;

  Compressor() = default;
  Compressor(const Compressor&) = delete;
  Compressor& operator=(const Compressor&) = delete;
  ~Compressor() {
    jpeg_destroy_compress(&cinfo);
    std::free(memory);
  }

  // Call after setjmp on `errors`.
  void begin() {
    cinfo.err = errors.attach();
    jpeg_create_compress(&cinfo);
    jpeg_mem_dest(&cinfo, &memory, &size);
  }
  void give(OwnedBytes& out) noexcept {
    out.data.reset(memory);
    out.size = size;
    memory = nullptr;
  }
};

}  // namespace veclip
