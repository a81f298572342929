// The op `power_angle` and the derivative of what it draws, packed.
#pragma once

#include "../arguments/power_angle.h"
#include "../math/counter.h"
#include "checks.h"
#include "tensors.h"

namespace hvae {

inline void check_power_angle(const char* op, const Tensor& k, int64_t m) {
  check_real(op, "k", k);
  STD_TORCH_CHECK(k.dim() == 1, op, ": k must be [rows]");
  STD_TORCH_CHECK(m >= 2 && m <= kMostDimensions, op, ": m must be from 2 to ", kMostDimensions,
                  ", not ", m);
}

struct PowerAngles {
  Tensor k, rng, theta;
  int64_t m, samples, shell;

  PowerAngles(const Tensor& given_k, int64_t given_m, const Tensor& given_rng,
              int64_t given_samples, int64_t given_shell)
      : m(given_m), samples(given_samples), shell(given_shell) {
    constexpr const char* op = "hvae::power_angle";
    check_power_angle(op, given_k, m);
    check_rng(op, given_rng);
    check_device(op, "rng", given_rng, "k", given_k);
    STD_TORCH_CHECK(samples >= 0, op, ": samples must not be negative");
    STD_TORCH_CHECK(shell >= 0 && shell < kShellIndices, op, ": shell must be from 0 to ",
                    kShellIndices - 1, ", not ", shell);
    k = made_contiguous(given_k);
    rng = made_contiguous(given_rng);
    theta = new_empty(k, {samples, k.size(0)});
  }

  template <class T>
  PowerAngleArguments<T> arguments() const {
    return {.rows = k.size(0),
            .samples = samples,
            .m = m,
            .shell = shell,
            .rng = rng.const_data_ptr<int64_t>(),
            .k = k.const_data_ptr<T>(),
            .theta = theta.mutable_data_ptr<T>(),
            .slope = nullptr};
  }
};

struct PowerAngleSlopes {
  Tensor k, theta, slope;
  int64_t m;

  PowerAngleSlopes(const Tensor& given_k, const Tensor& given_theta, int64_t given_m) : m(given_m) {
    constexpr const char* op = "hvae::power_angle_slope";
    check_power_angle(op, given_k, m);
    check_like(op, "theta", given_theta, "k", given_k);
    STD_TORCH_CHECK(given_theta.dim() == 2 && given_theta.size(1) == given_k.size(0), op,
                    ": theta must be [samples, rows]");
    k = made_contiguous(given_k);
    theta = made_contiguous(given_theta);
    slope = torch::stable::empty_like(theta);
  }

  template <class T>
  PowerAngleArguments<T> arguments() const {
    return {.rows = k.size(0),
            .samples = theta.size(0),
            .m = m,
            .shell = 0,
            .rng = nullptr,
            .k = k.const_data_ptr<T>(),
            .theta = theta.mutable_data_ptr<T>(),
            .slope = slope.mutable_data_ptr<T>()};
  }
};

}  // namespace hvae
