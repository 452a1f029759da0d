#include "image/jpeg_decompressor.hpp"

namespace veclip {

namespace {

// A progressive file may hold any number of scans, each of which costs a walk over all coefficients. Encoders write
// about ten; what needs more than this is made to burn time.
constexpr int kMaxScans = 100;

void stop_after_too_many_scans(j_common_ptr common) {
  if (reinterpret_cast<j_decompress_ptr>(common)->input_scan_number > kMaxScans) {
    common->err->msg_code = JERR_BAD_PROGRESSION;
    common->err->error_exit(common);
  }
}

bool agrees(const jpeg_decompress_struct& cinfo, const JpegHeader& header) noexcept {
  return cinfo.image_width == static_cast<JDIMENSION>(header.width) &&
         cinfo.image_height == static_cast<JDIMENSION>(header.height) && cinfo.num_components == header.components &&
         cinfo.data_precision == 8;
}

}  // namespace

Status Decompressor::begin(Bytes data, const JpegHeader& header) {
  cinfo.err = errors.attach();
  jpeg_create_decompress(&cinfo);
  source.attach(cinfo, data);
  progress.progress_monitor = stop_after_too_many_scans;
  cinfo.progress = &progress;
  if (!source.feed()) return Status::kTruncated;
  int outcome;
  do {
    outcome = jpeg_read_header(&cinfo, FALSE);
    if (outcome == JPEG_SUSPENDED && !source.feed()) return Status::kTruncated;
  } while (outcome != JPEG_HEADER_OK);
  return agrees(cinfo, header) ? Status::kOk : Status::kCorrupt;
}

Status Decompressor::failure() const noexcept {
  switch (errors.manager.msg_code) {
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

}  // namespace veclip
