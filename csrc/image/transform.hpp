// CLIP's image transforms as torchvision and transformers run them on PIL images, into the slot of one image.
#pragma once

#include <array>
#include <cstdint>

#include "image/box.hpp"
#include "image/resample.hpp"
#include "image/types.hpp"

namespace veclip {

enum class PixelType { kUint8, kFloat32, kBfloat16, kFloat16 };

// Of a slot: [3, size, size], or [size, size, 3].
enum class Layout { kNchw, kNhwc };

// Where the values of one channel of one row go: first, first + step, ...
struct SlotRow {
  std::size_t first;
  std::size_t step;
};

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
  template <typename Pixel>
  using Tables = std::array<std::array<Pixel, 256>, kChannels>;

  explicit PixelTables(const Normalisation& normalisation) noexcept;
  const Tables<float>& float32() const noexcept { return float32_; }
  // The same values rounded to the nearest one, ties to even; bit patterns.
  const Tables<std::uint16_t>& bfloat16() const noexcept { return bfloat16_; }
  const Tables<std::uint16_t>& float16() const noexcept { return float16_; }
  const Normalisation& normalisation() const noexcept { return normalisation_; }

 private:
  Normalisation normalisation_;
  Tables<float> float32_;
  Tables<std::uint16_t> bfloat16_;
  Tables<std::uint16_t> float16_;
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
  Layout layout = Layout::kNchw;

  std::size_t row() const noexcept { return static_cast<std::size_t>(size); }
  std::size_t slot_bytes() const noexcept { return kChannels * row() * row() * pixel_bytes(type); }
  SlotRow slot_row(std::size_t channel, std::size_t y) const noexcept {
    if (layout == Layout::kNhwc) return {y * row() * kChannels + channel, kChannels};
    return {(channel * row() + y) * row(), 1};
  }
};

bool contains(int width, int height, const Box& box) noexcept;

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
