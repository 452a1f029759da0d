// Finished 8-bit rows into a slot of the caller's array, in the type and layout that it has.
#pragma once

#include <functional>

#include "image/transform.hpp"

namespace veclip {

// Calls use(sink) with a RowSink that writes into the slot what `spec` asks for. Throws only what `use` throws if it
// is a std::ref.
Status with_slot_sink(const TransformSpec& spec, void* slot, const std::function<Status(RowSink&)>& use);

}  // namespace veclip
