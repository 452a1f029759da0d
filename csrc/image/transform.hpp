// CLIP's image transforms as torchvision and transformers run them on PIL images, into one [3, size, size] slot.
#pragma once

#include <array>
#include <cstdint>
#include <functional>

#include "image/box.hpp"
#include "image/resample.hpp"
#include "image/types.hpp"

namespace veclip {

enum class PixelType { kUint8, kFloat32, kBfloat16 };

constexpr std::size_t pixel_bytes(PixelType type) noexcept {
  return type == PixelType::kUint8 ? 1 : type == PixelType::kFloat32 ? 4 : 2;
}

struct Normalisation {
  std::array<double, kChannels> mean;
  std::array<double, kChannels> std;
};

// What every 8-bit value becomes: ToTensor's x / 255, then Normalize's (x - mean) / std, each step rounded to float32.
class PixelTables {
 public:
  explicit PixelTables(const Normalisation& normalisation) noexcept;
  const float* float32(std::size_t channel) const noexcept { return float32_[channel].data(); }
  // The same values rounded to the nearest bfloat16, ties to even; bit patterns.
  const std::uint16_t* bfloat16(std::size_t channel) const noexcept { return bfloat16_[channel].data(); }
  const Normalisation& normalisation() const noexcept { return normalisation_; }

 private:
  Normalisation normalisation_;
  std::array<std::array<float, 256>, kChannels> float32_;
  std::array<std::array<std::uint16_t, 256>, kChannels> bfloat16_;
};

// How the evaluation transform makes a square of a whole image: the shorter side becomes `shorter` and the centre is
// cut out, its place rounded as torchvision does (halves to even) or as transformers does (down); or both sides become
// `size`; or as TensorFlow resizes (tf_bilinear.hpp).
enum class Fit { kTorchvision, kTransformers, kSquash, kTensorflow };

struct TransformSpec {
  int size = 224;
  PixelType type = PixelType::kUint8;
  PassOrder order = PassOrder::kPillow11;
  const PixelTables* tables = nullptr;  // not needed for kUint8
  // Of the evaluation transform:
  Fit fit = Fit::kTorchvision;
  int shorter = 0;  // 0 for `size`
  Filter filter = Filter::kBicubic;

  std::size_t slot_bytes() const noexcept {
    return kChannels * static_cast<std::size_t>(size) * static_cast<std::size_t>(size) * pixel_bytes(type);
  }
};

bool contains(int width, int height, const Box& box) noexcept;

// Calls use(sink) with a RowSink that writes into the slot what `spec` asks for. Throws only what `use` throws if it
// is a std::ref.
Status with_slot_sink(const TransformSpec& spec, void* slot, const std::function<Status(RowSink&)>& use);

// torchvision's resized_crop: cut the box out, then resize it to size x size (bicubic, antialiased).
// kBadArgument if the box is empty or not inside the image.
Status crop_and_resize(const ImageView& in, const Box& box, const TransformSpec& spec, ResizeScratch& scratch,
                       void* slot) noexcept;

// The window of the whole image that `spec.fit` asks for. kBadArgument where the longer side would be absurd, or
// where there is less than `size` to cut out.
Status eval_window(int width, int height, const TransformSpec& spec, ResizeWindow& out) noexcept;

// The evaluation transform.
Status resize_and_fit(const ImageView& in, const TransformSpec& spec, ResizeScratch& scratch, void* slot) noexcept;

}  // namespace veclip
