#include <pybind11/numpy.h>
#include <pybind11/pybind11.h>
#include <pybind11/stl.h>

#include <cmath>
#include <string>

#include "bindings/register.hpp"
#include "core/philox.hpp"
#include "image/crop.hpp"

namespace py = pybind11;

namespace veclip::bindings {

namespace {

template <typename T>
using Array = py::array_t<T, py::array::c_style>;
using Pair = std::pair<double, double>;

Array<std::uint32_t> philox(const Array<std::uint32_t>& counter, const Array<std::uint32_t>& key) {
  if (counter.ndim() != 2 || counter.shape(1) != 4) throw py::value_error("counter: expected uint32 [N, 4]");
  if (key.ndim() != 1 || key.shape(0) != 2) throw py::value_error("key: expected uint32 [2]");
  Array<std::uint32_t> out({counter.shape(0), py::ssize_t{4}});
  for (py::ssize_t i = 0; i < counter.shape(0); ++i) {
    const std::uint32_t* const in = counter.data(i, 0);
    const PhiloxCounter words = philox4x32({in[0], in[1], in[2], in[3]}, {key.at(0), key.at(1)});
    std::copy(words.begin(), words.end(), out.mutable_data(i, 0));
  }
  return out;
}

Range checked_range(const std::string& name, const Pair& pair) {
  if (std::isfinite(pair.second) && 0 < pair.first && pair.first <= pair.second) return {pair.first, pair.second};
  throw py::value_error(name + ": (" + std::to_string(pair.first) + ", " + std::to_string(pair.second) +
                        ") given, expected 0 < low <= high");
}

template <typename T>
void check_length(const std::string& name, const Array<T>& array, py::ssize_t n) {
  if (array.ndim() != 1 || array.shape(0) != n) {
    throw py::value_error(name + ": expected one dimension of " + std::to_string(n) + " items, as widths has");
  }
}

Array<std::int32_t> crop_boxes(const Array<std::int32_t>& widths, const Array<std::int32_t>& heights,
                               const Array<std::uint64_t>& key_hash, std::uint64_t seed, std::uint32_t epoch,
                               const Pair& scale, const Pair& ratio) {
  const CropLaw law{checked_range("scale", scale), checked_range("ratio", ratio)};
  const py::ssize_t n = widths.size();
  check_length("widths", widths, n);
  check_length("heights", heights, n);
  check_length("key_hash", key_hash, n);
  Array<std::int32_t> out({n, py::ssize_t{4}});
  for (py::ssize_t i = 0; i < n; ++i) {
    const DrawKey key{key_hash.at(i), seed, epoch};
    const Box box = random_resized_crop(widths.at(i), heights.at(i), key, law);
    std::int32_t* const row = out.mutable_data(i, 0);
    row[0] = box.left;
    row[1] = box.top;
    row[2] = box.width;
    row[3] = box.height;
  }
  return out;
}

}  // namespace

void register_draws(py::module_& m) {
  m.def("philox4x32", &philox, py::arg("counter").noconvert(), py::arg("key").noconvert(),
        "Philox4x32-10: counter uint32 [N, 4], key uint32 [2] -> uint32 [N, 4].");
  m.def("crop_boxes", &crop_boxes, py::arg("widths").noconvert(), py::arg("heights").noconvert(),
        py::arg("key_hash").noconvert(), py::kw_only(), py::arg("seed"), py::arg("epoch"),
        py::arg("scale") = Pair{0.9, 1.0}, py::arg("ratio") = Pair{3.0 / 4.0, 4.0 / 3.0},
        "RandomResizedCrop boxes int32 [N, 4] (left, top, width, height); a size below 1 gives an empty box.");
}

}  // namespace veclip::bindings
