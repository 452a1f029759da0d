// The xxHash family, seed 0, as MDS indexes name and write it (canonical big-endian hex).
#pragma once

#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <string_view>

#include "core/byte_spans.hpp"
#include "core/outcome.hpp"

namespace veclip::mds {

enum class HashAlgorithm { kXxh32, kXxh64, kXxh3_64, kXxh3_128 };

std::optional<HashAlgorithm> hash_algorithm(std::string_view name);  // "xxh128" is another name of "xxh3_128"

std::uint64_t xxh3_64(Bytes data) noexcept;

// Hash of all parts as if they were one string.
Outcome hash_parts(std::span<const Bytes> parts, HashAlgorithm algorithm, std::string& hex);

// Reads the file in pieces: a file that shrinks meanwhile gives another hash, never a crash.
Outcome hash_file(const std::string& path, HashAlgorithm algorithm, std::string& hex);

// sample_hash: xxh3_64 over the values of every column in order, each preceded by its length as u32.
// All columns have out.size() items.
Outcome sample_hashes(std::span<const ByteSpans> columns, std::span<std::uint64_t> out);

}  // namespace veclip::mds
