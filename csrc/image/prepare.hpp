// What happens to an image between its source and a shard: checked, made smaller or cleaned if asked, else untouched.
#pragma once

#include "core/byte_spans.hpp"
#include "core/status.hpp"
#include "image/encode_jpeg.hpp"
#include "image/jpeg_baseline.hpp"
#include "image/limits.hpp"
#include "image/types.hpp"

namespace veclip {

struct PrepareOptions {
  bool decode = true;           // check by decoding, not only by reading the header
  int resize_shorter = 0;       // longest that the shorter side may be, in pixels; 0 leaves sizes alone
  JpegOptions jpeg;             // of what is resized
  bool lossless_clean = false;  // JPEG: baseline, without metadata, pixels identical
  Limits limits;
};

// Memory that one image after another reuses; one per thread.
struct PrepareScratch {
  JpegScratch jpeg;
  RgbImage decoded;
  RgbImage other;  // resized, or decoded again for comparison
};

struct PreparedImage {
  Status status = Status::kOk;
  int width = 0;  // of what is to be stored
  int height = 0;
  OwnedBytes changed;  // empty: store the input as it is

  Bytes bytes(Bytes input) const noexcept { return changed.data ? changed.view() : input; }
};

// Resized images become JPEG whatever they were; others keep their format. An image that must be decoded, for the
// check or for the work, and cannot be is refused.
void prepare_image(Bytes data, const PrepareOptions& options, PrepareScratch& scratch, PreparedImage& out) noexcept;

}  // namespace veclip
