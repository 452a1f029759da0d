// Sample rows of the MCU row being decoded, and the RGB rows made from them.
#pragma once

#include <vector>

#include "image/box.hpp"
#include "image/jpeg_target.hpp"

namespace veclip {

// One component's rows of an MCU row, with the last row of the MCU row before above them.
struct Strip {
  std::vector<std::uint8_t> samples;
  std::size_t stride = 0;
  int rows = 0;
  int height = 0;         // of the whole component, in rows
  std::size_t first = 0;  // blocks of a row that the region needs: [first, first + blocks)
  std::size_t blocks = 0;

  // Row -1 is the one kept from before. There is slack in front of each row too.
  std::uint8_t* row(int y) noexcept { return samples.data() + kSampleSlack + static_cast<std::size_t>(y + 1) * stride; }
};

class SampleRows {
 public:
  // Room for one MCU row of `frame`, of which only `region` is wanted.
  void prepare(const JpegFrame& frame, const Box& region);

  Strip& strip(std::size_t component) noexcept { return strips_[component]; }
  // Whether any wanted row depends on this MCU row.
  bool needs(int mcu_row) const noexcept;
  // MCU row `mcu_row` stands in the strips: hands on the wanted rows that are complete with it.
  void emit(int mcu_row, const JpegKernels& kernels, RgbTarget& target) noexcept;
  // The same for samples as they are.
  void emit(int mcu_row, SampleTarget& target) noexcept;

 private:
  void emit_row(int y, int mcu_row, const JpegKernels& kernels, RgbTarget& target) noexcept;
  const std::uint8_t* chroma(std::size_t component, int y, int mcu_row, const JpegKernels& kernels) noexcept;

  Strip strips_[3];
  std::vector<std::uint8_t> upsampled_[3];
  Box region_;
  int components_ = 0;
  int height_ = 0;
  int mcu_rows_ = 0;
  int across_ = 1;
  int down_ = 1;
  // Chroma columns that are upsampled: those of the region and one more on each side.
  std::size_t chroma_first_ = 0;
  std::size_t chroma_width_ = 0;
};

}  // namespace veclip
