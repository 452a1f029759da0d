// RGB pixels to baseline JPEG.
#pragma once

#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <memory>

#include "core/byte_spans.hpp"
#include "core/status.hpp"
#include "image/types.hpp"

namespace veclip {

struct FreeMemory {
  void operator()(std::uint8_t* memory) const noexcept { std::free(memory); }
};

// Bytes that libjpeg allocated.
struct OwnedBytes {
  std::unique_ptr<std::uint8_t, FreeMemory> data;
  std::size_t size = 0;

  Bytes view() const noexcept { return {data.get(), size}; }
};

enum class Subsampling : std::uint8_t { k420, k422, k444 };

struct JpegOptions {
  int quality = 90;  // 1 to 100, libjpeg's scale
  Subsampling subsampling = Subsampling::k420;
};

// Optimised Huffman tables, accurate integer transform, no metadata but the JFIF header.
Status encode_jpeg(const ImageView& image, const JpegOptions& options, OwnedBytes& out) noexcept;

}  // namespace veclip
