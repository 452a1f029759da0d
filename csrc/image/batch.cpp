#include "image/batch.hpp"

#include <cstring>
#include <vector>

#include "image/decode.hpp"
#include "image/tf_bilinear.hpp"
#include "image/transform_jpeg.hpp"

namespace veclip {

namespace {

// One per thread and batch: images reuse it, and nothing outlives the call, however large one image was.
struct Arena {
  RgbImage decoded;
  StreamScratch scratch;
};

// Stream(i, frame, scratch, slot) -> bool is tried for JPEG files that our decoder may take, Transform(i, image,
// scratch, slot) -> Status is what counts for all others.
template <typename Stream, typename Transform>
void run_batch(const ByteSpans& images, const BatchSpec& spec, ThreadPool& pool, const BatchOutput& out,
               const Stream& stream, const Transform& transform) {
  std::vector<Arena> arenas(pool.threads());
  const std::size_t slot_bytes = spec.transform.slot_bytes();
  const auto one = [&](std::size_t i, Arena& arena, void* slot) {
    const auto frame = own_frame(images[i], spec.limits);
    if (frame && stream(i, *frame, arena.scratch, slot)) return Status::kOk;
    const JpegTry tries = frame ? JpegTry::kNotOwn : JpegTry::kOwnFirst;
    const Status status = decode_rgb(images[i], spec.limits, arena.scratch.jpeg, arena.decoded, tries);
    return status == Status::kOk ? transform(i, arena.decoded.view(), arena.scratch.resize, slot) : status;
  };
  pool.for_each(images.size(), [&](std::size_t i, std::size_t worker) {
    std::uint8_t* const slot = out.slots + i * slot_bytes;
    const Status status = one(i, arenas[worker], slot);
    if (status != Status::kOk) std::memset(slot, 0, slot_bytes);
    out.status[i] = status;
  });
}

}  // namespace

void train_batch(const ByteSpans& images, std::span<const Box> boxes, const BatchSpec& spec, ThreadPool& pool,
                 const BatchOutput& out) {
  const TransformSpec& to = spec.transform;
  run_batch(
      images, spec, pool, out,
      [&](std::size_t i, const JpegFrame& frame, StreamScratch& scratch, void* slot) {
        const bool fast = spec.mode == TransformMode::kFast && has_small_chroma(frame);
        return (fast ? stream_crop_fast : stream_crop)(frame, boxes[i], to, scratch, slot);
      },
      [&](std::size_t i, const ImageView& image, ResizeScratch& scratch, void* slot) {
        return crop_and_resize(image, boxes[i], to, scratch, slot);
      });
}

void eval_batch(const ByteSpans& images, const BatchSpec& spec, ThreadPool& pool, const BatchOutput& out) {
  const TransformSpec& to = spec.transform;
  run_batch(
      images, spec, pool, out,
      [&](std::size_t, const JpegFrame& frame, StreamScratch& scratch, void* slot) {
        return to.fit != Fit::kTensorflow && stream_fit(frame, to, scratch, slot);
      },
      [&](std::size_t, const ImageView& image, ResizeScratch& scratch, void* slot) {
        return to.fit == Fit::kTensorflow ? sample_and_fit(image, to, slot) : resize_and_fit(image, to, scratch, slot);
      });
}

}  // namespace veclip
