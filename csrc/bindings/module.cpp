// Table of contents of engine.native._core.
#include "bindings/register.hpp"

PYBIND11_MODULE(_core, m) {
  m.doc() = "Native core: decode, transform, pack and read. Use it through engine.native.";
  veclip::bindings::register_status(m);
  veclip::bindings::register_spans(m);
  veclip::bindings::register_thread_pool(m);
  veclip::bindings::register_decode(m);
  veclip::bindings::register_prepare(m);
  veclip::bindings::register_hash(m);
  veclip::bindings::register_mds(m);
  veclip::bindings::register_pack(m);
  veclip::bindings::register_resample(m);
  veclip::bindings::register_draws(m);
  veclip::bindings::register_transform(m);
}
