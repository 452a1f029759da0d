// Many byte strings that someone else owns: what batch calls take as input.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>
#include <vector>

namespace veclip {

using Bytes = std::span<const std::uint8_t>;

struct ByteSpans {
  std::vector<Bytes> items;
  std::shared_ptr<const void> owner;  // keeps the memory behind items alive (memory maps, Python buffers)

  std::size_t size() const noexcept { return items.size(); }
  Bytes operator[](std::size_t i) const noexcept { return items[i]; }
};

}  // namespace veclip
