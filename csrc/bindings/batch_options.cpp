#include "bindings/batch_options.hpp"

#include <cmath>
#include <initializer_list>
#include <iterator>
#include <utility>

#include "bindings/pass_order.hpp"

namespace py = pybind11;

namespace veclip::bindings {

namespace {

constexpr int kLargestSize = 4096;  // far above any model's input; keeps slot sizes far from overflow

// The value of a name; ValueError "dtype: 'int8' given, expected 'uint8' or 'float32'" for any other.
template <typename Value>
Value choose(const char* option, const std::string& given,
             std::initializer_list<std::pair<const char*, Value>> choices) {
  std::string known;
  for (const auto& [name, value] : choices) {
    if (given == name) return value;
    if (!known.empty()) known += name == std::prev(choices.end())->first ? " or " : ", ";
    known += "'" + std::string(name) + "'";
  }
  throw py::value_error(std::string(option) + ": '" + given + "' given, expected " + known);
}

PixelType parse_dtype(const std::string& name) {
  return choose<PixelType>("dtype", name,
                           {{"uint8", PixelType::kUint8},
                            {"float32", PixelType::kFloat32},
                            {"bfloat16", PixelType::kBfloat16},
                            {"float16", PixelType::kFloat16}});
}

Layout parse_layout(const std::string& name) {
  return choose<Layout>("layout", name, {{"nchw", Layout::kNchw}, {"nhwc", Layout::kNhwc}});
}

TransformMode parse_transform(const std::string& name) {
  return choose<TransformMode>("transform", name, {{"exact", TransformMode::kExact}, {"fast", TransformMode::kFast}});
}

Fit parse_fit(const std::string& name) {
  return choose<Fit>("fit", name,
                     {{"torchvision", Fit::kTorchvision},
                      {"transformers", Fit::kTransformers},
                      {"squash", Fit::kSquash},
                      {"tensorflow", Fit::kTensorflow}});
}

Filter parse_filter(const std::string& name) {
  return choose<Filter>("filter", name, {{"bicubic", Filter::kBicubic}, {"bilinear", Filter::kBilinear}});
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

// [images, 3, S, S] or [images, S, S, 3].
int checked_size(const py::array& out, std::size_t images, Layout layout) {
  const bool last = layout == Layout::kNhwc;
  const bool is_4d = out.ndim() == 4;
  const py::ssize_t side = is_4d ? out.shape(2) : 0;
  if (!is_4d || out.shape(0) != static_cast<py::ssize_t>(images) || out.shape(last ? 3 : 1) != 3 ||
      out.shape(last ? 1 : 3) != side || side < 1 || side > kLargestSize) {
    throw py::value_error("out: shape " + std::string(py::str(out.attr("shape"))) + " given, expected [" +
                          std::to_string(images) + (last ? ", S, S, 3]" : ", 3, S, S]") + " with S from 1 to " +
                          std::to_string(kLargestSize));
  }
  return static_cast<int>(side);
}

void check_storage(const py::array& out, PixelType type) {
  const py::dtype wanted = storage_of(type);
  if (!out.dtype().equal(wanted)) {
    throw py::type_error("out: dtype " + std::string(py::str(out.dtype())) + " given, expected " +
                         std::string(py::str(wanted)));
  }
  constexpr int needed = py::detail::npy_api::NPY_ARRAY_C_CONTIGUOUS_ | py::detail::npy_api::NPY_ARRAY_ALIGNED_ |
                         py::detail::npy_api::NPY_ARRAY_WRITEABLE_;
  if ((out.flags() & needed) != needed) {
    throw py::value_error("out: expected a writable, C-contiguous, aligned array");
  }
}

}  // namespace

PixelTables make_tables(const BatchOptions& options) {
  for (std::size_t c = 0; c < kChannels; ++c) {
    const float std = static_cast<float>(options.std[c]);
    if (!std::isfinite(options.mean[c]) || !std::isfinite(std) || std == 0.0f) {
      throw py::value_error("mean and std: expected finite numbers, std not zero");
    }
  }
  return PixelTables({options.mean, options.std});
}

BatchSpec make_spec(const BatchOptions& options, const PixelTables& tables, const py::array& out, std::size_t images) {
  const PixelType type = parse_dtype(options.dtype);
  const Layout layout = parse_layout(options.layout);
  const int size = checked_size(out, images, layout);
  check_storage(out, type);
  const TransformSpec transform{size,
                                type,
                                parse_pass_order(options.pass_order),
                                &tables,
                                parse_fit(options.fit),
                                checked_shorter(options.shorter, size),
                                parse_filter(options.filter),
                                layout};
  if (transform.fit == Fit::kTensorflow && type == PixelType::kUint8) {
    throw py::value_error("dtype: 'uint8' given, fit 'tensorflow' makes 'float32', 'bfloat16' or 'float16'");
  }
  return {transform, options.limits, parse_transform(options.transform)};
}

}  // namespace veclip::bindings
