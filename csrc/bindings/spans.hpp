// Python objects -> ByteSpans. Conversion needs the GIL; the result may be used without it.
#pragma once

#include <pybind11/pybind11.h>

#include "core/byte_spans.hpp"

namespace veclip::bindings {

// Accepts a ColumnView (shares its memory) or a sequence of C-contiguous byte buffers
// (bytes, memoryview, uint8 arrays), whose buffers are held until the result dies.
// Destroy the result with the GIL held.
ByteSpans to_spans(const pybind11::object& images);

}  // namespace veclip::bindings
