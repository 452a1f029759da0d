#include <pybind11/numpy.h>
#include <pybind11/pybind11.h>

#include <cstring>
#include <string>

#include "bindings/errors.hpp"
#include "bindings/register.hpp"
#include "bindings/spans.hpp"
#include "image/decode.hpp"
#include "image/jpeg_choice.hpp"
#include "image/jpeg_frame.hpp"
#include "image/probe.hpp"

namespace py = pybind11;

namespace veclip::bindings {

namespace {

const char* format_name(ImageFormat format) {
  switch (format) {
    case ImageFormat::kJpeg:
      return "jpeg";
    case ImageFormat::kPng:
      return "png";
    case ImageFormat::kWebp:
      return "webp";
  }
  return "";
}

ImageInfo probe_bytes(const py::buffer& data, const Limits& limits) {
  const ByteSpans held = to_spans(py::make_tuple(data));
  ImageInfo info;
  raise_unless_ok(probe(held[0], limits, info));
  return info;
}

py::array_t<std::uint8_t> decode_bytes(const py::buffer& data, const Limits& limits) {
  const ByteSpans held = to_spans(py::make_tuple(data));
  JpegScratch scratch;
  RgbImage image;
  Status status;
  {
    py::gil_scoped_release release;  // `held` keeps the bytes alive
    status = decode_rgb(held[0], limits, scratch, image);
  }
  raise_unless_ok(status);
  py::array_t<std::uint8_t> out({image.height(), image.width(), static_cast<int>(kChannels)});
  std::memcpy(out.mutable_data(), image.data(), image.stride() * static_cast<std::size_t>(image.height()));
  return out;
}

py::array_t<std::int32_t> plain_jpegs(const py::object& images, const Limits& limits) {
  const ByteSpans spans = to_spans(images);
  py::array_t<std::int32_t> out({static_cast<py::ssize_t>(spans.size()), py::ssize_t{2}});
  std::int32_t* const sizes = out.mutable_data();
  py::gil_scoped_release release;
  for (std::size_t i = 0; i < spans.size(); ++i) {
    const JpegSize size = plain_jpeg(spans[i], limits).value_or(JpegSize{0, 0});
    sizes[2 * i] = size.width;
    sizes[2 * i + 1] = size.height;
  }
  return out;
}

void set_jpeg(const std::string& name) {
  if (choose_jpeg(name)) return;
  throw py::value_error("jpeg: '" + name + "' given, expected 'auto', 'own' or 'library'");
}

void register_limits(py::module_& m) {
  const Limits defaults;
  py::class_<Limits>(m, "Limits", "What a file may announce before memory is taken for it.")
      .def(py::init([](std::int64_t max_pixels, int max_side, std::int64_t max_bytes) {
             return Limits{max_pixels, max_side, max_bytes};
           }),
           py::arg("max_pixels") = defaults.max_pixels, py::arg("max_side") = defaults.max_side,
           py::arg("max_bytes") = defaults.max_bytes)
      .def_readonly("max_pixels", &Limits::max_pixels)
      .def_readonly("max_side", &Limits::max_side)
      .def_readonly("max_bytes", &Limits::max_bytes);
}

}  // namespace

void register_decode(py::module_& m) {
  register_limits(m);
  py::class_<ImageInfo>(m, "ImageInfo", "What an image file's header says.")
      .def_property_readonly("format", [](const ImageInfo& info) { return format_name(info.format); })
      .def_readonly("width", &ImageInfo::width)
      .def_readonly("height", &ImageInfo::height)
      .def_readonly("progressive", &ImageInfo::progressive);
  m.def("probe", &probe_bytes, py::arg("data"), py::arg("limits") = Limits(),
        "Format and size of an image file from its header; raises NativeError.");
  m.def("decode_rgb", &decode_bytes, py::arg("data"), py::arg("limits") = Limits(),
        "Pixels as uint8 [height, width, 3], equal to Pillow's convert(\"RGB\"); raises NativeError.");
  m.def("plain_jpegs", &plain_jpegs, py::arg("images"), py::arg("limits") = Limits(),
        "int32 [N, 2]: width and height of every JPEG file that any decoder reads alike, by its headers and its last "
        "two bytes: Huffman-coded, 8 bits, grey or YCbCr, sequential or progressive; (0, 0) for all else.");
  m.def("set_jpeg", &set_jpeg, py::arg("name"),
        "Who decodes JPEG: 'auto' (our decoder where it gives the same pixels), 'library' (libjpeg-turbo alone) or, "
        "for tests, 'own' (ours alone; what it leaves to the library is unsupported_variant).");
}

}  // namespace veclip::bindings
