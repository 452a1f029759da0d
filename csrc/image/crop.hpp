// RandomResizedCrop's box as torchvision draws it, from our counter-based words. engine/draws/crop.py is the same.
#pragma once

#include "core/philox.hpp"
#include "image/box.hpp"

namespace veclip {

struct Range {
  double low = 0;
  double high = 0;
};

struct CropLaw {
  Range scale;  // share of the image's area
  Range ratio;  // width / height
};

// Ten tries, then the centred fallback. Sides below 1 give an empty box.
Box random_resized_crop(int width, int height, const DrawKey& key, const CropLaw& law) noexcept;

}  // namespace veclip
