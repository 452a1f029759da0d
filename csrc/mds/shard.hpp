// One MDS v2 shard, memory-mapped. Layout (little-endian):
//   u32 samples | u32 offsets[samples + 1] | JSON config | sample 0 | sample 1 | ...
//   sample = u32 length per variable-size column | value of every column
// Nothing read from the file is trusted: every offset and length is checked against the map before use.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "core/byte_spans.hpp"
#include "core/outcome.hpp"

namespace veclip::mds {

inline constexpr std::uint32_t kVariableSize = 0;  // no MDS encoding has a fixed size of zero

struct Columns {
  std::vector<std::string> names;
  std::vector<std::uint32_t> sizes;  // bytes of every value, or kVariableSize

  bool operator==(const Columns&) const = default;
};

class Shard {
 public:
  // `expected_bytes` is what the index says; another size on disk is kBadShard.
  static Outcome open(const std::string& path, Columns columns, std::optional<std::uint64_t> expected_bytes,
                      std::shared_ptr<const Shard>& out);
  // A shard that is in memory already (decompressed); `name` stands in messages.
  static Outcome from_bytes(std::vector<std::uint8_t> bytes, const std::string& name, Columns columns,
                            std::shared_ptr<const Shard>& out);

  const Columns& columns() const noexcept { return columns_; }
  const std::string& path() const noexcept { return path_; }
  std::uint32_t samples() const noexcept { return samples_; }
  Bytes file() const noexcept { return file_; }
  Bytes config() const noexcept;  // the JSON between the offsets and the first sample

  // Values of sample i, one per column: `out` has room for columns().names.size() items.
  Outcome values(std::uint32_t i, Bytes* out) const;
  // Walks every sample; kOk means that every value of the shard lies inside it.
  Outcome check() const;

 private:
  Shard(std::string path, Columns columns, Bytes file, std::shared_ptr<const void> memory);
  Outcome check_header();
  Outcome sample(std::uint32_t i, Bytes& out) const;
  Outcome bad(const std::string& why) const { return {Status::kBadShard, path_ + ": " + why}; }
  std::uint32_t offset(std::uint32_t i) const noexcept;

  std::string path_;
  Columns columns_;
  Bytes file_;
  std::shared_ptr<const void> memory_;  // what file_ points into
  std::uint32_t samples_ = 0;
};

}  // namespace veclip::mds
