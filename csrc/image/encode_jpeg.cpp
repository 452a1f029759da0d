#include "image/encode_jpeg.hpp"

#include "image/jpeg_compressor.hpp"

namespace veclip {

namespace {

void set_sampling(jpeg_compress_struct& cinfo, Subsampling subsampling) {
  cinfo.comp_info[0].h_samp_factor = subsampling == Subsampling::k444 ? 1 : 2;
  cinfo.comp_info[0].v_samp_factor = subsampling == Subsampling::k420 ? 2 : 1;
  for (int c = 1; c < 3; ++c) cinfo.comp_info[c].h_samp_factor = cinfo.comp_info[c].v_samp_factor = 1;
}

// Owns nothing: a fatal error jumps out of it.
Status encode_with(Compressor& c, const ImageView& image, const JpegOptions& options) {
  if (setjmp(c.errors.on_error) != 0) return Status::kOutOfMemory;
  c.begin();
  c.cinfo.image_width = static_cast<JDIMENSION>(image.width);
  c.cinfo.image_height = static_cast<JDIMENSION>(image.height);
  c.cinfo.input_components = static_cast<int>(kChannels);
  c.cinfo.in_color_space = JCS_RGB;
  jpeg_set_defaults(&c.cinfo);
  jpeg_set_quality(&c.cinfo, options.quality, TRUE);
  set_sampling(c.cinfo, options.subsampling);
  c.cinfo.optimize_coding = TRUE;
  jpeg_start_compress(&c.cinfo, TRUE);
  while (c.cinfo.next_scanline < c.cinfo.image_height) {
    JSAMPROW row = const_cast<JSAMPROW>(image.row(static_cast<int>(c.cinfo.next_scanline)));  // libjpeg reads only
    jpeg_write_scanlines(&c.cinfo, &row, 1);
  }
  jpeg_finish_compress(&c.cinfo);
  return Status::kOk;
}

}  // namespace

Status encode_jpeg(const ImageView& image, const JpegOptions& options, OwnedBytes& out) noexcept {
  if (image.width < 1 || image.height < 1 || options.quality < 1 || options.quality > 100) {
    return Status::kBadArgument;
  }
  Compressor compressor;
  const Status status = encode_with(compressor, image, options);
  if (status == Status::kOk) compressor.give(out);
  return status;
}

}  // namespace veclip
