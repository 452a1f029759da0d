#include "image/decode_jpeg.hpp"

#include "image/decode_jpeg_library.hpp"
#include "image/jpeg_choice.hpp"

namespace veclip {

namespace {

// Planes in, pixels out.
class ImageTarget final : public RgbTarget {
 public:
  ImageTarget(RgbImage& out, std::vector<std::uint8_t>& row) : out_(out), row_(row) {
    row_.resize(kChannels * plane_bytes());
  }

  RgbRow room(int) noexcept override {
    return {row_.data(), row_.data() + plane_bytes(), row_.data() + 2 * plane_bytes()};
  }
  void filled(int y) noexcept override {
    const RgbRow row = room(y);
    current_jpeg_kernels().interleave({row.r, row.g, row.b}, static_cast<std::size_t>(out_.width()), out_.row(y));
  }

 private:
  std::size_t plane_bytes() const noexcept { return static_cast<std::size_t>(out_.width()) + kSampleSlack; }

  RgbImage& out_;
  std::vector<std::uint8_t>& row_;
};

bool decode_ourselves(const JpegFrame& frame, JpegScratch& scratch, RgbImage& out) noexcept {
  if (out.reset(frame.width, frame.height) != Status::kOk) return false;
  try {
    ImageTarget target(out, scratch.row);
    return decode_baseline(frame, {0, 0, frame.width, frame.height}, scratch, target);
  } catch (const std::exception&) {
    return false;
  }
}

}  // namespace

std::optional<JpegFrame> own_frame(Bytes data, const JpegHeader& header) noexcept {
  if (jpeg_choice() == JpegChoice::kLibrary) return std::nullopt;
  const auto frame = parse_jpeg_frame(data);
  const bool agrees =
      frame && frame->width == header.width && frame->height == header.height && frame->components == header.components;
  return agrees ? frame : std::nullopt;
}

Status decode_jpeg(Bytes data, const JpegHeader& header, JpegTry tries, JpegScratch& scratch, RgbImage& out) noexcept {
  if (tries == JpegTry::kOwnFirst) {
    const auto frame = own_frame(data, header);
    if (frame && decode_ourselves(*frame, scratch, out)) return Status::kOk;
  }
  if (jpeg_choice() == JpegChoice::kOwn) return Status::kUnsupportedVariant;
  return decode_jpeg_by_library(data, header, out);
}

}  // namespace veclip
