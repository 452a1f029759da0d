#include "image/batch.hpp"

#include <cstring>
#include <vector>

#include "image/decode.hpp"

namespace veclip {

namespace {

// One per thread and batch: images reuse it, and nothing outlives the call, however large one image was.
struct Arena {
  JpegScratch jpeg;
  RgbImage decoded;
  ResizeScratch scratch;
};

template <typename Transform>
void run_batch(const ByteSpans& images, const BatchSpec& spec, ThreadPool& pool, const BatchOutput& out,
               const Transform& transform) {
  std::vector<Arena> arenas(pool.threads());
  const std::size_t slot_bytes = spec.transform.slot_bytes();
  pool.for_each(images.size(), [&](std::size_t i, std::size_t worker) {
    Arena& arena = arenas[worker];
    std::uint8_t* const slot = out.slots + i * slot_bytes;
    Status status = decode_rgb(images[i], spec.limits, arena.jpeg, arena.decoded);
    if (status == Status::kOk) status = transform(i, arena, slot);
    if (status != Status::kOk) std::memset(slot, 0, slot_bytes);
    out.status[i] = status;
  });
}

}  // namespace

void train_batch(const ByteSpans& images, std::span<const Box> boxes, const BatchSpec& spec, ThreadPool& pool,
                 const BatchOutput& out) {
  run_batch(images, spec, pool, out, [&](std::size_t i, Arena& arena, void* slot) {
    return crop_and_resize(arena.decoded.view(), boxes[i], spec.transform, arena.scratch, slot);
  });
}

void eval_batch(const ByteSpans& images, const BatchSpec& spec, ThreadPool& pool, const BatchOutput& out) {
  run_batch(images, spec, pool, out, [&](std::size_t, Arena& arena, void* slot) {
    return resize_and_centre_crop(arena.decoded.view(), spec.transform, arena.scratch, slot);
  });
}

}  // namespace veclip
