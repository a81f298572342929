// The scalar mathematics over NumPy arrays: each function in each zone by name, the cutoffs, and
// the random stream.
//
// The order is free in every element, so this is also the form that the GPU runs, tested without
// one.
#include <pybind11/numpy.h>
#include <pybind11/pybind11.h>

#include <stdexcept>
#include <string>

#include "implicit.h"
#include "vmf.h"
#include "wood.h"

namespace py = pybind11;

namespace {

constexpr const char* kNames[] = {"L",  "k_minus_L", "A",      "one_minus_A", "dA",
                                  "KL", "dKL",       "log_iv", "log_ive"};

int quantity_named(const std::string& name) {
  std::string allowed;
  for (int q = 0; q < int(hvae::Quantity::kCount); ++q) {
    if (name == kNames[q]) return q;
    allowed += (q ? ", " : "") + std::string(kNames[q]);
  }
  throw std::invalid_argument("quantity '" + name + "' is unknown; allowed: " + allowed);
}

enum class Zone { kAuto, kUniform, kSeries };

Zone zone_named(const std::string& name) {
  if (name == "auto") return Zone::kAuto;
  if (name == "uniform") return Zone::kUniform;
  if (name == "series") return Zone::kSeries;
  throw std::invalid_argument("zone '" + name + "' is unknown; allowed: auto, uniform, series");
}

template <hvae::Quantity kQuantity, class T>
T value_of(T nu, T k, Zone zone) {
  if (!(nu >= T(0))) return std::numeric_limits<T>::quiet_NaN();
  const hvae::FreeOrder<T> order(nu);
  switch (zone) {
    case Zone::kUniform:
      return hvae::evaluate_zone<kQuantity, true>(order, k).value;
    case Zone::kSeries:
      return hvae::evaluate_zone<kQuantity, false>(order, k).value;
    default:
      return hvae::evaluate<kQuantity>(order, k).value;
  }
}

template <class T, int... kQuantities>
T dispatch(int quantity, T nu, T k, Zone zone, std::integer_sequence<int, kQuantities...>) {
  T result = 0;
  ((quantity == kQuantities
        ? void(result = value_of<static_cast<hvae::Quantity>(kQuantities)>(nu, k, zone))
        : void()),
   ...);
  return result;
}

template <class T>
py::object evaluate_arrays(const std::string& quantity, py::array_t<T> nu, py::array_t<T> k,
                           const std::string& zone) {
  const int q = quantity_named(quantity);
  const Zone z = zone_named(zone);
  auto each = [q, z](T order, T argument) {
    return dispatch(q, order, argument, z,
                    std::make_integer_sequence<int, int(hvae::Quantity::kCount)>());
  };
  return py::vectorize(each)(nu, k);
}

template <class T>
py::object zone_arrays(py::array_t<T> nu, py::array_t<T> k) {
  return py::vectorize(
      [](T order, T argument) { return argument >= hvae::uniform_from(order) ? 0 : 1; })(nu, k);
}

template <class T>
py::object cut_arrays(py::array_t<T> nu) {
  return py::vectorize([](T order) { return hvae::uniform_from(order); })(nu);
}

template <class T>
py::object slope_arrays(py::array_t<T> m, py::array_t<T> theta, py::array_t<T> k,
                        const std::string& kind) {
  if (kind != "implicit" && kind != "naive")
    throw std::invalid_argument("kind '" + kind + "' is unknown; allowed: implicit, naive");
  const bool implicit = kind == "implicit";
  auto each = [implicit](T dimension, T angle, T concentration) {
    if (!implicit) return hvae::naive_slope<T>(dimension, std::sin(angle), concentration);
    const hvae::FreeOrder<T> order(dimension / 2 - 1);
    const T rest = hvae::evaluate<hvae::Quantity::kRatioComplement>(order, concentration).value;
    return hvae::implicit_slope<T>(dimension, angle, concentration, rest);
  };
  return py::vectorize(each)(m, theta, k);
}

// A Python float or integer, or a float64 array, means double; a float32 array means float.
bool is_single(const py::handle& x) { return py::isinstance<py::array_t<float>>(x); }

template <class Work>
py::object with_precision(const py::handle& x, const Work& work) {
  return is_single(x) ? work(float()) : work(double());
}

py::array_t<uint32_t> philox(
    py::array_t<uint32_t, py::array::c_style | py::array::forcecast> counter, uint64_t key) {
  if (counter.ndim() < 1 || counter.shape(counter.ndim() - 1) != 4)
    throw std::invalid_argument("counter must be [..., 4]");
  py::array_t<uint32_t> words(
      std::vector<py::ssize_t>(counter.shape(), counter.shape() + counter.ndim()));
  const uint32_t* c = counter.data();
  uint32_t* w = words.mutable_data();
  for (py::ssize_t i = 0; i < counter.size(); i += 4) {
    const auto block = hvae::philox<uint32_t>(c[i], c[i + 1], c[i + 2], c[i + 3], uint32_t(key),
                                              uint32_t(key >> 32));
    for (int j = 0; j < 4; ++j) w[i + j] = block.w[j];
  }
  return words;
}

template <class T>
py::tuple proposal_arrays(py::array_t<T> m, py::array_t<T> k, py::array_t<uint64_t> n1,
                          py::array_t<uint64_t> n2) {
  auto eps = [](T dimension, T concentration, uint64_t first, uint64_t second) {
    return hvae::Wood<T>(concentration, dimension)
        .propose(hvae::Word<T>(first), hvae::Word<T>(second))
        .eps;
  };
  auto rest = [](T dimension, T concentration, uint64_t first, uint64_t second) {
    return hvae::Wood<T>(concentration, dimension)
        .propose(hvae::Word<T>(first), hvae::Word<T>(second))
        .one_minus_eps;
  };
  return py::make_tuple(py::vectorize(eps)(m, k, n1, n2), py::vectorize(rest)(m, k, n1, n2));
}

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
  throw std::invalid_argument(
      "function '" + name +
      "' is unknown; allowed: log, log1p, exp, expm1, atan, log_gamma_1p, sin, cos");
}

}  // namespace

PYBIND11_MODULE(_math, module) {
  module.doc() =
      "The scalar mathematics of the kernels over NumPy arrays. Arrays broadcast; float32 arrays "
      "are computed in float32, "
      "everything else in float64. Orders are nu = m/2 - 1, m the ambient dimension.";
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
      "kappa >= 0; NaN outside. "
      "zone: auto, uniform or series, whether or not the zone holds there. The dtype of kappa "
      "decides the precision.");
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
  module.def("philox", &philox, py::arg("counter"), py::arg("key"),
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
      "elementary",
      [](const std::string& name, py::object x) {
        return with_precision(
            x, [&]<class T>(T) { return elementary_arrays<T>(name, x.cast<py::array_t<T>>()); });
      },
      py::arg("name"), py::arg("x"),
      "An elementary function of the kernels: log, log1p, exp, expm1, atan, log_gamma_1p, sin, "
      "cos.");
}
