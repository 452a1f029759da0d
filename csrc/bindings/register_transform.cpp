#include <pybind11/numpy.h>
#include <pybind11/pybind11.h>
#include <pybind11/stl.h>

#include "bindings/batch_options.hpp"
#include "bindings/register.hpp"
#include "bindings/spans.hpp"

namespace py = pybind11;

namespace veclip::bindings {

namespace {

using Boxes = py::array_t<std::int32_t, py::array::c_style>;

// The call common to both transforms; `run` is called without the GIL.
template <typename Run>
py::array_t<std::uint8_t> run_batch(const ByteSpans& images, py::array& out, const BatchOptions& options,
                                    const Run& run) {
  const PixelTables tables = make_tables(options);
  const BatchSpec spec = make_spec(options, tables, out, images.size());
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
                                const std::string& dtype, const std::string& layout, const Triple& mean,
                                const Triple& std, const std::string& pass_order, const Limits& limits,
                                const std::string& transform) {
  const ByteSpans spans = to_spans(images);
  const std::span<const Box> checked = checked_boxes(boxes, spans.size());
  return run_batch(
      spans, out, {dtype, layout, mean, std, pass_order, limits, transform},
      [&](const BatchSpec& spec, const BatchOutput& target) { train_batch(spans, checked, spec, pool, target); });
}

py::array_t<std::uint8_t> eval(const py::object& images, py::array out, ThreadPool& pool, const std::string& dtype,
                               const std::string& layout, const Triple& mean, const Triple& std,
                               const std::string& pass_order, const Limits& limits, const std::string& fit, int shorter,
                               const std::string& filter) {
  const ByteSpans spans = to_spans(images);
  return run_batch(spans, out, {dtype, layout, mean, std, pass_order, limits, "exact", fit, shorter, filter},
                   [&](const BatchSpec& spec, const BatchOutput& target) { eval_batch(spans, spec, pool, target); });
}

// OpenAI's CLIP constants, as open_clip has them.
constexpr Triple kMean{0.48145466, 0.4578275, 0.40821073};
constexpr Triple kStd{0.26862954, 0.26130258, 0.27577711};

}  // namespace

void register_transform(py::module_& m) {
  m.def("train_batch", &train, py::arg("images"), py::arg("boxes").noconvert(), py::arg("out").noconvert(),
        py::arg("pool"), py::kw_only(), py::arg("dtype") = "uint8", py::arg("layout") = "nchw", py::arg("mean") = kMean,
        py::arg("std") = kStd, py::arg("pass_order") = "pillow11", py::arg("limits") = Limits(),
        py::arg("transform") = "exact",
        "Decode, crop to boxes, resize, normalise into out [N, 3, S, S] (layout 'nhwc': [N, S, S, 3]); returns status "
        "uint8 [N]. 'fast' resizes "
        "the luma and chroma of baseline JPEG before making RGB of them: close, not equal.");
  m.def("eval_batch", &eval, py::arg("images"), py::arg("out").noconvert(), py::arg("pool"), py::kw_only(),
        py::arg("dtype") = "uint8", py::arg("layout") = "nchw", py::arg("mean") = kMean, py::arg("std") = kStd,
        py::arg("pass_order") = "pillow11", py::arg("limits") = Limits(), py::arg("fit") = "torchvision",
        py::arg("shorter") = 0, py::arg("filter") = "bicubic",
        "Decode, resize the shorter side to `shorter` (0: S), cut the centre, normalise into out [N, 3, S, S] (layout "
        "'nhwc': [N, S, S, 3]); returns status. fit 'transformers' rounds the place of the cut down, 'squash' resizes "
        "both sides to S, 'tensorflow' is "
        "tf.image.resize without antialiasing (bilinear, to S, into floats).");
}

}  // namespace veclip::bindings
