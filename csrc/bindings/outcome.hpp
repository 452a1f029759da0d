// Runs core work without the GIL and turns its Outcome into an exception.
#pragma once

#include <pybind11/pybind11.h>

#include "bindings/errors.hpp"
#include "core/outcome.hpp"

namespace veclip::bindings {

// `work` touches no Python object: everything was converted before.
template <typename Work>
void run_unlocked(Work&& work) {
  Outcome outcome;
  {
    pybind11::gil_scoped_release unlocked;
    outcome = work();
  }
  raise_unless_ok(outcome.status, outcome.detail);
}

}  // namespace veclip::bindings
