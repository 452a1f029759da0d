#include "mds/pack.hpp"

#include <algorithm>
#include <cstring>
#include <limits>

#include "mds/little_endian.hpp"

namespace veclip::mds {

namespace {

constexpr std::uint64_t kWord = sizeof(std::uint32_t);
constexpr std::uint64_t kMaxBytes = std::numeric_limits<std::uint32_t>::max();  // offsets are u32
constexpr std::uint64_t kMaxReserve = std::uint64_t{1} << 28;

}  // namespace

ShardPacker::ShardPacker(Columns columns, std::string config, std::uint64_t size_limit)
    : columns_(std::move(columns)), config_(std::move(config)), size_limit_(size_limit) {
  for (const std::uint32_t size : columns_.sizes) head_bytes_ += size == kVariableSize ? kWord : 0;
  // Address space only, until it is written; growing step by step would copy a shard twice over.
  body_.reserve(std::min(size_limit_, kMaxReserve));
}

std::uint64_t ShardPacker::bytes() const noexcept { return kWord * (ends_.size() + 2) + config_.size() + body_.size(); }

Outcome ShardPacker::sample_size(std::span<const ByteSpans> values, std::size_t i, std::uint64_t& size) const {
  size = head_bytes_;
  for (std::size_t c = 0; c < values.size(); ++c) {
    const std::uint64_t given = values[c][i].size();
    const std::uint32_t fixed = columns_.sizes[c];
    if (fixed != kVariableSize && given != fixed) {
      return {Status::kBadArgument, "column " + columns_.names[c] + ", item " + std::to_string(i) + ": " +
                                        std::to_string(given) + " bytes, its encoding has " + std::to_string(fixed)};
    }
    size += given;
  }
  if (size > kMaxBytes) return {Status::kFileTooLarge, "item " + std::to_string(i) + ": a sample of 4 GiB or more"};
  return {};
}

void ShardPacker::put_sample(std::span<const ByteSpans> values, std::size_t i) {
  std::uint8_t word[kWord];
  for (std::size_t c = 0; c < values.size(); ++c) {
    if (columns_.sizes[c] != kVariableSize) continue;
    store_u32(word, static_cast<std::uint32_t>(values[c][i].size()));
    body_.insert(body_.end(), word, word + kWord);
  }
  for (const ByteSpans& column : values) body_.insert(body_.end(), column[i].begin(), column[i].end());
  ends_.push_back(body_.size());
}

Outcome ShardPacker::append(std::span<const ByteSpans> values, std::size_t first, std::size_t& appended) {
  appended = 0;
  if (values.size() != columns_.sizes.size()) return {Status::kBadArgument, "one sequence per column is expected"};
  const std::size_t count = values.front().size();
  for (const ByteSpans& column : values) {
    if (column.size() != count) return {Status::kBadArgument, "the columns differ in length"};
  }
  std::uint64_t size = 0;
  for (std::size_t i = first; i < count; ++i) {
    if (Outcome measured = sample_size(values, i, size); !measured.ok()) return measured;
  }
  for (std::size_t i = first; i < count; ++i) {
    if (Outcome measured = sample_size(values, i, size); !measured.ok()) return measured;
    const std::uint64_t grown = bytes() + size + kWord;
    if (size_limit_ != 0 && size_limit_ < grown && !take_any_) return {};
    if (grown > kMaxBytes) return {Status::kFileTooLarge, "the shard would reach 4 GiB; set a size limit"};
    put_sample(values, i);
    take_any_ = false;
    ++appended;
  }
  return {};
}

void ShardPacker::parts(Bytes& header, Bytes& samples) {
  const std::uint64_t start = kWord * (ends_.size() + 2) + config_.size();
  header_.resize(start);
  store_u32(header_.data(), this->samples());
  std::uint8_t* at = header_.data() + kWord;
  store_u32(at, static_cast<std::uint32_t>(start));
  for (const std::uint64_t end : ends_) store_u32(at += kWord, static_cast<std::uint32_t>(start + end));
  std::memcpy(at + kWord, config_.data(), config_.size());
  header = header_;
  samples = body_;
}

void ShardPacker::reset() {
  body_.clear();
  ends_.clear();
  take_any_ = true;
}

}  // namespace veclip::mds
