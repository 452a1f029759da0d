#include "mds/gather.hpp"

namespace veclip::mds {

namespace {

Outcome check_arguments(const ShardList& shards, std::span<const std::int32_t> which,
                        std::span<const std::int32_t> index) {
  if (shards.empty()) return {Status::kBadArgument, "no shards were given"};
  if (which.size() != index.size()) return {Status::kBadArgument, "which and index differ in length"};
  for (const auto& shard : shards) {
    if (shard->columns() != shards.front()->columns()) {
      return {Status::kBadArgument, shard->path() + ": its columns differ from those of " + shards.front()->path()};
    }
  }
  return {};
}

}  // namespace

Outcome gather(const ShardList& shards, std::span<const std::int32_t> which, std::span<const std::int32_t> index,
               SampleBatch& out) {
  if (Outcome checked = check_arguments(shards, which, index); !checked.ok()) return checked;
  const std::vector<std::string>& names = shards.front()->columns().names;
  const auto owner = std::make_shared<const ShardList>(shards);
  SampleBatch batch{names, std::vector<ByteSpans>(names.size()), which.size()};
  for (ByteSpans& column : batch.columns) {
    column.items.resize(which.size());
    column.owner = owner;
  }
  std::vector<Bytes> values(names.size());
  for (std::size_t s = 0; s < which.size(); ++s) {
    const auto shard = static_cast<std::size_t>(which[s]);
    if (which[s] < 0 || shard >= shards.size() || index[s] < 0) {
      return {Status::kOutOfRange, "item " + std::to_string(s) + ": shard " + std::to_string(which[s]) + " of " +
                                       std::to_string(shards.size()) + ", sample " + std::to_string(index[s])};
    }
    Outcome read = shards[shard]->values(static_cast<std::uint32_t>(index[s]), values.data());
    if (!read.ok()) return read;
    for (std::size_t c = 0; c < values.size(); ++c) batch.columns[c].items[s] = values[c];
  }
  out = std::move(batch);
  return {};
}

}  // namespace veclip::mds
