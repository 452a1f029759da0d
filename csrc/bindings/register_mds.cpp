#include <pybind11/numpy.h>
#include <pybind11/pybind11.h>
#include <pybind11/stl.h>
#include <pybind11/stl/filesystem.h>

#include <algorithm>
#include <filesystem>
#include <optional>

#include "bindings/columns.hpp"
#include "bindings/outcome.hpp"
#include "bindings/register.hpp"
#include "mds/gather.hpp"

namespace py = pybind11;

namespace veclip::bindings {

namespace {

using SharedShard = std::shared_ptr<mds::Shard>;
using Indices = py::array_t<std::int32_t, py::array::c_style | py::array::forcecast>;

SharedShard open_shard(const std::filesystem::path& path, const std::vector<std::string>& names, const Sizes& sizes,
                       std::optional<std::uint64_t> expected_bytes) {
  mds::Columns columns = to_columns(names, sizes);
  std::shared_ptr<const mds::Shard> shard;
  run_unlocked([&] { return mds::Shard::open(path.string(), std::move(columns), expected_bytes, shard); });
  // pybind11 holders are not const; every method of Shard is.
  return std::const_pointer_cast<mds::Shard>(shard);
}

SharedShard shard_from_bytes(const py::bytes& data, const std::vector<std::string>& names, const Sizes& sizes,
                             const std::string& label) {
  mds::Columns columns = to_columns(names, sizes);
  const std::string_view view = data;
  std::shared_ptr<const mds::Shard> shard;
  run_unlocked([&] {
    // A copy: the shard may outlive the interpreter's object, and batches of it are used without the GIL.
    return mds::Shard::from_bytes({view.begin(), view.end()}, label, std::move(columns), shard);
  });
  return std::const_pointer_cast<mds::Shard>(shard);
}

std::vector<py::bytes> sample_values(const mds::Shard& shard, std::uint32_t index) {
  std::vector<Bytes> values(shard.columns().names.size());
  run_unlocked([&] { return shard.values(index, values.data()); });
  std::vector<py::bytes> out;
  for (const Bytes value : values) out.emplace_back(reinterpret_cast<const char*>(value.data()), value.size());
  return out;
}

mds::SampleBatch gather(const std::vector<SharedShard>& shards, const Indices& which, const Indices& index) {
  if (which.ndim() != 1 || index.ndim() != 1) raise_unless_ok(Status::kBadArgument, "which and index are int32 [N]");
  const mds::ShardList list(shards.begin(), shards.end());
  const std::span<const std::int32_t> w(which.data(), static_cast<std::size_t>(which.size()));
  const std::span<const std::int32_t> i(index.data(), static_cast<std::size_t>(index.size()));
  mds::SampleBatch batch;
  run_unlocked([&] { return mds::gather(list, w, i, batch); });
  return batch;
}

ByteSpans column(const mds::SampleBatch& batch, const std::string& name) {
  const auto found = std::find(batch.names.begin(), batch.names.end(), name);
  if (found == batch.names.end()) throw py::key_error(name);
  return batch.columns[static_cast<std::size_t>(found - batch.names.begin())];
}

std::size_t batch_bytes(const mds::SampleBatch& batch) {
  std::size_t total = 0;
  for (const ByteSpans& column : batch.columns) {
    for (const Bytes item : column.items) total += item.size();
  }
  return total;
}

}  // namespace

void register_mds(py::module_& m) {
  py::class_<mds::Shard, SharedShard>(m, "MdsShard", "One memory-mapped MDS v2 shard whose offsets were checked.")
      .def(py::init(&open_shard), py::arg("path"), py::arg("column_names"), py::arg("column_sizes"),
           py::arg("expected_bytes") = py::none())
      .def_static("from_bytes", &shard_from_bytes, py::arg("data"), py::arg("column_names"), py::arg("column_sizes"),
                  py::arg("label"), "A shard that was decompressed into memory.")
      .def_property_readonly("samples", &mds::Shard::samples)
      .def_property_readonly("path", &mds::Shard::path)
      .def_property_readonly("nbytes", [](const mds::Shard& s) { return s.file().size(); })
      .def_property_readonly("config",
                             [](const mds::Shard& s) {
                               const Bytes config = s.config();
                               return py::bytes(reinterpret_cast<const char*>(config.data()), config.size());
                             })
      .def("__len__", &mds::Shard::samples)
      .def("values", &sample_values, py::arg("index"), "The encoded values of one sample, in column order.")
      .def(
          "check", [](const mds::Shard& s) { run_unlocked([&] { return s.check(); }); },
          "Walks every sample; raises NativeError (BAD_SHARD) if a value lies outside its sample.");
  py::class_<mds::SampleBatch>(m, "SampleBatch", "Values of many samples, column by column, still in their shards.")
      .def("__len__", [](const mds::SampleBatch& b) { return b.samples; })
      .def_readonly("column_names", &mds::SampleBatch::names)
      .def_property_readonly("nbytes", &batch_bytes)
      .def("column", &column, py::arg("name"));
  m.def("gather", &gather, py::arg("shards"), py::arg("which"), py::arg("index"),
        "Sample s of the batch is sample index[s] of shards[which[s]].");
}

}  // namespace veclip::bindings
