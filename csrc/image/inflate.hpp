// zlib's inflate with its end of life taken care of.
#pragma once

#include <zlib.h>

#include <cstddef>

#include "core/byte_spans.hpp"

namespace veclip {

class Inflater {
 public:
  Inflater() noexcept : ready_(inflateInit(&stream_) == Z_OK) {}
  ~Inflater() {
    if (ready_) inflateEnd(&stream_);
  }
  Inflater(const Inflater&) = delete;
  Inflater& operator=(const Inflater&) = delete;

  bool ready() const noexcept { return ready_; }
  void give(Bytes input) noexcept {
    stream_.next_in = const_cast<Bytef*>(input.data());  // zlib reads only
    stream_.avail_in = static_cast<uInt>(input.size());
  }
  std::size_t input_left() const noexcept { return stream_.avail_in; }

  // Writes up to `room` bytes; `produced` says how many. Returns zlib's code.
  int run(std::uint8_t* out, std::size_t room, std::size_t& produced) noexcept {
    stream_.next_out = out;
    stream_.avail_out = static_cast<uInt>(room);
    const int code = inflate(&stream_, Z_NO_FLUSH);
    produced = room - stream_.avail_out;
    return code;
  }

 private:
  z_stream stream_{};
  bool ready_;
};

}  // namespace veclip
