// One register_<thing> per translation unit; module.cpp calls them in order.
#pragma once

#include <pybind11/pybind11.h>

namespace veclip::bindings {

void register_status(pybind11::module_& m);
void register_spans(pybind11::module_& m);
void register_thread_pool(pybind11::module_& m);
void register_decode(pybind11::module_& m);
void register_prepare(pybind11::module_& m);
void register_hash(pybind11::module_& m);
void register_mds(pybind11::module_& m);
void register_pack(pybind11::module_& m);
void register_resample(pybind11::module_& m);
void register_draws(pybind11::module_& m);
void register_transform(pybind11::module_& m);

}  // namespace veclip::bindings
