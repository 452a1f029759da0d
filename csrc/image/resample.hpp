// Bicubic, antialiased, separable resampling, bit for bit as Pillow's Image.resize(..., BICUBIC) computes it.
#pragma once

#include "image/types.hpp"

namespace veclip {

// Which of the two passes comes first; the 8-bit intermediate makes the order visible in the result.
enum class PassOrder {
  kPillow11,  // horizontal, then vertical (Pillow up to 12)
  kPillow13,  // vertical first where that saves work (python-pillow/Pillow#9549)
};

// Resizes the whole of `in` to out_w x out_h. kBadArgument for sides < 1.
Status resize_rgb(const ImageView& in, int out_w, int out_h, PassOrder order, RgbImage& out);

}  // namespace veclip
