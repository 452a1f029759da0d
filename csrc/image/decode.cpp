#include "image/decode.hpp"

#include "image/decode_jpeg.hpp"
#include "image/decode_png.hpp"
#include "image/decode_webp.hpp"
#include "image/sniff.hpp"

namespace veclip {

namespace {

Status read_checked_header(Bytes data, const Limits& limits, JpegHeader& header) noexcept {
  if (const Status status = read_jpeg_header(data, header); status != Status::kOk) return status;
  return check_size(header.width, header.height, limits);
}

Status decode_checked_jpeg(Bytes data, const Limits& limits, JpegTry tries, JpegScratch& scratch,
                           RgbImage& out) noexcept {
  JpegHeader header;
  if (const Status status = read_checked_header(data, limits, header); status != Status::kOk) return status;
  return decode_jpeg(data, header, tries, scratch, out);
}

Status decode_checked_png(Bytes data, const Limits& limits, RgbImage& out) noexcept {
  PngStream stream(data);
  if (const Status status = stream.read_header(); status != Status::kOk) return status;
  const PngHeader& header = stream.header();
  if (const Status status = check_size(header.width, header.height, limits); status != Status::kOk) return status;
  return decode_png(stream, out);
}

Status decode_checked_webp(Bytes data, const Limits& limits, RgbImage& out) noexcept {
  WebpHeader header;
  if (const Status status = read_webp_header(data, header); status != Status::kOk) return status;
  if (const Status status = check_size(header.width, header.height, limits); status != Status::kOk) return status;
  return decode_webp(data, header, out);
}

}  // namespace

Status decode_rgb(Bytes data, const Limits& limits, JpegScratch& scratch, RgbImage& out, JpegTry jpeg) noexcept {
  if (const Status status = check_file(data, limits); status != Status::kOk) return status;
  switch (*sniff(data)) {
    case ImageFormat::kJpeg:
      return decode_checked_jpeg(data, limits, jpeg, scratch, out);
    case ImageFormat::kPng:
      return decode_checked_png(data, limits, out);
    case ImageFormat::kWebp:
      return decode_checked_webp(data, limits, out);
  }
  return Status::kUnsupportedFormat;
}

std::optional<JpegFrame> own_frame(Bytes data, const Limits& limits) noexcept {
  if (check_file(data, limits) != Status::kOk || *sniff(data) != ImageFormat::kJpeg) return std::nullopt;
  JpegHeader header;
  if (read_checked_header(data, limits, header) != Status::kOk) return std::nullopt;
  return own_frame(data, header);
}

}  // namespace veclip
