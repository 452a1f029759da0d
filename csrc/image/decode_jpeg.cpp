#include "image/decode_jpeg.hpp"

#include "image/jpeg_source.hpp"

namespace veclip {

namespace {

// A progressive file may hold any number of scans, each of which costs a walk over all coefficients. Encoders write
// about ten; what needs more than this is made to burn time.
constexpr int kMaxScans = 100;

struct Decompressor {
  jpeg_decompress_struct cinfo{};
  JpegErrors errors;
  JpegSource source;
  jpeg_progress_mgr progress{};

  Decompressor() = default;
  Decompressor(const Decompressor&) = delete;
  Decompressor& operator=(const Decompressor&) = delete;
  ~Decompressor() { jpeg_destroy_decompress(&cinfo); }  // harmless when creation failed: cinfo.mem is null then
};

void stop_after_too_many_scans(j_common_ptr common) {
  if (reinterpret_cast<j_decompress_ptr>(common)->input_scan_number > kMaxScans) {
    common->err->msg_code = JERR_BAD_PROGRESSION;
    common->err->error_exit(common);
  }
}

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
Status read_header(Decompressor& d, const JpegHeader& header) {
  int outcome;
  do {
    outcome = jpeg_read_header(&d.cinfo, FALSE);
    if (outcome == JPEG_SUSPENDED && !d.source.feed()) return Status::kTruncated;
  } while (outcome != JPEG_HEADER_OK);
  const bool same = d.cinfo.image_width == static_cast<JDIMENSION>(header.width) &&
                    d.cinfo.image_height == static_cast<JDIMENSION>(header.height) &&
                    d.cinfo.num_components == header.components && d.cinfo.data_precision == 8;
  return same ? Status::kOk : Status::kCorrupt;
}

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

Status read_rows(Decompressor& d, RgbImage& out) {
  const int components = d.cinfo.num_components;
  std::uint8_t* scratch = nullptr;
  if (components != 3) {
    // From libjpeg's own pool, so that a jump cannot leak it.
    const std::size_t bytes = static_cast<std::size_t>(out.width()) * static_cast<std::size_t>(components);
    scratch = static_cast<std::uint8_t*>(
        d.cinfo.mem->alloc_large(reinterpret_cast<j_common_ptr>(&d.cinfo), JPOOL_IMAGE, bytes));
  }
  for (int y = 0; y < out.height(); ++y) {
    const Status status = read_row(d, scratch != nullptr ? scratch : out.row(y));
    if (status != Status::kOk) return status;
    if (components == 1) grey_row_to_rgb(scratch, out.width(), out.row(y));
    if (components == 4) cmyk_row_to_rgb(scratch, out.width(), out.row(y));
  }
  return Status::kOk;
}

Status status_of_error(const jpeg_error_mgr& error) noexcept {
  switch (error.msg_code) {
    case JERR_OUT_OF_MEMORY:
      return Status::kOutOfMemory;
    case JERR_SOF_UNSUPPORTED:
    case JERR_ARITH_NOTIMPL:
    case JERR_NOT_COMPILED:
      return Status::kUnsupportedVariant;
    default:
      return Status::kCorrupt;
  }
}

Status decode_with(Decompressor& d, Bytes data, const JpegHeader& header, RgbImage& out) {
  if (setjmp(d.errors.on_error) != 0) return status_of_error(d.errors.manager);
  d.cinfo.err = d.errors.attach();
  jpeg_create_decompress(&d.cinfo);
  d.source.attach(d.cinfo, data);
  d.progress.progress_monitor = stop_after_too_many_scans;
  d.cinfo.progress = &d.progress;
  if (!d.source.feed()) return Status::kTruncated;
  if (const Status status = read_header(d, header); status != Status::kOk) return status;
  if (const Status status = start(d); status != Status::kOk) return status;
  if (const Status status = out.reset(header.width, header.height); status != Status::kOk) return status;
  if (const Status status = read_rows(d, out); status != Status::kOk) return status;
  jpeg_finish_decompress(&d.cinfo);  // finds errors after the last row; that the end is missing does not matter
  return Status::kOk;
}

}  // namespace

Status decode_jpeg(Bytes data, const JpegHeader& header, RgbImage& out) noexcept {
  Decompressor decompressor;
  return decode_with(decompressor, data, header, out);
}

}  // namespace veclip
