// Column layouts as Python gives them: None (or 0, as old indexes have it) stands for a variable size.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "bindings/errors.hpp"
#include "mds/shard.hpp"

namespace veclip::bindings {

using Sizes = std::vector<std::optional<std::uint32_t>>;

inline mds::Columns to_columns(const std::vector<std::string>& names, const Sizes& sizes) {
  if (names.empty() || names.size() != sizes.size()) {
    raise_unless_ok(Status::kBadArgument, "expected at least one column name and one size for each");
  }
  mds::Columns columns{names, {}};
  for (const auto& size : sizes) columns.sizes.push_back(size.value_or(mds::kVariableSize));
  return columns;
}

}  // namespace veclip::bindings
