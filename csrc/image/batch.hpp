// Whole batches: image files in, one slot of a caller-owned array per image out.
#pragma once

#include <cstdint>
#include <span>

#include "core/byte_spans.hpp"
#include "core/thread_pool.hpp"
#include "image/limits.hpp"
#include "image/transform.hpp"

namespace veclip {

// kFast: baseline JPEG with subsampled chroma is resized before upsampling and colour (stream_crop_fast); all else
// stays exact.
enum class TransformMode { kExact, kFast };

struct BatchSpec {
  TransformSpec transform;
  Limits limits;
  TransformMode mode = TransformMode::kExact;  // of train_batch
};

// Slots back to back (transform.slot_bytes() each) and one status per image. A failed image's slot is zeros.
struct BatchOutput {
  std::uint8_t* slots;
  Status* status;
};

// Training transform: boxes[i] is cut out of image i. The result does not depend on the number of threads.
void train_batch(const ByteSpans& images, std::span<const Box> boxes, const BatchSpec& spec, ThreadPool& pool,
                 const BatchOutput& out);

// Evaluation transform.
void eval_batch(const ByteSpans& images, const BatchSpec& spec, ThreadPool& pool, const BatchOutput& out);

}  // namespace veclip
