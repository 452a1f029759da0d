// Values of many samples from many shards, column by column, without copying any.
#pragma once

#include <cstdint>
#include <memory>
#include <span>
#include <vector>

#include "mds/shard.hpp"

namespace veclip::mds {

using ShardList = std::vector<std::shared_ptr<const Shard>>;

struct SampleBatch {
  std::vector<std::string> names;
  std::vector<ByteSpans> columns;  // [columns], each of [samples] items; all share the shards as owner
  std::size_t samples = 0;
};

// Sample s is sample index[s] of shards[which[s]]. All shards must have the same columns.
Outcome gather(const ShardList& shards, std::span<const std::int32_t> which, std::span<const std::int32_t> index,
               SampleBatch& out);

}  // namespace veclip::mds
