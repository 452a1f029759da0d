// TensorFlow's resize without antialiasing, as the released VeCLIP models were trained and are evaluated with.
#pragma once

#include "image/transform.hpp"

namespace veclip {

// tf.image.resize(bilinear, preserve_aspect_ratio=True, antialias=False) until the shorter side is `spec.size`, the
// centre cut out, normalised; float32 arithmetic throughout, nothing is rounded to 8 bits. kBadArgument where
// spec.type is kUint8, and where an image is so long that TensorFlow would make it narrower.
Status sample_and_fit(const ImageView& in, const TransformSpec& spec, void* slot) noexcept;

}  // namespace veclip
