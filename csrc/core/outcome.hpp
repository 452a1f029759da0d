// A Status together with the words that belong to it, for calls that fail as a whole (files, shards).
#pragma once

#include <cstring>
#include <string>
#include <utility>

#include "core/status.hpp"

namespace veclip {

struct [[nodiscard]] Outcome {
  Status status = Status::kOk;
  std::string detail = {};  // what was given, and the system's own words where it refused

  bool ok() const noexcept { return status == Status::kOk; }
};

// "open /data/shard.00000.mds: No such file or directory"
inline Outcome io_error(const char* what, const std::string& path, int error) {
  return {Status::kIoError, std::string(what) + " " + path + ": " + std::strerror(error)};
}

}  // namespace veclip
