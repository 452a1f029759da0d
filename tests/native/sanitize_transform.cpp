// Compiled with sanitizers by test_sanitize.py: random transforms on exactly sized heap blocks, then the thread pool.
// Exit code 1 where a call gives a wrong status; the sanitizers end it for anything worse.
#include <algorithm>
#include <cstdlib>
#include <memory>
#include <random>
#include <vector>

#include "core/thread_pool.hpp"
#include "image/resample_kernels.hpp"
#include "image/tf_bilinear.hpp"
#include "image/transform.hpp"

using namespace veclip;

namespace {

std::mt19937 engine(1);

int below(int n) { return static_cast<int>(engine() % static_cast<unsigned>(n)); }

// Sides of very different magnitude, so that windows end at, before and behind the row's end.
ImageView random_view(std::vector<std::uint8_t>& pixels) {
  const int sides[] = {8, 60, 300, 2000};
  const int longest = sides[below(4)];
  int width = 1 + below(longest);
  int height = 1 + below(longest > 300 ? 40 : longest);
  if (below(2) == 0) std::swap(width, height);
  pixels = std::vector<std::uint8_t>(static_cast<std::size_t>(width) * static_cast<std::size_t>(height) * kChannels);
  for (std::uint8_t& value : pixels) value = static_cast<std::uint8_t>(engine());
  return {pixels.data(), width, height, static_cast<std::size_t>(width) * kChannels};
}

Box random_box(const ImageView& view) {
  const int width = 1 + below(view.width);
  const int height = 1 + below(view.height);
  return {below(view.width - width + 1), below(view.height - height + 1), width, height};
}

// Where TensorFlow would make the shorter side shorter than asked for.
bool is_too_long(const ImageView& view, int size) {
  return std::max(view.width, view.height) * size > 100'000 * std::min(view.width, view.height);
}

bool transforms_work() {
  const PixelTables tables({{0.48, 0.45, 0.40}, {0.26, 0.26, 0.27}});
  for (int i = 0; i < 400; ++i) {
    std::vector<std::uint8_t> pixels;
    const ImageView view = random_view(pixels);
    TransformSpec spec{1 + below(70), static_cast<PixelType>(below(4)), static_cast<PassOrder>(below(2)), &tables};
    spec.fit = static_cast<Fit>(below(3));
    spec.shorter = spec.size + below(9);
    spec.layout = static_cast<Layout>(below(2));
    spec.filter = static_cast<Filter>(below(2));
    const auto slot = std::make_unique<std::uint8_t[]>(spec.slot_bytes());
    ResizeScratch scratch;
    if (crop_and_resize(view, random_box(view), spec, scratch, slot.get()) != Status::kOk) return false;
    if (resize_and_fit(view, spec, scratch, slot.get()) != Status::kOk) return false;
    const bool possible = spec.type != PixelType::kUint8 && !is_too_long(view, spec.size);
    if ((sample_and_fit(view, spec, slot.get()) == Status::kOk) != possible) return false;
  }
  return true;
}

bool pool_works() {
  ThreadPool pool(4);
  for (int round = 0; round < 300; ++round) {
    std::vector<int> seen(100);
    const Status status = pool.for_each(seen.size(), [&](std::size_t i, std::size_t worker) {
      if (worker < pool.threads()) ++seen[i];
    });
    if (status != Status::kOk || seen != std::vector<int>(100, 1)) return false;
  }
  const auto fail_once = [](std::size_t i, std::size_t) {
    if (i == 3) throw std::bad_alloc();
  };
  return pool.for_each(5, fail_once) == Status::kOutOfMemory;
}

}  // namespace

int main() {
  for (const std::string_view name : usable_kernels()) {
    if (!choose_kernels(name) || !transforms_work()) return 1;
  }
  return pool_works() ? 0 : 1;
}
