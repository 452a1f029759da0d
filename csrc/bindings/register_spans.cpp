#include <pybind11/numpy.h>
#include <pybind11/pybind11.h>

#include <cstring>
#include <stdexcept>

#include "bindings/register.hpp"
#include "bindings/spans.hpp"

namespace py = pybind11;

namespace veclip::bindings {

namespace {

// Releases every buffer it holds; created and destroyed with the GIL held.
struct HeldBuffers {
  std::vector<Py_buffer> buffers;
  HeldBuffers() = default;
  HeldBuffers(const HeldBuffers&) = delete;
  HeldBuffers& operator=(const HeldBuffers&) = delete;
  ~HeldBuffers() {
    for (Py_buffer& buffer : buffers) PyBuffer_Release(&buffer);
  }
};

ByteSpans hold_sequence(const py::sequence& images) {
  auto held = std::make_shared<HeldBuffers>();
  ByteSpans out;
  held->buffers.reserve(images.size());
  out.items.reserve(images.size());
  for (const py::handle item : images) {
    Py_buffer buffer;
    if (PyObject_GetBuffer(item.ptr(), &buffer, PyBUF_SIMPLE) != 0) throw py::error_already_set();
    held->buffers.push_back(buffer);
    out.items.emplace_back(static_cast<const std::uint8_t*>(buffer.buf), static_cast<std::size_t>(buffer.len));
  }
  out.owner = std::move(held);
  return out;
}

py::bytes item_bytes(const ByteSpans& self, py::ssize_t i) {
  const auto n = static_cast<py::ssize_t>(self.size());
  if (i < 0) i += n;
  if (i < 0 || i >= n) throw py::index_error("column view index out of range");
  const Bytes item = self[static_cast<std::size_t>(i)];
  return py::bytes(reinterpret_cast<const char*>(item.data()), item.size());
}

// All items back to back: (uint8 [total], int64 [N + 1] offsets).
py::tuple concat(const ByteSpans& self) {
  py::array_t<std::int64_t> offsets(static_cast<py::ssize_t>(self.size() + 1));
  std::int64_t* off = offsets.mutable_data();
  off[0] = 0;
  for (std::size_t i = 0; i < self.size(); ++i) off[i + 1] = off[i] + static_cast<std::int64_t>(self[i].size());
  py::array_t<std::uint8_t> flat(off[self.size()]);
  std::uint8_t* out = flat.mutable_data();
  for (std::size_t i = 0; i < self.size(); ++i) {
    if (!self[i].empty()) std::memcpy(out + off[i], self[i].data(), self[i].size());
  }
  return py::make_tuple(flat, offsets);
}

}  // namespace

ByteSpans to_spans(const py::object& images) {
  if (py::isinstance<ByteSpans>(images)) return images.cast<ByteSpans>();
  if (py::isinstance<py::bytes>(images) || py::isinstance<py::str>(images) || !py::isinstance<py::sequence>(images)) {
    throw py::type_error("expected a ColumnView or a sequence of byte buffers");
  }
  return hold_sequence(images.cast<py::sequence>());
}

void register_spans(py::module_& m) {
  py::class_<ByteSpans>(m, "ColumnView", "One column of many samples, as views of memory that stays where it is.")
      .def(py::init(&to_spans), py::arg("items"))
      .def("__len__", &ByteSpans::size)
      .def("__getitem__", &item_bytes, py::arg("index"))
      .def("concat", &concat, "All items back to back: (uint8 [total], int64 [N + 1] offsets).");
}

}  // namespace veclip::bindings
