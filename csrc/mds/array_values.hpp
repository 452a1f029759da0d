// Values of `ndarray:DTYPE` columns: [(ndim << 2) | s] [shape: ndim integers of 1 << s bytes] [elements].
#pragma once

#include <cstddef>
#include <vector>

#include "core/byte_spans.hpp"
#include "core/outcome.hpp"

namespace veclip::mds {

// The elements of each value of a column of one-dimensional arrays, as views of the column's memory.
// kBadShard when a value is none, or its shape is not the number of its elements.
Outcome array_elements(const ByteSpans& column, std::size_t element_bytes, std::vector<Bytes>& out);

}  // namespace veclip::mds
