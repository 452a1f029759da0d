#include "image/probe.hpp"

#include "image/decode_webp.hpp"
#include "image/jpeg_header.hpp"
#include "image/png_stream.hpp"
#include "image/sniff.hpp"

namespace veclip {

namespace {

Status probe_jpeg(Bytes data, ImageInfo& out) noexcept {
  JpegHeader header;
  const Status status = read_jpeg_header(data, header);
  out = {ImageFormat::kJpeg, header.width, header.height, header.progressive};
  return status;
}

Status probe_webp(Bytes data, ImageInfo& out) noexcept {
  WebpHeader header;
  const Status status = read_webp_header(data, header);
  out = {ImageFormat::kWebp, header.width, header.height, false};
  return status;
}

// A PNG may announce sides that an int cannot hold, so its size is checked before it is stored.
Status probe_png(Bytes data, const Limits& limits, ImageInfo& out) noexcept {
  PngStream stream(data);
  if (const Status status = stream.read_header(); status != Status::kOk) return status;
  const PngHeader& header = stream.header();
  if (const Status status = check_size(header.width, header.height, limits); status != Status::kOk) return status;
  out = {ImageFormat::kPng, static_cast<int>(header.width), static_cast<int>(header.height), false};
  return Status::kOk;
}

Status probe_format(Bytes data, const Limits& limits, ImageInfo& out) noexcept {
  switch (*sniff(data)) {
    case ImageFormat::kJpeg:
      return probe_jpeg(data, out);
    case ImageFormat::kPng:
      return probe_png(data, limits, out);
    case ImageFormat::kWebp:
      return probe_webp(data, out);
  }
  return Status::kUnsupportedFormat;
}

}  // namespace

Status probe(Bytes data, const Limits& limits, ImageInfo& out) noexcept {
  if (const Status status = check_file(data, limits); status != Status::kOk) return status;
  if (const Status status = probe_format(data, limits, out); status != Status::kOk) return status;
  return check_size(out.width, out.height, limits);
}

}  // namespace veclip
