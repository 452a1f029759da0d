#include "mds/shard.hpp"

#include "mds/little_endian.hpp"

namespace veclip::mds {

namespace {

constexpr std::size_t kWord = sizeof(std::uint32_t);

}  // namespace

Shard::Shard(std::string path, Columns columns, std::unique_ptr<MappedFile> map)
    : path_(std::move(path)), columns_(std::move(columns)), map_(std::move(map)) {}

Outcome Shard::open(const std::string& path, Columns columns, std::optional<std::uint64_t> expected_bytes,
                    std::shared_ptr<const Shard>& out) {
  if (columns.names.empty() || columns.names.size() != columns.sizes.size()) {
    return {Status::kBadArgument, path + ": expected at least one column and one size for each"};
  }
  std::unique_ptr<MappedFile> map;
  if (Outcome opened = MappedFile::open(path, map); !opened.ok()) return opened;
  std::shared_ptr<Shard> shard(new Shard(path, std::move(columns), std::move(map)));
  const std::size_t size = shard->file().size();
  if (expected_bytes && *expected_bytes != size) {
    return shard->bad(std::to_string(size) + " bytes, the index says " + std::to_string(*expected_bytes));
  }
  if (Outcome checked = shard->check_offsets(); !checked.ok()) return checked;
  out = std::move(shard);
  return {};
}

std::uint32_t Shard::offset(std::uint32_t i) const noexcept {
  return load_u32(file().data() + kWord * (std::size_t{i} + 1));
}

Outcome Shard::check_offsets() {
  const std::size_t size = file().size();
  if (size < 2 * kWord) return bad("shorter than the smallest header");
  const std::uint32_t samples = load_u32(file().data());
  const std::uint64_t header = kWord * (std::uint64_t{samples} + 2);
  if (header > size) return bad("announces " + std::to_string(samples) + " samples, more than fit in it");
  std::uint64_t last = header;
  for (std::uint32_t i = 0; i <= samples; ++i) {
    const std::uint64_t next = load_u32(file().data() + kWord * (std::size_t{i} + 1));
    if (next < last) return bad("offset " + std::to_string(i) + " points backwards");
    last = next;
    if (i == samples) break;  // samples may be 2^32 - 1
  }
  if (last != size) return bad("the last offset is " + std::to_string(last) + ", the size " + std::to_string(size));
  samples_ = samples;
  return {};
}

Bytes Shard::config() const noexcept {
  const std::size_t begin = kWord * (std::size_t{samples_} + 2);
  const std::size_t end = offset(0);
  // Checked again: the file may have been changed since it was opened.
  if (end < begin || end > file().size()) return {};
  return file().subspan(begin, end - begin);
}

Outcome Shard::values(std::uint32_t i, Bytes* out) const {
  if (i >= samples_) {
    return {Status::kOutOfRange, path_ + ": sample " + std::to_string(i) + " of " + std::to_string(samples_)};
  }
  const std::size_t begin = offset(i);
  const std::size_t end = offset(i + 1);
  // Checked again: the file may have been changed since it was opened.
  if (begin > end || end > file().size()) return bad("the offsets of sample " + std::to_string(i) + " changed");
  const Bytes sample = file().subspan(begin, end - begin);
  const std::size_t count = columns_.sizes.size();
  std::size_t head = 0;
  for (const std::uint32_t size : columns_.sizes) head += size == kVariableSize ? kWord : 0;
  if (head > sample.size()) return bad("sample " + std::to_string(i) + " is shorter than its lengths");
  std::size_t at = head;
  const std::uint8_t* lengths = sample.data();
  for (std::size_t c = 0; c < count; ++c) {
    std::size_t length = columns_.sizes[c];
    if (length == kVariableSize) {
      length = load_u32(lengths);
      lengths += kWord;
    }
    if (length > sample.size() - at) {
      return bad("column " + columns_.names[c] + " of sample " + std::to_string(i) + " reaches beyond it");
    }
    out[c] = sample.subspan(at, length);
    at += length;
  }
  if (at != sample.size()) return bad("sample " + std::to_string(i) + " is longer than its columns");
  return {};
}

Outcome Shard::check() const {
  std::vector<Bytes> out(columns_.names.size());
  for (std::uint32_t i = 0; i < samples_; ++i) {
    if (Outcome checked = values(i, out.data()); !checked.ok()) return checked;
  }
  return {};
}

}  // namespace veclip::mds
