// The one place where a Status becomes a Python exception.
#pragma once

#include <string>

#include "core/status.hpp"

namespace veclip::bindings {

// Raises engine.native.NativeError with .status (Status) and .name; does nothing for kOk.
// `detail` says what was given, e.g. a path; it may be empty. Call with the GIL held.
void raise_unless_ok(Status status, const std::string& detail = "");

}  // namespace veclip::bindings
