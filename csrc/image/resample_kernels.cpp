#include "image/resample_kernels.hpp"

#include <atomic>
#include <mutex>
#include <unordered_map>

namespace veclip {

namespace {

// Best first; the scalar kernels, which every processor runs, last.
std::vector<const Kernels*> all_kernels() {
#if defined(__x86_64__)
  return {&avx512_kernels(), &avx2_kernels(), &scalar_kernels()};
#else
  return {&scalar_kernels()};
#endif
}

const Kernels* find_kernels(std::string_view name) noexcept {
  for (const Kernels* kernels : all_kernels()) {
    if (kernels->supported() && (name == "auto" || name == kernels->name)) return kernels;
  }
  return nullptr;
}

std::atomic<const Kernels*>& chosen() noexcept {
  static std::atomic<const Kernels*> kernels{find_kernels("auto")};
  return kernels;
}

struct Key {
  const Kernels* kernels;
  Direction direction;
  Axis axis;
  bool operator==(const Key&) const = default;
};

struct KeyHash {
  std::size_t operator()(const Key& key) const noexcept {
    std::size_t hash = std::hash<const void*>{}(key.kernels) + static_cast<std::size_t>(key.direction);
    const Axis& axis = key.axis;
    for (const int part :
         {axis.in, axis.out, axis.first, axis.count, axis.pixels, axis.lead, static_cast<int>(axis.filter)}) {
      hash = hash * 1'000'003 + static_cast<std::size_t>(part);
    }
    return hash;
  }
};

struct Cache {
  std::mutex mutex;
  std::unordered_map<Key, std::shared_ptr<const Pass>, KeyHash> passes;
  std::size_t bytes = 0;
};

// Random crops of common image sizes need a few hundred tables of about 30 KB.
// Beyond the limit all are dropped, which is simpler than choosing and costs a
// few microseconds each.
constexpr std::size_t kCacheBytes = std::size_t{32} << 20;

// Leaked: threads may still resize while the process ends.
Cache& cache() {
  static Cache* const instance = new Cache;
  return *instance;
}

std::size_t size_of(const Pass& pass) noexcept {
  return pass.packed.size() + (pass.table.weights.size() + pass.table.start.size()) * sizeof(std::int32_t);
}

auto packer(const Key& key) noexcept {
  if (key.direction == Direction::kHorizontal) return key.kernels->pack_horizontal;
  return key.direction == Direction::kVertical ? key.kernels->pack_vertical : key.kernels->pack_across_planes;
}

std::shared_ptr<const Pass> make_pass(const Key& key) {
  auto pass = std::make_shared<Pass>();
  pass->table = make_table(key.axis);
  packer(key)(*pass);
  return pass;
}

}  // namespace

const Kernels& current_kernels() noexcept { return *chosen().load(std::memory_order_relaxed); }

const JpegKernels& current_jpeg_kernels() noexcept { return current_kernels().jpeg(); }

bool choose_kernels(std::string_view name) noexcept {
  const Kernels* const kernels = find_kernels(name);
  if (kernels != nullptr) chosen().store(kernels, std::memory_order_relaxed);
  return kernels != nullptr;
}

std::vector<std::string_view> usable_kernels() {
  std::vector<std::string_view> names;
  for (const Kernels* kernels : all_kernels()) {
    if (kernels->supported()) names.push_back(kernels->name);
  }
  return names;
}

// try_lock: a thread that would have to wait is better off computing, and a
// child forked while the lock was held must not hang.
std::shared_ptr<const Pass> get_pass(const Kernels& kernels, Direction direction, const Axis& axis) {
  const Key key{&kernels, direction, axis};
  Cache& known = cache();
  if (std::unique_lock lock(known.mutex, std::try_to_lock); lock) {
    const auto found = known.passes.find(key);
    if (found != known.passes.end()) return found->second;
  }
  std::shared_ptr<const Pass> pass = make_pass(key);
  const std::size_t bytes = size_of(*pass);
  if (std::unique_lock lock(known.mutex, std::try_to_lock); lock && bytes < kCacheBytes / 8) {
    if (known.bytes + bytes > kCacheBytes) {
      known.passes.clear();
      known.bytes = 0;
    }
    if (known.passes.emplace(key, pass).second) known.bytes += bytes;
  }
  return pass;
}

}  // namespace veclip
