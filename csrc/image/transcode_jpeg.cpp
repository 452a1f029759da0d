#include "image/transcode_jpeg.hpp"

#include "image/jpeg_compressor.hpp"
#include "image/jpeg_decompressor.hpp"

namespace veclip {

namespace {

// Both functions own nothing: a fatal error jumps out of them.
Status read_coefficients(Decompressor& in, jvirt_barray_ptr*& coefficients) {
  while ((coefficients = jpeg_read_coefficients(&in.cinfo)) == nullptr) {
    if (!in.source.feed()) return Status::kTruncated;
  }
  return Status::kOk;
}

Status transcode_with(Decompressor& in, Compressor& out, Bytes data, const JpegHeader& header) {
  if (setjmp(in.errors.on_error) != 0) return in.failure();
  if (const Status status = in.begin(data, header); status != Status::kOk) return status;
  jvirt_barray_ptr* coefficients = nullptr;
  if (const Status status = read_coefficients(in, coefficients); status != Status::kOk) return status;
  if (setjmp(out.errors.on_error) != 0) return Status::kOutOfMemory;
  out.begin();
  jpeg_copy_critical_parameters(&in.cinfo, &out.cinfo);
  out.cinfo.optimize_coding = TRUE;
  out.cinfo.write_JFIF_header = in.cinfo.saw_JFIF_marker;
  out.cinfo.write_Adobe_marker = in.cinfo.saw_Adobe_marker;
  jpeg_write_coefficients(&out.cinfo, coefficients);
  jpeg_finish_compress(&out.cinfo);
  return Status::kOk;
}

}  // namespace

Status transcode_to_baseline(Bytes data, const JpegHeader& header, OwnedBytes& out) noexcept {
  Decompressor decompressor;
  Compressor compressor;
  const Status status = transcode_with(decompressor, compressor, data, header);
  if (status == Status::kOk) compressor.give(out);
  return status;
}

}  // namespace veclip
