// Samples -> the bytes of MDS v2 shards, equal to those of MosaicML's MDSWriter (layout in shard.hpp).
#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <vector>

#include "core/byte_spans.hpp"
#include "core/outcome.hpp"
#include "mds/shard.hpp"

namespace veclip::mds {

class ShardPacker {
 public:
  // `config` is the JSON header; `size_limit` in bytes of a shard file, 0 = one shard takes everything.
  ShardPacker(Columns columns, std::string config, std::uint64_t size_limit);

  // Appends samples first, first + 1, ... of `values` ([columns] of equally many items) until all are in or the
  // next would pass the size limit; `appended` says how many went in. When it is fewer than were given: take the
  // shard (parts), reset() and go on. Values of a wrong size are found before anything is appended.
  Outcome append(std::span<const ByteSpans> values, std::size_t first, std::size_t& appended);

  // The shard so far: (header, samples). Valid until the next append or reset.
  void parts(Bytes& header, Bytes& samples);
  void reset();  // starts the next shard, keeping the memory

  std::uint32_t samples() const noexcept { return static_cast<std::uint32_t>(ends_.size()); }
  std::uint64_t bytes() const noexcept;  // of the shard file so far
  const Columns& columns() const noexcept { return columns_; }

 private:
  Outcome sample_size(std::span<const ByteSpans> values, std::size_t i, std::uint64_t& size) const;
  void put_sample(std::span<const ByteSpans> values, std::size_t i);

  Columns columns_;
  std::string config_;
  std::uint64_t size_limit_;
  std::uint64_t head_bytes_ = 0;  // length words at the front of a sample
  bool take_any_ = false;         // after reset() one sample goes in however large it is, as in MDSWriter
  std::vector<std::uint8_t> body_;
  std::vector<std::uint64_t> ends_;  // end of each sample in body_
  std::vector<std::uint8_t> header_;
};

}  // namespace veclip::mds
