// Files that appear whole or not at all.
#pragma once

#include <span>
#include <string>

#include "core/byte_spans.hpp"
#include "core/outcome.hpp"

namespace veclip::mds {

// Writes the parts one after another to PATH.<pid>-<n>.tmp, syncs it, renames it to PATH (replacing what was
// there) and syncs the folder. On any failure the temporary file is removed and PATH is as it was.
Outcome commit_file(const std::string& path, std::span<const Bytes> parts);

}  // namespace veclip::mds
