// A whole file as read-only memory.
#pragma once

#include <memory>
#include <string>

#include "core/byte_spans.hpp"
#include "core/outcome.hpp"

namespace veclip::mds {

class MappedFile {
 public:
  // Refuses what is not a regular file. An empty file maps to an empty span.
  static Outcome open(const std::string& path, std::unique_ptr<MappedFile>& out);

  MappedFile(const MappedFile&) = delete;
  MappedFile& operator=(const MappedFile&) = delete;
  ~MappedFile();

  Bytes bytes() const noexcept { return bytes_; }

 private:
  explicit MappedFile(Bytes bytes) noexcept : bytes_(bytes) {}
  Bytes bytes_;
};

}  // namespace veclip::mds
