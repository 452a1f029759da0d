// Baseline JPEG decoded by ourselves, to the pixels that libjpeg-turbo gives (docs/decisions/0012).
#pragma once

#include "image/jpeg_header.hpp"
#include "image/jpeg_samples.hpp"
#include "image/jpeg_scan.hpp"

namespace veclip {

// Memory that one image after another reuses; one per thread.
struct JpegScratch {
  JpegScan scan;
  HuffmanTable dc[4];
  HuffmanTable ac[4];
  std::vector<std::int16_t> coefficients;  // of one MCU row
  std::vector<std::uint8_t> last;
  SampleRows samples;
  std::vector<std::uint8_t> row;  // one row in planes
};

// Decodes the rows of `region` into `target`. False where anything is irregular, however far `target` was filled by
// then: libjpeg-turbo has to decide what the file is worth. The whole of the data is read, whatever the region.
bool decode_baseline(const JpegFrame& frame, const Box& region, JpegScratch& scratch, RgbTarget& target) noexcept;

// The same without upsampling and colour, in the components' own resolution.
bool decode_samples(const JpegFrame& frame, const Box& region, JpegScratch& scratch, SampleTarget& target) noexcept;

}  // namespace veclip
