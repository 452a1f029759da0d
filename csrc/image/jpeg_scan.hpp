// Entropy-coded data made ready for reading: stuffing removed, cut at restart markers.
#pragma once

#include <vector>

#include "core/byte_spans.hpp"
#include "image/jpeg_frame.hpp"

namespace veclip {

struct JpegScan {
  std::vector<std::uint8_t> data;  // with kScanSlack bytes behind; only grows
  std::vector<std::size_t> ends;   // of the intervals in `data`
};

// False unless the intervals are as many as the frame has, in order, and followed by the end of the image.
bool split_scan(const JpegFrame& frame, JpegScan& out);

}  // namespace veclip
