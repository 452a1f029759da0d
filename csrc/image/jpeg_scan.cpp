#include "image/jpeg_scan.hpp"

#include <cstring>

#include "image/jpeg_kernels.hpp"

namespace veclip {

namespace {

std::size_t intervals(const JpegFrame& frame) noexcept {
  const auto mcus = static_cast<std::size_t>(frame.mcus_per_row()) * static_cast<std::size_t>(frame.mcu_rows());
  const auto interval = static_cast<std::size_t>(frame.restart_interval);
  return interval == 0 ? 1 : (mcus + interval - 1) / interval;
}

}  // namespace

bool split_scan(const JpegFrame& frame, JpegScan& out) {
  const std::size_t wanted = intervals(frame);
  if (out.data.size() < frame.scan.size() + kScanSlack) out.data.resize(frame.scan.size() + kScanSlack);
  out.ends.clear();
  const std::uint8_t* from = frame.scan.data();
  const std::uint8_t* const end = from + frame.scan.size();
  std::uint8_t* to = out.data.data();
  while (from < end) {
    const auto* const prefix =
        static_cast<const std::uint8_t*>(std::memchr(from, 0xff, static_cast<std::size_t>(end - from)));
    if (prefix == nullptr || prefix + 1 == end) return false;
    const auto plain = static_cast<std::size_t>(prefix - from);
    std::memcpy(to, from, plain);
    to += plain;
    from = prefix + 2;
    const std::uint8_t code = prefix[1];
    if (code == 0) {
      *to++ = 0xff;
      continue;
    }
    const std::uint8_t expected =
        out.ends.size() + 1 == wanted ? 0xd9 : static_cast<std::uint8_t>(0xd0 + out.ends.size() % 8);
    if (code != expected) return false;
    out.ends.push_back(static_cast<std::size_t>(to - out.data.data()));
    if (out.ends.size() < wanted) continue;
    std::memset(to, 0, kScanSlack);
    return true;
  }
  return false;
}

}  // namespace veclip
