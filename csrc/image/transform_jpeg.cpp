#include "image/transform_jpeg.hpp"

#include <exception>
#include <functional>

#include "image/resample_rows.hpp"
#include "image/slot_sink.hpp"

namespace veclip {

namespace {

bool stream(const JpegFrame& frame, const Box& box, const ResizeWindow& window, const TransformSpec& spec,
            StreamScratch& scratch, void* slot) noexcept {
  const auto run = [&](RowSink& sink) {
    RowResizer resizer({box.width, box.height}, window, spec.order, scratch.resize, sink);
    if (!decode_baseline(frame, box, scratch.jpeg, resizer)) return Status::kCorrupt;
    resizer.finish();
    return Status::kOk;
  };
  try {
    return with_slot_sink(spec, slot, std::ref(run)) == Status::kOk;
  } catch (const std::exception&) {  // nothing in there throws but failed allocations
    return false;
  }
}

}  // namespace

bool stream_crop(const JpegFrame& frame, const Box& box, const TransformSpec& spec, StreamScratch& scratch,
                 void* slot) noexcept {
  if (!contains(frame.width, frame.height, box)) return false;
  return stream(frame, box, {spec.size, spec.size, 0, 0, spec.size, spec.size}, spec, scratch, slot);
}

bool stream_fit(const JpegFrame& frame, const TransformSpec& spec, StreamScratch& scratch, void* slot) noexcept {
  ResizeWindow window;
  if (eval_window(frame.width, frame.height, spec, window) != Status::kOk) return false;
  return stream(frame, {0, 0, frame.width, frame.height}, window, spec, scratch, slot);
}

}  // namespace veclip
