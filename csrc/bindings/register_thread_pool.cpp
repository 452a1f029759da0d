#include <pybind11/pybind11.h>

#include <memory>
#include <string>

#include "bindings/register.hpp"
#include "core/thread_pool.hpp"

namespace py = pybind11;

namespace veclip::bindings {

namespace {

constexpr int kMostThreads = 1024;  // far above any machine; catches a mistaken argument before it starts threads

std::unique_ptr<ThreadPool> make_pool(int threads) {
  if (threads < 1 || threads > kMostThreads) {
    throw py::value_error("threads: " + std::to_string(threads) + " given, expected 1 to " +
                          std::to_string(kMostThreads));
  }
  return std::make_unique<ThreadPool>(static_cast<std::size_t>(threads));
}

}  // namespace

void register_thread_pool(py::module_& m) {
  py::class_<ThreadPool>(m, "ThreadPool", "Threads for batch calls; the calling thread counts as one. Safe after fork.")
      .def(py::init(&make_pool), py::arg("threads"))
      .def_property_readonly("threads", &ThreadPool::threads)
      .def("__repr__", [](const ThreadPool& self) { return "ThreadPool(" + std::to_string(self.threads()) + ")"; });
}

}  // namespace veclip::bindings
