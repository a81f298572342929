// The quantities of vmf.h over arrays, and the zones that they are computed in.
#pragma once

#include "../math/vmf.h"
#include "arrays.h"

namespace hvae {

// In the order of Quantity.
constexpr const char* kQuantityNames[] = {"L",  "k_minus_L", "A",      "one_minus_A", "dA",
                                          "KL", "dKL",       "log_iv", "log_ive"};
static_assert(std::size(kQuantityNames) == size_t(Quantity::kCount));

inline int quantity_named(const std::string& name) {
  std::string allowed;
  for (int q = 0; q < int(Quantity::kCount); ++q) {
    if (name == kQuantityNames[q]) return q;
    allowed += (q ? ", " : "") + std::string(kQuantityNames[q]);
  }
  refuse("quantity", name, allowed);
}

enum class Zone { kAuto, kUniform, kSeries };

inline Zone zone_named(const std::string& name) {
  if (name == "auto") return Zone::kAuto;
  if (name == "uniform") return Zone::kUniform;
  if (name == "series") return Zone::kSeries;
  refuse("zone", name, "auto, uniform, series");
}

template <Quantity kQuantity, class T>
T value_of(T nu, T k, Zone zone) {
  if (!(nu >= T(0))) return std::numeric_limits<T>::quiet_NaN();
  const FreeOrder<T> order(nu);
  switch (zone) {
    case Zone::kUniform:
      return evaluate_zone<kQuantity, true>(order, k).value;
    case Zone::kSeries:
      return evaluate_zone<kQuantity, false>(order, k).value;
    default:
      return evaluate<kQuantity>(order, k).value;
  }
}

template <class T>
py::object evaluate_arrays(const std::string& quantity, py::array_t<T> nu, py::array_t<T> k,
                           const std::string& zone) {
  const int q = quantity_named(quantity);
  const Zone z = zone_named(zone);
  auto each = [q, z](T order, T argument) {
    T value = 0;
    with_quantity(q,
                  [&]<Quantity kQuantity>() { value = value_of<kQuantity>(order, argument, z); });
    return value;
  };
  return py::vectorize(each)(nu, k);
}

template <class T>
py::object zone_arrays(py::array_t<T> nu, py::array_t<T> k) {
  return py::vectorize([](T order, T argument) { return argument >= uniform_from(order) ? 0 : 1; })(
      nu, k);
}

template <class T>
py::object cut_arrays(py::array_t<T> nu) {
  return py::vectorize([](T order) { return uniform_from(order); })(nu);
}

inline void bind_quantities(py::module_& module) {
  module.def(
      "evaluate",
      [](const std::string& quantity, py::object nu, py::object kappa, const std::string& zone) {
        return with_precision(kappa, [&]<class T>(T) {
          return evaluate_arrays<T>(quantity, nu.cast<py::array_t<T>>(),
                                    kappa.cast<py::array_t<T>>(), zone);
        });
      },
      py::arg("quantity"), py::arg("nu"), py::arg("kappa"), py::arg("zone") = "auto",
      "A quantity (L, k_minus_L, A, one_minus_A, dA, KL, dKL, log_iv, log_ive) of order nu >= 0 at "
      "kappa >= 0; NaN outside. zone: auto, uniform or series, whether or not the zone holds "
      "there. The dtype of kappa decides the precision.");
  module.def(
      "zone",
      [](py::object nu, py::object kappa) {
        return with_precision(kappa, [&]<class T>(T) {
          return zone_arrays<T>(nu.cast<py::array_t<T>>(), kappa.cast<py::array_t<T>>());
        });
      },
      py::arg("nu"), py::arg("kappa"),
      "0 where the uniform expansion is used, 1 where the power series is.");
  module.def(
      "cut",
      [](py::object nu) {
        return with_precision(nu,
                              [&]<class T>(T) { return cut_arrays<T>(nu.cast<py::array_t<T>>()); });
      },
      py::arg("nu"), "The least kappa at which the uniform expansion is used.");
}

}  // namespace hvae
