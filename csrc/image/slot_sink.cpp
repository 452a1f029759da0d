#include "image/slot_sink.hpp"

#include <cstring>
#include <type_traits>

#include "image/jpeg_kernels.hpp"

namespace veclip {

namespace {

// Each value looked up.
template <typename Pixel>
class TableSink final : public RowSink {
 public:
  using Tables = std::array<const Pixel*, kChannels>;
  TableSink(const Tables& tables, const TransformSpec& spec, void* slot)
      : tables_(tables), spec_(spec), slot_(static_cast<Pixel*>(slot)) {}

  void row(int y, const std::uint8_t* planes) noexcept override {
    const std::size_t size = spec_.row();
    for (std::size_t c = 0; c < kChannels; ++c) {
      const Pixel* const table = tables_[c];
      const std::uint8_t* const in = planes + c * size;
      const SlotRow at = spec_.slot_row(c, static_cast<std::size_t>(y));
      Pixel* const out = slot_ + at.first;
      for (std::size_t x = 0; x < size; ++x) out[x * at.step] = table[in[x]];
    }
  }

 private:
  const Tables tables_;
  const TransformSpec& spec_;
  Pixel* const slot_;
};

class PlanesSink final : public RowSink {
 public:
  PlanesSink(std::size_t size, void* slot) : size_(size), slot_(static_cast<std::uint8_t*>(slot)) {}

  void row(int y, const std::uint8_t* planes) noexcept override {
    for (std::size_t c = 0; c < kChannels; ++c) {
      std::memcpy(slot_ + (c * size_ + static_cast<std::size_t>(y)) * size_, planes + c * size_, size_);
    }
  }

 private:
  const std::size_t size_;
  std::uint8_t* const slot_;
};

class InterleavedSink final : public RowSink {
 public:
  InterleavedSink(std::size_t size, void* slot) : size_(size), slot_(static_cast<std::uint8_t*>(slot)) {}

  void row(int y, const std::uint8_t* planes) noexcept override {
    std::uint8_t* const out = slot_ + static_cast<std::size_t>(y) * size_ * kChannels;
    current_jpeg_kernels().interleave({planes, planes + size_, planes + 2 * size_}, size_, out);
  }

 private:
  const std::size_t size_;
  std::uint8_t* const slot_;
};

}  // namespace

Status with_slot_sink(const TransformSpec& spec, void* slot, const std::function<Status(RowSink&)>& use) {
  const auto run = [&](RowSink&& sink) { return use(sink); };
  const auto look_up = [&](const auto& table) {
    using Pixel = std::remove_cvref_t<decltype(table[0][0])>;
    return run(TableSink<Pixel>({table[0].data(), table[1].data(), table[2].data()}, spec, slot));
  };
  switch (spec.type) {
    case PixelType::kUint8:
      return spec.layout == Layout::kNchw ? run(PlanesSink(spec.row(), slot)) : run(InterleavedSink(spec.row(), slot));
    case PixelType::kFloat32:
      return look_up(spec.tables->float32());
    case PixelType::kBfloat16:
      return look_up(spec.tables->bfloat16());
    case PixelType::kFloat16:
      return look_up(spec.tables->float16());
  }
  return Status::kBadArgument;
}

}  // namespace veclip
