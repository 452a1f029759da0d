#include "mds/hash.hpp"

#include <fcntl.h>

#include <cerrno>
#include <limits>
#include <memory>
#include <type_traits>
#include <vector>

#include "mds/file_handle.hpp"
#include "mds/little_endian.hpp"

#define XXH_INLINE_ALL  // header only: nothing to link, nothing exported
#include <xxhash.h>

namespace veclip::mds {

namespace {

constexpr std::size_t kReadBytes = std::size_t{1} << 20;

std::string to_hex(const unsigned char* digest, std::size_t size) {
  constexpr char digits[] = "0123456789abcdef";
  std::string out;
  for (std::size_t i = 0; i < size; ++i) {
    out += digits[digest[i] >> 4];
    out += digits[digest[i] & 15];
  }
  return out;
}

// Frees whichever xxHash state it is told to.
template <auto Free>
struct Freed {
  template <typename T>
  void operator()(T* state) const noexcept {
    Free(state);
  }
};

class Hasher {
 public:
  explicit Hasher(HashAlgorithm algorithm)
      : algorithm_(algorithm),
        state32_(XXH32_createState()),
        state64_(XXH64_createState()),
        state3_(XXH3_createState()) {
    if (!ready()) return;
    XXH32_reset(state32_.get(), 0);
    XXH64_reset(state64_.get(), 0);
    if (algorithm == HashAlgorithm::kXxh3_128) {
      XXH3_128bits_reset(state3_.get());
    } else {
      XXH3_64bits_reset(state3_.get());
    }
  }

  bool ready() const noexcept { return state32_ && state64_ && state3_; }

  void update(Bytes data) noexcept {
    if (data.empty()) return;
    switch (algorithm_) {
      case HashAlgorithm::kXxh32:
        XXH32_update(state32_.get(), data.data(), data.size());
        break;
      case HashAlgorithm::kXxh64:
        XXH64_update(state64_.get(), data.data(), data.size());
        break;
      case HashAlgorithm::kXxh3_64:
        XXH3_64bits_update(state3_.get(), data.data(), data.size());
        break;
      case HashAlgorithm::kXxh3_128:
        XXH3_128bits_update(state3_.get(), data.data(), data.size());
        break;
    }
  }

  std::string hex() const {
    switch (algorithm_) {
      case HashAlgorithm::kXxh32: {
        XXH32_canonical_t canonical;
        XXH32_canonicalFromHash(&canonical, XXH32_digest(state32_.get()));
        return to_hex(canonical.digest, sizeof canonical.digest);
      }
      case HashAlgorithm::kXxh3_128: {
        XXH128_canonical_t canonical;
        XXH128_canonicalFromHash(&canonical, XXH3_128bits_digest(state3_.get()));
        return to_hex(canonical.digest, sizeof canonical.digest);
      }
      default: {
        const bool classic = algorithm_ == HashAlgorithm::kXxh64;
        XXH64_canonical_t canonical;
        XXH64_canonicalFromHash(&canonical, classic ? XXH64_digest(state64_.get()) : XXH3_64bits_digest(state3_.get()));
        return to_hex(canonical.digest, sizeof canonical.digest);
      }
    }
  }

 private:
  HashAlgorithm algorithm_;
  std::unique_ptr<XXH32_state_t, Freed<XXH32_freeState>> state32_;
  std::unique_ptr<XXH64_state_t, Freed<XXH64_freeState>> state64_;
  std::unique_ptr<XXH3_state_t, Freed<XXH3_freeState>> state3_;
};

}  // namespace

std::optional<HashAlgorithm> hash_algorithm(std::string_view name) {
  if (name == "xxh32") return HashAlgorithm::kXxh32;
  if (name == "xxh64") return HashAlgorithm::kXxh64;
  if (name == "xxh3_64") return HashAlgorithm::kXxh3_64;
  if (name == "xxh3_128" || name == "xxh128") return HashAlgorithm::kXxh3_128;
  return std::nullopt;
}

std::uint64_t xxh3_64(Bytes data) noexcept { return XXH3_64bits(data.data(), data.size()); }

Outcome hash_parts(std::span<const Bytes> parts, HashAlgorithm algorithm, std::string& hex) {
  Hasher hasher(algorithm);
  if (!hasher.ready()) return {Status::kOutOfMemory, "hash state"};
  for (const Bytes part : parts) hasher.update(part);
  hex = hasher.hex();
  return {};
}

Outcome hash_file(const std::string& path, HashAlgorithm algorithm, std::string& hex) {
  const FileHandle file(::open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK));
  if (!file.valid()) return io_error("open", path, errno);
  Hasher hasher(algorithm);
  if (!hasher.ready()) return {Status::kOutOfMemory, "hash state"};
  std::vector<std::uint8_t> buffer(kReadBytes);
  while (true) {
    const ssize_t got = ::read(file.get(), buffer.data(), buffer.size());
    if (got < 0 && errno == EINTR) continue;
    if (got < 0) return io_error("read", path, errno);
    if (got == 0) break;
    hasher.update(Bytes(buffer.data(), static_cast<std::size_t>(got)));
  }
  hex = hasher.hex();
  return {};
}

Outcome sample_hashes(std::span<const ByteSpans> columns, std::span<std::uint64_t> out) {
  const std::unique_ptr<XXH3_state_t, Freed<XXH3_freeState>> state(XXH3_createState());
  if (!state) return {Status::kOutOfMemory, "hash state"};
  for (std::size_t i = 0; i < out.size(); ++i) {
    XXH3_64bits_reset(state.get());
    for (const ByteSpans& column : columns) {
      const Bytes value = column[i];
      if (value.size() > std::numeric_limits<std::uint32_t>::max()) {
        return {Status::kBadArgument, "item " + std::to_string(i) + ": a value of 4 GiB or more"};
      }
      std::uint8_t length[4];
      store_u32(length, static_cast<std::uint32_t>(value.size()));
      XXH3_64bits_update(state.get(), length, sizeof length);
      if (!value.empty()) XXH3_64bits_update(state.get(), value.data(), value.size());
    }
    out[i] = XXH3_64bits_digest(state.get());
  }
  return {};
}

}  // namespace veclip::mds
