#include "image/transform.hpp"

#include <cstring>
#include <limits>

#include "image/bfloat16.hpp"

namespace veclip {

namespace {

// Rows of planes into a [3, size, size] slot, each value looked up.
template <typename Pixel>
class TableSink final : public RowSink {
 public:
  using Table = const Pixel*;
  TableSink(const std::array<Table, kChannels>& tables, std::size_t size, void* slot)
      : tables_(tables), size_(size), slot_(static_cast<Pixel*>(slot)) {}

  void row(int y, const std::uint8_t* planes) noexcept override {
    for (std::size_t c = 0; c < kChannels; ++c) {
      const Table table = tables_[c];
      const std::uint8_t* const in = planes + c * size_;
      Pixel* const out = slot_ + (c * size_ + static_cast<std::size_t>(y)) * size_;
      for (std::size_t x = 0; x < size_; ++x) out[x] = table[in[x]];
    }
  }

 private:
  const std::array<Table, kChannels> tables_;
  const std::size_t size_;
  Pixel* const slot_;
};

class CopySink final : public RowSink {
 public:
  CopySink(std::size_t size, void* slot) : size_(size), slot_(static_cast<std::uint8_t*>(slot)) {}

  void row(int y, const std::uint8_t* planes) noexcept override {
    for (std::size_t c = 0; c < kChannels; ++c) {
      std::memcpy(slot_ + (c * size_ + static_cast<std::size_t>(y)) * size_, planes + c * size_, size_);
    }
  }

 private:
  const std::size_t size_;
  std::uint8_t* const slot_;
};

Status resize_into(const ImageView& in, const ResizeWindow& window, const TransformSpec& spec, ResizeScratch& scratch,
                   void* slot) noexcept {
  const auto resize = [&](RowSink& sink) { return resize_window(in, window, spec.order, scratch, sink); };
  return with_slot_sink(spec, slot, std::ref(resize));
}

// int(round(n / 2.0)) in Python, which rounds halves to even; n >= 0.
constexpr int half_to_even(int n) noexcept { return n / 2 + ((n & 1) != 0 && ((n / 2) & 1) != 0 ? 1 : 0); }

}  // namespace

PixelTables::PixelTables(const Normalisation& normalisation) noexcept : normalisation_(normalisation) {
  for (std::size_t c = 0; c < kChannels; ++c) {
    const float mean = static_cast<float>(normalisation.mean[c]);
    const float std = static_cast<float>(normalisation.std[c]);
    for (std::size_t value = 0; value < 256; ++value) {
      const float scaled = static_cast<float>(value) / 255.0f;
      const float centred = scaled - mean;
      float32_[c][value] = centred / std;
      bfloat16_[c][value] = to_bfloat16(float32_[c][value]);
    }
  }
}

bool contains(int width, int height, const Box& box) noexcept {
  return box.left >= 0 && box.top >= 0 && box.width >= 1 && box.height >= 1 && box.left <= width - box.width &&
         box.top <= height - box.height;
}

Status with_slot_sink(const TransformSpec& spec, void* slot, const std::function<Status(RowSink&)>& use) {
  const std::size_t size = static_cast<std::size_t>(spec.size);
  const auto run = [&](RowSink&& sink) { return use(sink); };
  if (spec.type == PixelType::kUint8) return run(CopySink(size, slot));
  const PixelTables& tables = *spec.tables;
  if (spec.type == PixelType::kFloat32) {
    return run(TableSink<float>({tables.float32(0), tables.float32(1), tables.float32(2)}, size, slot));
  }
  return run(TableSink<std::uint16_t>({tables.bfloat16(0), tables.bfloat16(1), tables.bfloat16(2)}, size, slot));
}

Status crop_and_resize(const ImageView& in, const Box& box, const TransformSpec& spec, ResizeScratch& scratch,
                       void* slot) noexcept {
  if (!contains(in.width, in.height, box)) return Status::kBadArgument;
  const ImageView cut{in.row(box.top) + static_cast<std::size_t>(box.left) * kChannels, box.width, box.height,
                      in.stride};
  return resize_into(cut, {spec.size, spec.size, 0, 0, spec.size, spec.size}, spec, scratch, slot);
}

Status eval_window(int width, int height, const TransformSpec& spec, ResizeWindow& out) noexcept {
  const int size = spec.size;
  const std::int64_t target = spec.shorter == 0 ? size : spec.shorter;
  if (width < 1 || height < 1 || target < size) return Status::kBadArgument;
  if (spec.fit == Fit::kSquash) {
    out = {size, size, 0, 0, size, size, spec.filter};
    return Status::kOk;
  }
  const bool wide = width > height;
  // int(size * long / short), whose division Python makes in double.
  const double exact =
      static_cast<double>(target * (wide ? width : height)) / static_cast<double>(wide ? height : width);
  if (exact > std::numeric_limits<int>::max() / 2) return Status::kBadArgument;
  const int long_side = static_cast<int>(exact);
  const int full_width = wide ? long_side : static_cast<int>(target);
  const int full_height = wide ? static_cast<int>(target) : long_side;
  const auto half = [&](int n) { return spec.fit == Fit::kTransformers ? n / 2 : half_to_even(n); };
  out = {full_width, full_height, half(full_width - size), half(full_height - size), size, size, spec.filter};
  return Status::kOk;
}

Status resize_and_fit(const ImageView& in, const TransformSpec& spec, ResizeScratch& scratch, void* slot) noexcept {
  ResizeWindow window;
  if (const Status status = eval_window(in.width, in.height, spec, window); status != Status::kOk) return status;
  return resize_into(in, window, spec, scratch, slot);
}

}  // namespace veclip
