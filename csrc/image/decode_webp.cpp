#include "image/decode_webp.hpp"

#include <webp/decode.h>
#include <webp/demux.h>

#include <cstring>
#include <memory>

#include "core/byte_reader.hpp"

namespace veclip {

namespace {

constexpr std::size_t kFirstChunk = 12;  // after "RIFF", size, "WEBP"
constexpr std::size_t kPayload = 20;     // after the first chunk's name and size

struct DeleteDemuxer {
  void operator()(WebPDemuxer* demuxer) const noexcept { WebPDemuxDelete(demuxer); }
};

struct FrameIterator {
  WebPIterator frame{};
  FrameIterator() = default;
  FrameIterator(const FrameIterator&) = delete;
  FrameIterator& operator=(const FrameIterator&) = delete;
  ~FrameIterator() { WebPDemuxReleaseIterator(&frame); }
};

Status read_extended(Bytes data, WebpHeader& out) noexcept {
  if (data.size() < kPayload + 10) return Status::kTruncated;
  out.width = static_cast<int>(load_le24(&data[kPayload + 4])) + 1;
  out.height = static_cast<int>(load_le24(&data[kPayload + 7])) + 1;
  return Status::kOk;
}

Status read_lossy(Bytes data, WebpHeader& out) noexcept {
  if (data.size() < kPayload + 10) return Status::kTruncated;
  out.width = load_le16(&data[kPayload + 6]) & 0x3fff;
  out.height = load_le16(&data[kPayload + 8]) & 0x3fff;
  return Status::kOk;
}

Status read_lossless(Bytes data, WebpHeader& out) noexcept {
  if (data.size() < kPayload + 5) return Status::kTruncated;
  const std::uint32_t bits = load_le32(&data[kPayload + 1]);
  out.width = static_cast<int>(bits & 0x3fff) + 1;
  out.height = static_cast<int>(bits >> 14 & 0x3fff) + 1;
  return Status::kOk;
}

// The canvas is transparent black where the frame does not reach.
bool covers(const WebPIterator& frame, const WebpHeader& canvas) noexcept {
  return frame.width == canvas.width && frame.height == canvas.height;
}

bool inside(const WebPIterator& frame, const WebpHeader& canvas) noexcept {
  return frame.x_offset >= 0 && frame.y_offset >= 0 && frame.width > 0 && frame.height > 0 &&
         frame.width <= canvas.width - frame.x_offset && frame.height <= canvas.height - frame.y_offset;
}

Status decode_frame(const WebPIterator& frame, RgbImage& out) noexcept {
  std::uint8_t* first = out.row(frame.y_offset) + static_cast<std::size_t>(frame.x_offset) * kChannels;
  const std::size_t room = out.stride() * static_cast<std::size_t>(out.height() - frame.y_offset) -
                           static_cast<std::size_t>(frame.x_offset) * kChannels;
  const std::uint8_t* done =
      WebPDecodeRGBInto(frame.fragment.bytes, frame.fragment.size, first, room, static_cast<int>(out.stride()));
  return done != nullptr ? Status::kOk : Status::kCorrupt;
}

}  // namespace

Status read_webp_header(Bytes data, WebpHeader& out) noexcept {
  if (!starts_with(data, "RIFF") || data.size() < kFirstChunk + 4) return Status::kUnsupportedFormat;
  if (!starts_with(data.subspan(8), "WEBP")) return Status::kUnsupportedFormat;
  const Bytes chunk = data.subspan(kFirstChunk);
  if (starts_with(chunk, "VP8X")) return read_extended(data, out);
  if (starts_with(chunk, "VP8 ")) return read_lossy(data, out);
  if (starts_with(chunk, "VP8L")) return read_lossless(data, out);
  return Status::kUnsupportedFormat;
}

Status decode_webp(Bytes data, const WebpHeader& header, RgbImage& out) noexcept {
  const WebPData webp{data.data(), data.size()};
  const std::unique_ptr<WebPDemuxer, DeleteDemuxer> demuxer(WebPDemux(&webp));
  if (!demuxer) return Status::kCorrupt;
  FrameIterator it;
  if (WebPDemuxGetFrame(demuxer.get(), 1, &it.frame) == 0) return Status::kCorrupt;
  if (static_cast<int>(WebPDemuxGetI(demuxer.get(), WEBP_FF_CANVAS_WIDTH)) != header.width ||
      static_cast<int>(WebPDemuxGetI(demuxer.get(), WEBP_FF_CANVAS_HEIGHT)) != header.height ||
      !inside(it.frame, header)) {
    return Status::kCorrupt;
  }
  if (const Status status = out.reset(header.width, header.height); status != Status::kOk) return status;
  if (!covers(it.frame, header)) std::memset(out.data(), 0, out.stride() * static_cast<std::size_t>(out.height()));
  return decode_frame(it.frame, out);
}

}  // namespace veclip
