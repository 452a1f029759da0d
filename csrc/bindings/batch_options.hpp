// What batch calls are asked for, as Python words it, and what the core makes of it.
#pragma once

#include <pybind11/numpy.h>

#include <string>

#include "image/batch.hpp"

namespace veclip::bindings {

using Triple = std::array<double, kChannels>;

struct BatchOptions {
  std::string dtype;
  std::string layout;
  Triple mean;
  Triple std;
  std::string pass_order;
  Limits limits;
  std::string transform = "exact";
  std::string fit = "torchvision";
  int shorter = 0;
  std::string filter = "bicubic";
};

// All raise ValueError or TypeError, before the GIL is released: the core writes where `out` says.
PixelTables make_tables(const BatchOptions& options);
BatchSpec make_spec(const BatchOptions& options, const PixelTables& tables, const pybind11::array& out,
                    std::size_t images);

}  // namespace veclip::bindings
