#include <pybind11/numpy.h>
#include <pybind11/pybind11.h>

#include <string>
#include <vector>

#include "bindings/errors.hpp"
#include "bindings/register.hpp"
#include "bindings/spans.hpp"
#include "core/thread_pool.hpp"
#include "image/prepare.hpp"

namespace py = pybind11;

namespace veclip::bindings {

namespace {

bool parse_check(const std::string& check) {
  if (check == "full") return true;
  if (check == "header") return false;
  throw py::value_error("check: \"" + check + "\" given, expected \"full\" or \"header\"");
}

Subsampling parse_subsampling(const std::string& name) {
  if (name == "420") return Subsampling::k420;
  if (name == "422") return Subsampling::k422;
  if (name == "444") return Subsampling::k444;
  throw py::value_error("subsampling: \"" + name + "\" given, expected \"420\", \"422\" or \"444\"");
}

PrepareOptions make_options(const std::string& check, int resize_shorter, int quality, const std::string& subsampling,
                            bool lossless_clean, const Limits& limits) {
  if (resize_shorter < 0) {
    throw py::value_error("resize_shorter: " + std::to_string(resize_shorter) + " given, expected pixels or 0 (off)");
  }
  if (quality < 1 || quality > 100) {
    throw py::value_error("quality: " + std::to_string(quality) + " given, expected 1 to 100");
  }
  return {parse_check(check), resize_shorter, {quality, parse_subsampling(subsampling)}, lossless_clean, limits};
}

std::vector<PreparedImage> prepare_all(const ByteSpans& images, const PrepareOptions& options, ThreadPool& pool) {
  std::vector<PreparedImage> out(images.size());
  std::vector<PrepareScratch> scratch(pool.threads());
  const Status status = pool.for_each(images.size(), [&](std::size_t i, std::size_t worker) {
    prepare_image(images[i], options, scratch[worker], out[i]);
  });
  if (status != Status::kOk) throw std::bad_alloc();
  return out;
}

py::tuple to_python(const ByteSpans& images, const std::vector<PreparedImage>& prepared) {
  const auto n = static_cast<py::ssize_t>(prepared.size());
  py::list bytes(prepared.size());
  py::array_t<std::uint8_t> status(n);
  py::array_t<std::int32_t> size({n, py::ssize_t{2}});
  for (std::size_t i = 0; i < prepared.size(); ++i) {
    const PreparedImage& one = prepared[i];
    const auto at = static_cast<py::ssize_t>(i);
    const Bytes stored = one.bytes(images[i]);
    status.mutable_at(at) = static_cast<std::uint8_t>(one.status);
    size.mutable_at(at, 0) = one.width;
    size.mutable_at(at, 1) = one.height;
    bytes[i] = one.status == Status::kOk
                   ? py::object(py::bytes(reinterpret_cast<const char*>(stored.data()), stored.size()))
                   : py::object(py::none());
  }
  return py::make_tuple(bytes, status, size);
}

py::tuple prepare_images(const py::object& images, const PrepareOptions& options, ThreadPool& pool) {
  const ByteSpans held = to_spans(images);
  std::vector<PreparedImage> prepared;
  {
    py::gil_scoped_release release;  // everything of Python's is converted; `held` keeps the bytes alive
    prepared = prepare_all(held, options, pool);
  }
  return to_python(held, prepared);
}

}  // namespace

void register_prepare(py::module_& m) {
  py::class_<PrepareOptions>(m, "PrepareOptions", "What prepare_images does to each image.")
      .def(py::init(&make_options), py::kw_only(), py::arg("check") = "full", py::arg("resize_shorter") = 0,
           py::arg("quality") = 90, py::arg("subsampling") = "420", py::arg("lossless_clean") = false,
           py::arg("limits") = Limits());
  m.def("prepare_images", &prepare_images, py::arg("images"), py::arg("options"), py::arg("pool"),
        "Check and, if asked, resize or clean images: (list of bytes or None, uint8 [N] status, int32 [N, 2] size).");
}

}  // namespace veclip::bindings
