#include <pybind11/numpy.h>
#include <pybind11/pybind11.h>

#include <cstring>
#include <string>

#include "bindings/errors.hpp"
#include "bindings/pass_order.hpp"
#include "bindings/register.hpp"
#include "image/resample.hpp"
#include "image/resample_kernels.hpp"

namespace py = pybind11;

namespace veclip::bindings {

namespace {

using Pixels = py::array_t<std::uint8_t, py::array::c_style>;

py::array_t<std::uint8_t> resize(const Pixels& image, int width, int height, const std::string& pass_order) {
  if (image.ndim() != 3 || image.shape(2) != 3) throw py::value_error("image: expected uint8 [height, width, 3]");
  const PassOrder order = parse_pass_order(pass_order);
  const ImageView view{image.data(), static_cast<int>(image.shape(1)), static_cast<int>(image.shape(0)),
                       static_cast<std::size_t>(image.shape(1)) * kChannels};
  RgbImage out;
  Status status;
  {
    const py::gil_scoped_release released;  // `image` and `view` stay valid: the argument holds the array
    status = resize_rgb(view, width, height, order, out);
  }
  raise_unless_ok(status, "resize to " + std::to_string(width) + " x " + std::to_string(height));
  py::array_t<std::uint8_t> result({out.height(), out.width(), 3});
  std::memcpy(result.mutable_data(), out.data(), out.stride() * static_cast<std::size_t>(out.height()));
  return result;
}

void set_simd(const std::string& name) {
  if (choose_kernels(name)) return;
  std::string usable = "auto";
  for (const std::string_view known : usable_kernels()) usable += ", " + std::string(known);
  throw py::value_error("simd: '" + name + "' given, this processor has " + usable);
}

py::list simd_names() {
  py::list names;
  for (const std::string_view name : usable_kernels()) names.append(std::string(name));
  return names;
}

}  // namespace

PassOrder parse_pass_order(const std::string& name) {
  if (name == "pillow11") return PassOrder::kPillow11;
  if (name == "pillow13") return PassOrder::kPillow13;
  throw py::value_error("pass_order: '" + name + "' given, expected 'pillow11' or 'pillow13'");
}

void register_resample(py::module_& m) {
  m.def("resize_rgb", &resize, py::arg("image").noconvert(), py::arg("width"), py::arg("height"),
        py::arg("pass_order") = "pillow11", "Bicubic antialiased resize of uint8 [H, W, 3], equal to Pillow's.");
  m.def("set_simd", &set_simd, py::arg("name"), "For tests: force the instruction set of resampling, or 'auto'.");
  m.def("simd_names", &simd_names, "Instruction sets that set_simd accepts on this processor, best first.");
}

}  // namespace veclip::bindings
