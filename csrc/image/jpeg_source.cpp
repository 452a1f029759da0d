#include "image/jpeg_source.hpp"

#include <algorithm>

namespace veclip {

namespace {

constexpr std::size_t kPortion = 65536;  // PIL.ImageFile.MAXBLOCK

void do_nothing(j_decompress_ptr) {}

boolean suspend(j_decompress_ptr) { return FALSE; }

void skip_bytes(j_decompress_ptr cinfo, long count) {
  if (count <= 0) return;
  auto* source = reinterpret_cast<JpegSource*>(cinfo->src);
  const auto wanted = static_cast<std::size_t>(count);
  const std::size_t now = std::min(wanted, source->manager.bytes_in_buffer);
  source->manager.next_input_byte += now;
  source->manager.bytes_in_buffer -= now;
  source->skip = wanted - now;
}

[[noreturn]] void jump_out(j_common_ptr cinfo) { std::longjmp(reinterpret_cast<JpegErrors*>(cinfo->err)->on_error, 1); }

void stay_silent(j_common_ptr) {}

}  // namespace

void JpegSource::attach(jpeg_decompress_struct& cinfo, Bytes data) noexcept {
  file = data;
  manager.init_source = do_nothing;
  manager.fill_input_buffer = suspend;
  manager.skip_input_data = skip_bytes;
  manager.resync_to_restart = jpeg_resync_to_restart;
  manager.term_source = do_nothing;
  manager.next_input_byte = data.data();
  manager.bytes_in_buffer = 0;
  cinfo.src = &manager;
}

bool JpegSource::feed() noexcept {
  do {
    const std::size_t portion = std::min(kPortion, file.size() - fed);
    if (portion == 0) return false;
    fed += portion;
    manager.bytes_in_buffer += portion;
    const std::size_t passed = std::min(skip, manager.bytes_in_buffer);
    manager.next_input_byte += passed;
    manager.bytes_in_buffer -= passed;
    skip -= passed;
  } while (skip > 0);
  return true;
}

jpeg_error_mgr* JpegErrors::attach() noexcept {
  jpeg_std_error(&manager);
  manager.error_exit = jump_out;
  manager.output_message = stay_silent;
  return &manager;
}

}  // namespace veclip
