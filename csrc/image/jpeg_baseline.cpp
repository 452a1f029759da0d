#include "image/jpeg_baseline.hpp"

#include <algorithm>
#include <exception>

namespace veclip {

namespace {

// A component's blocks of one MCU row: `down` rows of them.
struct ComponentBlocks {
  std::size_t offset;  // of the first block among all of the MCU row
  std::size_t per_row;
};

class Decoding {
 public:
  Decoding(const JpegFrame& frame, JpegScratch& scratch)
      : frame_(frame), scratch_(scratch), kernels_(current_jpeg_kernels()) {}

  // Emit(mcu_row) is called when the samples of an MCU row that the region needs are there.
  template <typename Emit>
  bool run(const Box& region, const Emit& emit) {
    if (!split_scan(frame_, scratch_.scan) || !set_tables()) return false;
    lay_out_blocks();
    scratch_.samples.prepare(frame_, region);
    begin_interval();
    for (int row = 0; row < frame_.mcu_rows(); ++row) {
      if (!read_mcu_row()) return false;
      if (!scratch_.samples.needs(row)) continue;
      for (std::size_t c = 0; c < components(); ++c) {
        if (!reconstruct(c)) return false;
      }
      emit(row);
    }
    return end_interval();
  }

 private:
  bool set_tables() {
    for (std::size_t c = 0; c < components(); ++c) {
      const auto dc = static_cast<std::size_t>(frame_.component[c].dc);
      const auto ac = static_cast<std::size_t>(frame_.component[c].ac);
      if (!scratch_.dc[dc].set(frame_.dc[dc], HuffmanClass::kDc)) return false;
      if (!scratch_.ac[ac].set(frame_.ac[ac], HuffmanClass::kAc)) return false;
    }
    return true;
  }

  void lay_out_blocks() {
    std::size_t total = 0;
    for (std::size_t c = 0; c < components(); ++c) {
      const std::size_t per_row = static_cast<std::size_t>(frame_.mcus_per_row() * frame_.component[c].across);
      blocks_[c] = {total, per_row};
      total += per_row * static_cast<std::size_t>(frame_.component[c].down);
    }
    if (scratch_.last.size() < total) {
      scratch_.last.resize(total);
      scratch_.coefficients.resize(total * kBlockSize);
    }
    total_blocks_ = total;
  }

  void begin_interval() noexcept {
    const JpegScan& scan = scratch_.scan;
    const std::size_t begin = interval_ == 0 ? 0 : scan.ends[interval_ - 1];
    reader_ = {scan.data.data() + begin, 0, 0};
    interval_end_ = scan.data.data() + scan.ends[interval_];
    interval_left_ = frame_.restart_interval == 0 ? frame_.mcus_per_row() * frame_.mcu_rows() : frame_.restart_interval;
    std::ranges::fill(predictions_, 0);
  }

  // All bits were used, but for those that fill the last byte.
  bool end_interval() noexcept {
    const std::ptrdiff_t left = (interval_end_ - reader_.next) * 8 + static_cast<std::ptrdiff_t>(reader_.count);
    if (left < 0 || left >= 8) return false;
    if (++interval_ < scratch_.scan.ends.size()) begin_interval();
    return true;
  }

  McuRun start_row() noexcept {
    McuRun run;
    for (std::size_t c = 0; c < components(); ++c) {
      const JpegComponent& component = frame_.component[c];
      for (int y = 0; y < component.down; ++y) {
        for (int x = 0; x < component.across; ++x) {
          const std::size_t index =
              blocks_[c].offset + static_cast<std::size_t>(y) * blocks_[c].per_row + static_cast<std::size_t>(x);
          run.block[run.blocks++] = {&scratch_.dc[static_cast<std::size_t>(component.dc)],
                                     &scratch_.ac[static_cast<std::size_t>(component.ac)],
                                     &predictions_[c],
                                     scratch_.coefficients.data() + index * kBlockSize,
                                     scratch_.last.data() + index,
                                     static_cast<std::size_t>(component.across)};
        }
      }
    }
    return run;
  }

  bool read_mcu_row() noexcept {
    std::fill_n(scratch_.coefficients.data(), total_blocks_ * kBlockSize, std::int16_t{0});
    McuRun run = start_row();
    for (int left = frame_.mcus_per_row(); left > 0; left -= run.mcus) {
      run.mcus = std::min(left, interval_left_);
      run.end = interval_end_;
      if (!kernels_.read_mcus(reader_, run)) return false;
      interval_left_ -= run.mcus;
      const bool file_ends = interval_ + 1 == scratch_.scan.ends.size();
      if (interval_left_ == 0 && !file_ends && !end_interval()) return false;
    }
    return true;
  }

  bool reconstruct(std::size_t c) noexcept {
    Strip& strip = scratch_.samples.strip(c);
    const JpegComponent& component = frame_.component[c];
    bool agreed = true;
    for (int y = 0; y < component.down; ++y) {
      const std::size_t index = blocks_[c].offset + static_cast<std::size_t>(y) * blocks_[c].per_row + strip.first;
      agreed &= kernels_.inverse_dct({scratch_.coefficients.data() + index * kBlockSize, scratch_.last.data() + index,
                                      strip.blocks, &frame_.quant[static_cast<std::size_t>(component.quant)],
                                      strip.row(y * kBlockSide) + strip.first * kBlockSide, strip.stride});
    }
    return agreed;
  }

  std::size_t components() const noexcept { return static_cast<std::size_t>(frame_.components); }

  const JpegFrame& frame_;
  JpegScratch& scratch_;
  const JpegKernels& kernels_;
  std::array<ComponentBlocks, 3> blocks_;
  std::size_t total_blocks_ = 0;
  BitReader reader_;
  std::size_t interval_ = 0;
  const std::uint8_t* interval_end_ = nullptr;
  int interval_left_ = 0;
  std::array<int, 3> predictions_{};
};

template <typename Emit>
bool decode(const JpegFrame& frame, const Box& region, JpegScratch& scratch, const Emit& emit) noexcept {
  try {
    return Decoding(frame, scratch).run(region, emit);
  } catch (const std::exception&) {  // nothing in there throws but failed allocations; libjpeg needs less
    return false;
  }
}

}  // namespace

bool decode_baseline(const JpegFrame& frame, const Box& region, JpegScratch& scratch, RgbTarget& target) noexcept {
  const JpegKernels& kernels = current_jpeg_kernels();
  return decode(frame, region, scratch, [&](int row) { scratch.samples.emit(row, kernels, target); });
}

bool decode_samples(const JpegFrame& frame, const Box& region, JpegScratch& scratch, SampleTarget& target) noexcept {
  return decode(frame, region, scratch, [&](int row) { scratch.samples.emit(row, target); });
}

}  // namespace veclip
