#include <pybind11/numpy.h>
#include <pybind11/pybind11.h>
#include <pybind11/stl.h>

#include <cmath>
#include <string>

#include "bindings/pass_order.hpp"
#include "bindings/register.hpp"
#include "bindings/spans.hpp"
#include "image/batch.hpp"

namespace py = pybind11;

namespace veclip::bindings {

namespace {

using Boxes = py::array_t<std::int32_t, py::array::c_style>;
using Triple = std::array<double, kChannels>;

constexpr int kLargestSize = 4096;  // far above any model's input; keeps slot sizes far from overflow

struct Options {
  std::string dtype;
  Triple mean;
  Triple std;
  std::string pass_order;
  Limits limits;
  std::string transform = "exact";
  std::string fit = "torchvision";
  int shorter = 0;
  std::string filter = "bicubic";
};

PixelType parse_dtype(const std::string& name) {
  if (name == "uint8") return PixelType::kUint8;
  if (name == "float32") return PixelType::kFloat32;
  if (name == "bfloat16") return PixelType::kBfloat16;
  throw py::value_error("dtype: '" + name + "' given, expected 'uint8', 'float32' or 'bfloat16'");
}

TransformMode parse_transform(const std::string& name) {
  if (name == "exact") return TransformMode::kExact;
  if (name == "fast") return TransformMode::kFast;
  throw py::value_error("transform: '" + name + "' given, expected 'exact' or 'fast'");
}

Fit parse_fit(const std::string& name) {
  if (name == "torchvision") return Fit::kTorchvision;
  if (name == "transformers") return Fit::kTransformers;
  if (name == "squash") return Fit::kSquash;
  if (name == "tensorflow") return Fit::kTensorflow;
  throw py::value_error("fit: '" + name + "' given, expected 'torchvision', 'transformers', 'squash' or 'tensorflow'");
}

Filter parse_filter(const std::string& name) {
  if (name == "bicubic") return Filter::kBicubic;
  if (name == "bilinear") return Filter::kBilinear;
  throw py::value_error("filter: '" + name + "' given, expected 'bicubic' or 'bilinear'");
}

int checked_shorter(int shorter, int size) {
  if (shorter != 0 && (shorter < size || shorter > kLargestSize)) {
    throw py::value_error("shorter: " + std::to_string(shorter) + " given, expected 0 or S to " +
                          std::to_string(kLargestSize));
  }
  return shorter;
}

py::dtype storage_of(PixelType type) {
  if (type == PixelType::kUint8) return py::dtype::of<std::uint8_t>();
  if (type == PixelType::kFloat32) return py::dtype::of<float>();
  return py::dtype::of<std::uint16_t>();
}

// Called before the GIL is released: the core writes where this says.
int checked_size(const py::array& out, std::size_t n, PixelType type) {
  const py::dtype wanted = storage_of(type);
  if (!out.dtype().equal(wanted)) {
    throw py::type_error("out: dtype " + std::string(py::str(out.dtype())) + " given, expected " +
                         std::string(py::str(wanted)));
  }
  if (out.ndim() != 4 || out.shape(0) != static_cast<py::ssize_t>(n) || out.shape(1) != 3 ||
      out.shape(2) != out.shape(3) || out.shape(2) < 1 || out.shape(2) > kLargestSize) {
    throw py::value_error("out: shape " + std::string(py::str(out.attr("shape"))) + " given, expected [" +
                          std::to_string(n) + ", 3, S, S] with S from 1 to " + std::to_string(kLargestSize));
  }
  constexpr int needed = py::detail::npy_api::NPY_ARRAY_C_CONTIGUOUS_ | py::detail::npy_api::NPY_ARRAY_ALIGNED_ |
                         py::detail::npy_api::NPY_ARRAY_WRITEABLE_;
  if ((out.flags() & needed) != needed) {
    throw py::value_error("out: expected a writable, C-contiguous, aligned array");
  }
  return static_cast<int>(out.shape(2));
}

PixelTables make_tables(const Options& options) {
  for (std::size_t c = 0; c < kChannels; ++c) {
    const float std = static_cast<float>(options.std[c]);
    if (!std::isfinite(options.mean[c]) || !std::isfinite(std) || std == 0.0f) {
      throw py::value_error("mean and std: expected finite numbers, std not zero");
    }
  }
  return PixelTables({options.mean, options.std});
}

// The call common to both transforms; `run` is called without the GIL.
template <typename Run>
py::array_t<std::uint8_t> run_batch(const ByteSpans& images, py::array& out, const Options& options, const Run& run) {
  const PixelType type = parse_dtype(options.dtype);
  const PixelTables tables = make_tables(options);
  const int size = checked_size(out, images.size(), type);
  const BatchSpec spec{{size, type, parse_pass_order(options.pass_order), &tables, parse_fit(options.fit),
                        checked_shorter(options.shorter, size), parse_filter(options.filter)},
                       options.limits,
                       parse_transform(options.transform)};
  if (spec.transform.fit == Fit::kTensorflow && type == PixelType::kUint8) {
    throw py::value_error("dtype: 'uint8' given, fit 'tensorflow' makes 'float32' or 'bfloat16'");
  }
  py::array_t<std::uint8_t> statuses(static_cast<py::ssize_t>(images.size()));
  const BatchOutput target{static_cast<std::uint8_t*>(out.mutable_data()),
                           reinterpret_cast<Status*>(statuses.mutable_data())};
  {
    const py::gil_scoped_release released;  // every Python object was converted before
    run(spec, target);
  }
  return statuses;
}

std::span<const Box> checked_boxes(const Boxes& boxes, std::size_t n) {
  if (boxes.ndim() != 2 || boxes.shape(0) != static_cast<py::ssize_t>(n) || boxes.shape(1) != 4) {
    throw py::value_error("boxes: shape " + std::string(py::str(boxes.attr("shape"))) + " given, expected [" +
                          std::to_string(n) + ", 4] (left, top, width, height)");
  }
  return {reinterpret_cast<const Box*>(boxes.data()), n};
}

py::array_t<std::uint8_t> train(const py::object& images, const Boxes& boxes, py::array out, ThreadPool& pool,
                                const std::string& dtype, const Triple& mean, const Triple& std,
                                const std::string& pass_order, const Limits& limits, const std::string& transform) {
  const ByteSpans spans = to_spans(images);
  const std::span<const Box> checked = checked_boxes(boxes, spans.size());
  return run_batch(
      spans, out, {dtype, mean, std, pass_order, limits, transform},
      [&](const BatchSpec& spec, const BatchOutput& target) { train_batch(spans, checked, spec, pool, target); });
}

py::array_t<std::uint8_t> eval(const py::object& images, py::array out, ThreadPool& pool, const std::string& dtype,
                               const Triple& mean, const Triple& std, const std::string& pass_order,
                               const Limits& limits, const std::string& fit, int shorter, const std::string& filter) {
  const ByteSpans spans = to_spans(images);
  return run_batch(spans, out, {dtype, mean, std, pass_order, limits, "exact", fit, shorter, filter},
                   [&](const BatchSpec& spec, const BatchOutput& target) { eval_batch(spans, spec, pool, target); });
}

// OpenAI's CLIP constants, as open_clip has them.
constexpr Triple kMean{0.48145466, 0.4578275, 0.40821073};
constexpr Triple kStd{0.26862954, 0.26130258, 0.27577711};

}  // namespace

void register_transform(py::module_& m) {
  m.def("train_batch", &train, py::arg("images"), py::arg("boxes").noconvert(), py::arg("out").noconvert(),
        py::arg("pool"), py::kw_only(), py::arg("dtype") = "uint8", py::arg("mean") = kMean, py::arg("std") = kStd,
        py::arg("pass_order") = "pillow11", py::arg("limits") = Limits(), py::arg("transform") = "exact",
        "Decode, crop to boxes, resize, normalise into out [N, 3, S, S]; returns status uint8 [N]. 'fast' resizes "
        "the luma and chroma of baseline JPEG before making RGB of them: close, not equal.");
  m.def(
      "eval_batch", &eval, py::arg("images"), py::arg("out").noconvert(), py::arg("pool"), py::kw_only(),
      py::arg("dtype") = "uint8", py::arg("mean") = kMean, py::arg("std") = kStd, py::arg("pass_order") = "pillow11",
      py::arg("limits") = Limits(), py::arg("fit") = "torchvision", py::arg("shorter") = 0,
      py::arg("filter") = "bicubic",
      "Decode, resize the shorter side to `shorter` (0: S), cut the centre, normalise into out [N, 3, S, S]; returns "
      "status. fit 'transformers' rounds the place of the cut down, 'squash' resizes both sides to S, 'tensorflow' is "
      "tf.image.resize without antialiasing (bilinear, to S, into floats).");
}

}  // namespace veclip::bindings
