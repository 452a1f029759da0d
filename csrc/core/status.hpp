// Errors are values inside the core: one enum, one sentence each. bindings/ translates them once.
#pragma once

#include <cstdint>
#include <string_view>

namespace veclip {

// Stored in reject tables and passed to Python by number: append, never renumber.
enum class Status : std::uint8_t {
  kOk = 0,
  kEmpty = 1,
  kUnsupportedFormat = 2,
  kUnsupportedVariant = 3,
  kTruncated = 4,
  kCorrupt = 5,
  kFileTooLarge = 6,
  kTooManyPixels = 7,
  kSideTooLarge = 8,
  kOutOfMemory = 9,
  kBadArgument = 10,
  kIoError = 11,
  kBadShard = 12,
  kOutOfRange = 13,
};

struct StatusEntry {
  Status status;
  std::string_view name;      // snake_case, stands in reject tables
  std::string_view sentence;  // for people
};

inline constexpr StatusEntry kStatusTable[] = {
    {Status::kOk, "ok", "Success."},
    {Status::kEmpty, "empty", "The file holds no bytes."},
    {Status::kUnsupportedFormat, "unsupported_format", "The magic bytes are not those of JPEG, PNG or WebP."},
    {Status::kUnsupportedVariant, "unsupported_variant",
     "The file is of a known format but uses a feature that is not decoded."},
    {Status::kTruncated, "truncated", "The data end before the image does."},
    {Status::kCorrupt, "corrupt", "The data break the rules of their format."},
    {Status::kFileTooLarge, "file_too_large", "The file has more bytes than the limit allows."},
    {Status::kTooManyPixels, "too_many_pixels", "The header announces more pixels than the limit allows."},
    {Status::kSideTooLarge, "side_too_large", "The header announces a longer side than the limit allows."},
    {Status::kOutOfMemory, "out_of_memory", "Memory for the decoded image could not be had."},
    {Status::kBadArgument, "bad_argument", "An argument is outside what the function accepts."},
    {Status::kIoError, "io_error", "The operating system refused to read or write."},
    {Status::kBadShard, "bad_shard", "The shard's header, offsets or sizes contradict each other."},
    {Status::kOutOfRange, "out_of_range", "An index lies outside the shard."},
};

constexpr const StatusEntry& describe(Status status) noexcept {
  for (const StatusEntry& entry : kStatusTable) {
    if (entry.status == status) return entry;
  }
  return kStatusTable[0];
}

}  // namespace veclip
