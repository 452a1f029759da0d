#include "image/prepare.hpp"

#include <algorithm>
#include <cstring>
#include <new>

#include "image/decode.hpp"
#include "image/probe.hpp"
#include "image/resample.hpp"
#include "image/transcode_jpeg.hpp"

namespace veclip {

namespace {

bool wants_resize(const ImageInfo& info, const PrepareOptions& options) noexcept {
  return options.resize_shorter > 0 && std::min(info.width, info.height) > options.resize_shorter;
}

bool wants_clean(const ImageInfo& info, const PrepareOptions& options) noexcept {
  return options.lossless_clean && info.format == ImageFormat::kJpeg;
}

// torchvision's Resize(int): the longer side is cut down to a whole number.
int scaled(int side, int shorter, int target) noexcept {
  return static_cast<int>(std::int64_t{side} * target / shorter);
}

Status resize(const PrepareOptions& options, PrepareScratch& scratch, PreparedImage& out) {
  const ImageView image = scratch.decoded.view();
  const int shorter = std::min(image.width, image.height);
  const int width = scaled(image.width, shorter, options.resize_shorter);
  const int height = scaled(image.height, shorter, options.resize_shorter);
  if (const Status status = resize_rgb(image, width, height, PassOrder::kPillow11, scratch.other);
      status != Status::kOk) {
    return status;
  }
  out.width = width;
  out.height = height;
  return encode_jpeg(scratch.other.view(), options.jpeg, out.changed);
}

bool same_pixels(const RgbImage& a, const RgbImage& b) noexcept {
  return a.width() == b.width() && a.height() == b.height() &&
         std::memcmp(a.data(), b.data(), a.stride() * static_cast<std::size_t>(a.height())) == 0;
}

// Anything that goes wrong here leaves the input as it is: it was decoded, so it is good enough to keep.
void clean(Bytes data, const ImageInfo& info, const PrepareOptions& options, PrepareScratch& scratch,
           PreparedImage& out) noexcept {
  JpegHeader header;
  OwnedBytes cleaned;
  if (read_jpeg_header(data, header) != Status::kOk) return;
  if (transcode_to_baseline(data, header, cleaned) != Status::kOk) return;
  if (!info.progressive && cleaned.size >= data.size()) return;
  if (decode_rgb(cleaned.view(), options.limits, scratch.jpeg, scratch.other) != Status::kOk) return;
  if (same_pixels(scratch.decoded, scratch.other)) out.changed = std::move(cleaned);
}

Status prepare(Bytes data, const PrepareOptions& options, PrepareScratch& scratch, PreparedImage& out) {
  ImageInfo info;
  if (const Status status = probe(data, options.limits, info); status != Status::kOk) return status;
  out.width = info.width;
  out.height = info.height;
  const bool resizing = wants_resize(info, options);
  const bool cleaning = !resizing && wants_clean(info, options);
  if (!options.decode && !resizing && !cleaning) return Status::kOk;
  if (const Status status = decode_rgb(data, options.limits, scratch.jpeg, scratch.decoded); status != Status::kOk)
    return status;
  if (resizing) return resize(options, scratch, out);
  if (cleaning) clean(data, info, options, scratch, out);
  return Status::kOk;
}

}  // namespace

void prepare_image(Bytes data, const PrepareOptions& options, PrepareScratch& scratch, PreparedImage& out) noexcept {
  out = {};
  try {
    out.status = prepare(data, options, scratch, out);
  } catch (const std::bad_alloc&) {
    out.status = Status::kOutOfMemory;
  }
  if (out.status != Status::kOk) {
    const Status status = out.status;
    out = {};
    out.status = status;
  }
}

}  // namespace veclip
