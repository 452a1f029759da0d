#include <pybind11/pybind11.h>
#include <pybind11/stl.h>
#include <pybind11/stl/filesystem.h>

#include <array>
#include <filesystem>

#include "bindings/columns.hpp"
#include "bindings/outcome.hpp"
#include "bindings/register.hpp"
#include "bindings/spans.hpp"
#include "mds/commit.hpp"
#include "mds/hash.hpp"
#include "mds/pack.hpp"

namespace py = pybind11;

namespace veclip::bindings {

namespace {

std::array<Bytes, 2> parts_of(mds::ShardPacker& packer) {
  std::array<Bytes, 2> parts;
  packer.parts(parts[0], parts[1]);
  return parts;
}

std::size_t append(mds::ShardPacker& packer, const py::sequence& values, std::size_t first) {
  std::vector<ByteSpans> spans;
  for (const py::handle column : values) spans.push_back(to_spans(py::reinterpret_borrow<py::object>(column)));
  std::size_t appended = 0;
  run_unlocked([&] { return packer.append(spans, first, appended); });
  return appended;
}

std::string hash(mds::ShardPacker& packer, const std::string& name) {
  const auto algorithm = mds::hash_algorithm(name);
  if (!algorithm) raise_unless_ok(Status::kBadArgument, "hash algorithm '" + name + "'");
  std::string hex;
  run_unlocked([&] { return mds::hash_parts(parts_of(packer), *algorithm, hex); });
  return hex;
}

// For hashes that Python brings. The views end with the call: a consumer that keeps one gets BufferError.
void feed(mds::ShardPacker& packer, const py::function& consume) {
  for (const Bytes part : parts_of(packer)) {
    if (part.empty()) continue;
    const py::memoryview view = py::memoryview::from_memory(part.data(), static_cast<py::ssize_t>(part.size()));
    consume(view);
    view.attr("release")();
  }
}

// A copy, for compressors.
py::bytes to_bytes(mds::ShardPacker& packer) {
  const auto [header, samples] = parts_of(packer);
  py::bytes out(nullptr, header.size() + samples.size());
  char* to = PyBytes_AS_STRING(out.ptr());
  std::copy(header.begin(), header.end(), to);
  std::copy(samples.begin(), samples.end(), to + header.size());
  return out;
}

void commit(mds::ShardPacker& packer, const std::filesystem::path& path) {
  const std::string target = path.string();
  run_unlocked([&] { return mds::commit_file(target, parts_of(packer)); });
}

void commit_file(const std::filesystem::path& path, const py::object& data) {
  const ByteSpans parts = to_spans(py::isinstance<py::list>(data) ? data : py::make_tuple(data));
  const std::string target = path.string();
  run_unlocked([&] { return mds::commit_file(target, parts.items); });
}

}  // namespace

void register_pack(py::module_& m) {
  py::class_<mds::ShardPacker>(m, "ShardPacker", "Packs samples into the bytes of MDS v2 shards, one after another.")
      .def(py::init([](const std::vector<std::string>& names, const Sizes& sizes, const py::bytes& config,
                       std::uint64_t size_limit) {
             return mds::ShardPacker(to_columns(names, sizes), std::string(config), size_limit);
           }),
           py::arg("column_names"), py::arg("column_sizes"), py::arg("config"), py::arg("size_limit"))
      .def("append", &append, py::arg("values"), py::arg("first") = 0,
           "Appends samples first.. of the columns; returns how many went in before the shard was full.")
      .def("hash", &hash, py::arg("algorithm"), "Canonical hex over the shard so far.")
      .def("feed", &feed, py::arg("consume"), "Calls consume with views of the shard so far, part by part.")
      .def("to_bytes", &to_bytes, "The shard so far, as its file would be.")
      .def("commit", &commit, py::arg("path"), "Writes the shard so far as commit_file does.")
      .def("reset", &mds::ShardPacker::reset, "Starts the next shard, keeping the memory.")
      .def_property_readonly("samples", &mds::ShardPacker::samples)
      .def_property_readonly("nbytes", &mds::ShardPacker::bytes);
  m.def("commit_file", &commit_file, py::arg("path"), py::arg("data"),
        "Writes one buffer (or a list of them) to path: temporary file, sync, rename, sync of the folder.");
}

}  // namespace veclip::bindings
