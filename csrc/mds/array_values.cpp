#include "mds/array_values.hpp"

#include <cstdint>
#include <cstring>

#include "mds/little_endian.hpp"

namespace veclip::mds {

namespace {

constexpr std::uint8_t kOneDimension = 1;

// False when `value` is no one-dimensional array of whole elements.
bool elements_of(Bytes value, std::size_t element_bytes, Bytes& out) noexcept {
  if (value.empty() || value[0] >> 2 != kOneDimension) return false;
  const std::size_t shape_bytes = std::size_t{1} << (value[0] & 3);
  if (value.size() < 1 + shape_bytes) return false;
  std::uint64_t count = 0;
  std::memcpy(&count, value.data() + 1, shape_bytes);
  const Bytes elements = value.subspan(1 + shape_bytes);
  if (elements.size() % element_bytes != 0 || elements.size() / element_bytes != count) return false;
  out = elements;
  return true;
}

}  // namespace

Outcome array_elements(const ByteSpans& column, std::size_t element_bytes, std::vector<Bytes>& out) {
  if (element_bytes == 0) return {Status::kBadArgument, "elements of 0 bytes"};
  out.resize(column.size());
  for (std::size_t i = 0; i < column.size(); ++i) {
    if (!elements_of(column[i], element_bytes, out[i])) {
      return {Status::kBadShard, "item " + std::to_string(i) + ": no one-dimensional array of " +
                                     std::to_string(element_bytes) + "-byte elements"};
    }
  }
  return {};
}

}  // namespace veclip::mds
