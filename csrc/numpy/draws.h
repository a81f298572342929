// What a draw is made of, over arrays: the random stream, Wood's proposal, the change of the angle
// in the concentration.
#pragma once

#include <cmath>
#include <vector>

#include "../math/implicit.h"
#include "../math/power_angle.h"
#include "../math/vmf.h"
#include "../math/wood.h"
#include "arrays.h"

namespace hvae {

inline py::array_t<uint32_t> philox_arrays(
    py::array_t<uint32_t, py::array::c_style | py::array::forcecast> counter, uint64_t key) {
  if (counter.ndim() < 1 || counter.shape(counter.ndim() - 1) != 4)
    throw std::invalid_argument("counter must be [..., 4]");
  py::array_t<uint32_t> words(
      std::vector<py::ssize_t>(counter.shape(), counter.shape() + counter.ndim()));
  const uint32_t* c = counter.data();
  uint32_t* w = words.mutable_data();
  for (py::ssize_t i = 0; i < counter.size(); i += 4) {
    const auto block =
        philox<uint32_t>(c[i], c[i + 1], c[i + 2], c[i + 3], uint32_t(key), uint32_t(key >> 32));
    for (int j = 0; j < 4; ++j) w[i + j] = block.w[j];
  }
  return words;
}

template <class T>
Proposal<T> proposal_of(T m, T k, uint64_t n1, uint64_t n2) {
  return Wood<T>(k, m).propose(Word<T>(n1), Word<T>(n2));
}

template <class T>
py::tuple proposal_arrays(py::array_t<T> m, py::array_t<T> k, py::array_t<uint64_t> n1,
                          py::array_t<uint64_t> n2) {
  auto eps = [](T dimension, T concentration, uint64_t first, uint64_t second) {
    return proposal_of(dimension, concentration, first, second).eps;
  };
  auto rest = [](T dimension, T concentration, uint64_t first, uint64_t second) {
    return proposal_of(dimension, concentration, first, second).one_minus_eps;
  };
  return py::make_tuple(py::vectorize(eps)(m, k, n1, n2), py::vectorize(rest)(m, k, n1, n2));
}

template <class T>
py::object slope_arrays(py::array_t<T> m, py::array_t<T> theta, py::array_t<T> k,
                        const std::string& kind) {
  if (kind != "implicit" && kind != "naive") refuse("kind", kind, "implicit, naive");
  const bool implicit = kind == "implicit";
  auto each = [implicit](T dimension, T angle, T concentration) {
    if (!implicit) return naive_slope<T>(dimension, std::sin(angle), concentration);
    const FreeOrder<T> order(dimension / 2 - 1);
    const T rest = evaluate<Quantity::kRatioComplement>(order, concentration).value;
    return implicit_slope<T>(dimension, angle, concentration, rest);
  };
  return py::vectorize(each)(m, theta, k);
}

template <class T>
py::object power_slope_arrays(py::array_t<T> m, py::array_t<T> theta, py::array_t<T> k) {
  return py::vectorize([](T dimension, T angle, T concentration) {
    return power_angle_slope<T>(dimension, angle, concentration);
  })(m, theta, k);
}

inline void bind_draws(py::module_& module) {
  module.def("philox", &philox_arrays, py::arg("counter"), py::arg("key"),
             "Philox4x32-10: uint32 counters [..., 4] and a 64-bit key to uint32 words [..., 4].");
  module.def(
      "proposal",
      [](py::object m, py::object kappa, py::array_t<uint64_t> n1, py::array_t<uint64_t> n2) {
        return with_precision(kappa, [&]<class T>(T) {
          return proposal_arrays<T>(m.cast<py::array_t<T>>(), kappa.cast<py::array_t<T>>(), n1, n2);
        });
      },
      py::arg("m"), py::arg("kappa"), py::arg("n1"), py::arg("n2"),
      "Wood's proposal (eps, 1 - eps) from two random integers of 31 (float32) or 52 (float64) "
      "bits.");
  module.def(
      "dtheta_dkappa",
      [](py::object m, py::object theta, py::object kappa, const std::string& kind) {
        return with_precision(theta, [&]<class T>(T) {
          return slope_arrays<T>(m.cast<py::array_t<T>>(), theta.cast<py::array_t<T>>(),
                                 kappa.cast<py::array_t<T>>(), kind);
        });
      },
      py::arg("m"), py::arg("theta"), py::arg("kappa"), py::arg("kind") = "implicit",
      "The derivative of a draw's angle in kappa: implicit (unbiased) or naive (Davidson et al. "
      "2018).");
  module.def(
      "power_angle_slope",
      [](py::object m, py::object theta, py::object k) {
        return with_precision(theta, [&]<class T>(T) {
          return power_slope_arrays<T>(m.cast<py::array_t<T>>(), theta.cast<py::array_t<T>>(),
                                       k.cast<py::array_t<T>>());
        });
      },
      py::arg("m"), py::arg("theta"), py::arg("k"),
      "The derivative of the angle of a Power Spherical draw in its concentration.");
}

}  // namespace hvae
