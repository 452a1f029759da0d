#include "image/decode_jpeg_library.hpp"

#include "image/jpeg_decompressor.hpp"

namespace veclip {

namespace {

// CMYK as Adobe writes it (inverted, whether or not a marker says so) to RGB, with Pillow's rounding.
void cmyk_row_to_rgb(const std::uint8_t* in, int width, std::uint8_t* out) noexcept {
  for (int x = 0; x < width; ++x, in += 4, out += 3) {
    const int white = in[3];  // 255 - K, and K is stored inverted
    for (int c = 0; c < 3; ++c) {
      const int product = (255 - in[c]) * white + 128;
      const int ink = (product + (product >> 8)) >> 8;
      out[c] = static_cast<std::uint8_t>(white - ink < 0 ? 0 : white - ink);
    }
  }
}

void grey_row_to_rgb(const std::uint8_t* in, int width, std::uint8_t* out) noexcept {
  for (int x = 0; x < width; ++x, out += 3) out[0] = out[1] = out[2] = in[x];
}

J_COLOR_SPACE output_space(int components) noexcept {
  if (components == 1) return JCS_GRAYSCALE;
  return components == 3 ? JCS_RGB : JCS_CMYK;
}

// Between setjmp and the jump only frames without destructors may lie, so the functions below own nothing.
Status start(Decompressor& d) {
  d.cinfo.out_color_space = output_space(d.cinfo.num_components);
  while (!jpeg_start_decompress(&d.cinfo)) {
    if (!d.source.feed()) return Status::kTruncated;
  }
  return Status::kOk;
}

Status read_row(Decompressor& d, std::uint8_t* row) {
  JSAMPROW rows[1] = {row};
  while (jpeg_read_scanlines(&d.cinfo, rows, 1) != 1) {
    if (!d.source.feed()) return Status::kTruncated;
  }
  return Status::kOk;
}

// From libjpeg's own pool, so that a jump cannot leak it.
std::uint8_t* scratch_row(Decompressor& d) {
  const auto bytes = static_cast<std::size_t>(d.cinfo.output_width) * static_cast<std::size_t>(d.cinfo.num_components);
  auto* common = reinterpret_cast<j_common_ptr>(&d.cinfo);
  return static_cast<std::uint8_t*>(d.cinfo.mem->alloc_large(common, JPOOL_IMAGE, bytes));
}

Status read_rows(Decompressor& d, RgbImage& out) {
  const int components = d.cinfo.num_components;
  std::uint8_t* scratch = components == 3 ? nullptr : scratch_row(d);
  for (int y = 0; y < out.height(); ++y) {
    const Status status = read_row(d, scratch != nullptr ? scratch : out.row(y));
    if (status != Status::kOk) return status;
    if (components == 1) grey_row_to_rgb(scratch, out.width(), out.row(y));
    if (components == 4) cmyk_row_to_rgb(scratch, out.width(), out.row(y));
  }
  return Status::kOk;
}

Status decode_with(Decompressor& d, Bytes data, const JpegHeader& header, RgbImage& out) {
  if (setjmp(d.errors.on_error) != 0) return d.failure();
  if (const Status status = d.begin(data, header); status != Status::kOk) return status;
  if (const Status status = start(d); status != Status::kOk) return status;
  if (const Status status = out.reset(header.width, header.height); status != Status::kOk) return status;
  if (const Status status = read_rows(d, out); status != Status::kOk) return status;
  jpeg_finish_decompress(&d.cinfo);  // finds errors after the last row; that the end is missing does not matter
  return Status::kOk;
}

}  // namespace

Status decode_jpeg_by_library(Bytes data, const JpegHeader& header, RgbImage& out) noexcept {
  Decompressor decompressor;
  return decode_with(decompressor, data, header, out);
}

}  // namespace veclip
