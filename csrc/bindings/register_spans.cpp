#include <pybind11/numpy.h>
#include <pybind11/pybind11.h>

#include <cstring>
#include <stdexcept>

#include "bindings/errors.hpp"
#include "bindings/register.hpp"
#include "bindings/spans.hpp"
#include "mds/array_values.hpp"

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

// Arrays over the items' memory, which they keep alive together.
py::list views(const ByteSpans& self) {
  using Owner = std::shared_ptr<const void>;
  const py::capsule owner(new Owner(self.owner), [](void* held) { delete static_cast<Owner*>(held); });
  const py::dtype type = py::dtype::of<std::uint8_t>();
  py::list out(self.size());
  for (std::size_t i = 0; i < self.size(); ++i) {
    const py::array item(type, {self[i].size()}, {}, self[i].data(), owner);
    py::detail::array_proxy(item.ptr())->flags &= ~py::detail::npy_api::NPY_ARRAY_WRITEABLE_;
    out[i] = item;
  }
  return out;
}

// All items back to back: (uint8 [total], int64 [N + 1] offsets in units of `unit` bytes).
py::tuple joined(const std::vector<Bytes>& items, std::size_t unit) {
  py::array_t<std::int64_t> offsets(static_cast<py::ssize_t>(items.size() + 1));
  std::int64_t* off = offsets.mutable_data();
  std::size_t total = 0;
  off[0] = 0;
  for (std::size_t i = 0; i < items.size(); ++i) {
    total += items[i].size();
    off[i + 1] = static_cast<std::int64_t>(total / unit);
  }
  py::array_t<std::uint8_t> flat(static_cast<py::ssize_t>(total));
  std::uint8_t* out = flat.mutable_data();
  for (const Bytes item : items) {
    if (!item.empty()) std::memcpy(out, item.data(), item.size());
    out += item.size();
  }
  return py::make_tuple(flat, offsets);
}

py::tuple concat(const ByteSpans& self) { return joined(self.items, 1); }

py::tuple arrays(const ByteSpans& self, std::size_t element_bytes) {
  std::vector<Bytes> elements;
  const Outcome outcome = mds::array_elements(self, element_bytes, elements);
  raise_unless_ok(outcome.status, outcome.detail);
  return joined(elements, element_bytes);
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
      .def("views", &views,
           "N read-only arrays uint8 [length] over the memory itself: nothing is copied, and the memory stays as long "
           "as any of them lives.")
      .def("concat", &concat, "All items back to back: (uint8 [total], int64 [N + 1] offsets).")
      .def("arrays", &arrays, py::arg("element_bytes"),
           "The elements of one-dimensional `ndarray:DTYPE` values back to back: (uint8 [total bytes], int64 [N + 1] "
           "offsets in elements). Raises NativeError when an item is no such value.");
}

}  // namespace veclip::bindings
