#include "image/transform.hpp"

#include <functional>
#include <limits>

#include "image/float16.hpp"
#include "image/slot_sink.hpp"

namespace veclip {

namespace {

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
      float16_[c][value] = to_float16(float32_[c][value]);
    }
  }
}

bool contains(int width, int height, const Box& box) noexcept {
  return box.left >= 0 && box.top >= 0 && box.width >= 1 && box.height >= 1 && box.left <= width - box.width &&
         box.top <= height - box.height;
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
