// "pillow11" and "pillow13" -> PassOrder.
#pragma once

#include <string>

#include "image/resample.hpp"

namespace veclip::bindings {

// Raises ValueError for any other name. Call with the GIL held.
PassOrder parse_pass_order(const std::string& name);

}  // namespace veclip::bindings
