#include "mds/shard.hpp"

#include <algorithm>

#include "mds/little_endian.hpp"
#include "mds/mapped_file.hpp"

namespace veclip::mds {

namespace {

constexpr std::size_t kWord = sizeof(std::uint32_t);
constexpr std::size_t kSmallestHeader = 2 * kWord;  // no samples, one offset

}  // namespace

Shard::Shard(std::string path, Columns columns, Bytes file, std::shared_ptr<const void> memory)
    : path_(std::move(path)), columns_(std::move(columns)), file_(file), memory_(std::move(memory)) {}

Outcome Shard::open(const std::string& path, Columns columns, std::optional<std::uint64_t> expected_bytes,
                    std::shared_ptr<const Shard>& out) {
  std::unique_ptr<MappedFile> map;
  if (Outcome opened = MappedFile::open(path, map); !opened.ok()) return opened;
  const Bytes file = map->bytes();
  std::shared_ptr<Shard> shard(new Shard(path, std::move(columns), file, std::move(map)));
  if (expected_bytes && *expected_bytes != file.size()) {
    return shard->bad(std::to_string(file.size()) + " bytes, the index says " + std::to_string(*expected_bytes));
  }
  if (Outcome checked = shard->check_header(); !checked.ok()) return checked;
  out = std::move(shard);
  return {};
}

Outcome Shard::from_bytes(std::vector<std::uint8_t> bytes, const std::string& name, Columns columns,
                          std::shared_ptr<const Shard>& out) {
  const auto memory = std::make_shared<const std::vector<std::uint8_t>>(std::move(bytes));
  std::shared_ptr<Shard> shard(new Shard(name, std::move(columns), Bytes(*memory), memory));
  if (Outcome checked = shard->check_header(); !checked.ok()) return checked;
  out = std::move(shard);
  return {};
}

std::uint32_t Shard::offset(std::uint32_t i) const noexcept {
  return load_u32(file().data() + kWord * (std::size_t{i} + 1));
}

Outcome Shard::check_header() {
  if (columns_.names.empty() || columns_.names.size() != columns_.sizes.size()) {
    return {Status::kBadArgument, path_ + ": expected at least one column and one size for each"};
  }
  const std::size_t size = file().size();
  if (size < kSmallestHeader) return bad("shorter than the smallest header");
  const std::uint32_t samples = load_u32(file().data());
  const std::uint64_t header = kWord * (std::uint64_t{samples} + 2);
  if (header > size) return bad("announces " + std::to_string(samples) + " samples, more than fit in it");
  std::uint64_t last = header;
  for (std::uint64_t i = 0; i <= samples; ++i) {
    const std::uint64_t next = load_u32(file().data() + kWord * (i + 1));
    if (next < last) return bad("offset " + std::to_string(i) + " points backwards");
    last = next;
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

Outcome Shard::sample(std::uint32_t i, Bytes& out) const {
  if (i >= samples_) {
    return {Status::kOutOfRange, path_ + ": sample " + std::to_string(i) + " of " + std::to_string(samples_)};
  }
  const std::size_t begin = offset(i);
  const std::size_t end = offset(i + 1);
  // Checked again: the file may have been changed since it was opened.
  if (begin > end || end > file().size()) return bad("the offsets of sample " + std::to_string(i) + " changed");
  out = file().subspan(begin, end - begin);
  return {};
}

Outcome Shard::values(std::uint32_t i, Bytes* out) const {
  Bytes whole;
  if (Outcome found = sample(i, whole); !found.ok()) return found;
  const auto variable = std::count(columns_.sizes.begin(), columns_.sizes.end(), kVariableSize);
  std::size_t at = kWord * static_cast<std::size_t>(variable);
  if (at > whole.size()) return bad("sample " + std::to_string(i) + " is shorter than its lengths");
  const std::uint8_t* lengths = whole.data();
  for (std::size_t c = 0; c < columns_.sizes.size(); ++c) {
    std::size_t length = columns_.sizes[c];
    if (length == kVariableSize) {
      length = load_u32(lengths);
      lengths += kWord;
    }
    if (length > whole.size() - at) {
      return bad("column " + columns_.names[c] + " of sample " + std::to_string(i) + " reaches beyond it");
    }
    out[c] = whole.subspan(at, length);
    at += length;
  }
  if (at != whole.size()) return bad("sample " + std::to_string(i) + " is longer than its columns");
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
