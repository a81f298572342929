// The elementary functions over arrays.
#pragma once

#include "../math/bessel.h"
#include "../math/elementary.h"
#include "arrays.h"

namespace hvae {

template <class T>
py::object elementary_arrays(const std::string& name, py::array_t<T> x) {
  if (name == "log") return py::vectorize([](T y) { return hvae::log(y); })(x);
  if (name == "log1p") return py::vectorize([](T y) { return hvae::log1p(y); })(x);
  if (name == "exp") return py::vectorize([](T y) { return hvae::exp(y); })(x);
  if (name == "expm1") return py::vectorize([](T y) { return hvae::expm1(y); })(x);
  if (name == "atan") return py::vectorize([](T y) { return hvae::arc_tangent(y, T(1)); })(x);
  if (name == "log_gamma_1p") return py::vectorize([](T y) { return hvae::log_gamma_1p(y); })(x);
  if (name == "sin" || name == "cos") {
    const bool sine = name == "sin";
    return py::vectorize([sine](T y) {
      T s, c;
      hvae::sine_cosine(y, s, c);
      return sine ? s : c;
    })(x);
  }
  refuse("function", name, "log, log1p, exp, expm1, atan, log_gamma_1p, sin, cos");
}

inline void bind_elementary(py::module_& module) {
  module.def(
      "elementary",
      [](const std::string& name, py::object x) {
        return with_precision(
            x, [&]<class T>(T) { return elementary_arrays<T>(name, x.cast<py::array_t<T>>()); });
      },
      py::arg("name"), py::arg("x"),
      "An elementary function of the kernels: log, log1p, exp, expm1, atan, log_gamma_1p, sin, "
      "cos.");
}

}  // namespace hvae
