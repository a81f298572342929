// What every function of the module does with its arguments.
#pragma once

#include <pybind11/numpy.h>
#include <pybind11/pybind11.h>

#include <stdexcept>
#include <string>

namespace hvae {

namespace py = pybind11;

// A Python float or integer, or a float64 array, means double; a float32 array means float.
inline bool is_float32(const py::handle& x) { return py::isinstance<py::array_t<float>>(x); }

// Calls work with a float or a double, as x is.
template <class Work>
py::object with_precision(const py::handle& x, const Work& work) {
  return is_float32(x) ? work(float()) : work(double());
}

// The refusal of a name: what it names, itself, and the names that are allowed.
[[noreturn]] inline void refuse(const std::string& what, const std::string& name,
                                const std::string& allowed) {
  throw std::invalid_argument(what + " '" + name + "' is unknown; allowed: " + allowed);
}

}  // namespace hvae
