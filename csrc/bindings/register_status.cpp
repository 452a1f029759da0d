#include <pybind11/native_enum.h>
#include <pybind11/pybind11.h>

#include "bindings/errors.hpp"
#include "bindings/register.hpp"

namespace py = pybind11;

namespace veclip::bindings {

namespace {

// Leaked on purpose: it must outlive every call, and the interpreter's end is no place to release it.
PyObject* native_error = nullptr;

std::string upper(std::string_view name) {
  std::string out(name);
  for (char& c : out) c = (c >= 'a' && c <= 'z') ? static_cast<char>(c - 'a' + 'A') : c;
  return out;
}

}  // namespace

void raise_unless_ok(Status status, const std::string& detail) {
  if (status == Status::kOk) return;
  const StatusEntry& entry = describe(status);
  std::string message = std::string(entry.name) + ": " + std::string(entry.sentence);
  if (!detail.empty()) message += " (" + detail + ")";
  py::object error = py::reinterpret_borrow<py::object>(native_error)(message);
  error.attr("status") = py::cast(status);
  error.attr("name") = std::string(entry.name);
  PyErr_SetObject(native_error, error.ptr());
  throw py::error_already_set();
}

void register_status(py::module_& m) {
  py::native_enum<Status> status(m, "Status", "enum.IntEnum", "Outcome of a native call, per image or per call.");
  for (const StatusEntry& entry : kStatusTable) status.value(upper(entry.name).c_str(), entry.status);
  status.finalize();
  native_error = PyErr_NewExceptionWithDoc(
      "engine.native.NativeError", "A native call failed; `status` and `name` say how.", PyExc_RuntimeError, nullptr);
  m.attr("NativeError") = py::reinterpret_borrow<py::object>(native_error);
  m.def(
      "status_sentence", [](Status s) { return std::string(describe(s).sentence); }, py::arg("status"),
      "The sentence that explains a status.");
}

}  // namespace veclip::bindings
