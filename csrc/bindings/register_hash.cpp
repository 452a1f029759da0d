#include <pybind11/numpy.h>
#include <pybind11/pybind11.h>
#include <pybind11/stl.h>
#include <pybind11/stl/filesystem.h>

#include <filesystem>

#include "bindings/outcome.hpp"
#include "bindings/register.hpp"
#include "bindings/spans.hpp"
#include "mds/hash.hpp"

namespace py = pybind11;

namespace veclip::bindings {

namespace {

mds::HashAlgorithm algorithm_or_raise(const std::string& name) {
  const auto algorithm = mds::hash_algorithm(name);
  if (!algorithm) {
    raise_unless_ok(Status::kBadArgument,
                    "hash algorithm '" + name + "'; expected xxh32, xxh64, xxh3_64, xxh3_128 or xxh128");
  }
  return *algorithm;
}

// One buffer, held while it lives; created and destroyed with the GIL held.
Bytes view_of(const py::buffer_info& info) {
  return {static_cast<const std::uint8_t*>(info.ptr), static_cast<std::size_t>(info.size * info.itemsize)};
}

py::buffer_info contiguous(const py::buffer& data) {
  Py_buffer view;
  if (PyObject_GetBuffer(data.ptr(), &view, PyBUF_CONTIG_RO | PyBUF_FORMAT) != 0) throw py::error_already_set();
  return py::buffer_info(new Py_buffer(view));
}

std::uint64_t hash_value(const py::buffer& data) {
  const py::buffer_info info = contiguous(data);
  py::gil_scoped_release unlocked;
  return mds::xxh3_64(view_of(info));
}

std::string hash_bytes(const py::buffer& data, const std::string& name) {
  const mds::HashAlgorithm algorithm = algorithm_or_raise(name);
  const py::buffer_info info = contiguous(data);
  const Bytes part = view_of(info);
  std::string hex;
  run_unlocked([&] { return mds::hash_parts({&part, 1}, algorithm, hex); });
  return hex;
}

std::string hash_path(const std::filesystem::path& path, const std::string& name) {
  const mds::HashAlgorithm algorithm = algorithm_or_raise(name);
  const std::string target = path.string();
  std::string hex;
  run_unlocked([&] { return mds::hash_file(target, algorithm, hex); });
  return hex;
}

py::array_t<std::uint64_t> key_hashes(const py::object& keys) {
  const ByteSpans spans = to_spans(keys);
  py::array_t<std::uint64_t> out(static_cast<py::ssize_t>(spans.size()));
  std::uint64_t* hashes = out.mutable_data();
  py::gil_scoped_release unlocked;
  for (std::size_t i = 0; i < spans.size(); ++i) hashes[i] = mds::xxh3_64(spans[i]);
  return out;
}

py::array_t<std::uint64_t> sample_hashes(const py::sequence& columns) {
  std::vector<ByteSpans> spans;
  for (const py::handle column : columns) spans.push_back(to_spans(py::reinterpret_borrow<py::object>(column)));
  const std::size_t count = spans.empty() ? 0 : spans.front().size();
  for (const ByteSpans& column : spans) {
    if (column.size() != count) raise_unless_ok(Status::kBadArgument, "the columns differ in length");
  }
  py::array_t<std::uint64_t> out(static_cast<py::ssize_t>(count));
  std::uint64_t* hashes = out.mutable_data();
  run_unlocked([&] { return mds::sample_hashes(spans, {hashes, count}); });
  return out;
}

}  // namespace

void register_hash(py::module_& m) {
  m.def("xxh3_64", &hash_value, py::arg("data"), "xxh3_64 of one buffer, seed 0.");
  m.def("hash_bytes", &hash_bytes, py::arg("data"), py::arg("algorithm"), "Canonical hex of one buffer.");
  m.def("hash_file", &hash_path, py::arg("path"), py::arg("algorithm"), "Canonical hex of a file, read in pieces.");
  m.def("key_hashes", &key_hashes, py::arg("keys"), "uint64 [N]: xxh3_64 of every key's bytes.");
  m.def("sample_hashes", &sample_hashes, py::arg("columns"),
        "uint64 [N]: xxh3_64 over a sample's values in column order, each preceded by its length as u32.");
}

}  // namespace veclip::bindings
