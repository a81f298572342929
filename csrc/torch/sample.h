// The op `sample` and its gradient, packed: one draw of every shell of every row.
#pragma once

#include <tuple>
#include <vector>

#include "../arguments/sample.h"
#include "checks.h"
#include "shells.h"
#include "tensors.h"

namespace hvae {

struct Sample {
  PackedShells packed;
  Tensor raw, k, rng, z, v, theta, kl, kl_slope;
  int64_t rows, samples;

  Sample(const Tensor& given_raw, const Tensor& given_k, const std::vector<int64_t>& dims,
         const Tensor& given_rng, int64_t given_samples, int64_t shell,
         const char* op = "hvae::sample")
      : packed(op, dims, shell), samples(given_samples) {
    const int64_t count = packed.count();
    check_real(op, "raw_directions", given_raw);
    check_like(op, "kappa", given_k, "raw_directions", given_raw);
    check_rng(op, given_rng);
    check_device(op, "rng", given_rng, "raw_directions", given_raw);
    STD_TORCH_CHECK(given_raw.dim() == 2 && given_raw.size(1) == packed.width, op,
                    ": raw_directions must be [rows, ", packed.width, "], the sum of dims");
    STD_TORCH_CHECK(
        given_k.dim() == 2 && given_k.size(0) == given_raw.size(0) && given_k.size(1) == count, op,
        ": kappa must be [rows, ", count, "], one concentration a shell");
    STD_TORCH_CHECK(samples >= 1, op, ": samples must be at least 1, not ", samples);
    raw = with_contiguous_rows(given_raw);
    k = given_k;
    rng = made_contiguous(given_rng);
    rows = raw.size(0);
    z = new_empty(raw, {samples, rows, packed.width});
    v = new_empty(raw, {samples, rows, count});
    theta = new_empty(raw, {samples, rows, count});
    kl = new_empty(raw, {rows, count});
    kl_slope = new_empty(raw, {rows, count});
  }

  template <class T>
  SampleArguments<T> arguments() const {
    return {.shells = packed.shells(),
            .rows = rows,
            .samples = samples,
            .rng = rng.const_data_ptr<int64_t>(),
            .raw = raw.const_data_ptr<T>(),
            .raw_stride = raw.stride(0),
            .k = k.const_data_ptr<T>(),
            .k_row = k.stride(0),
            .k_column = k.stride(1),
            .mean = nullptr,
            .z = z.mutable_data_ptr<T>(),
            .v = v.mutable_data_ptr<T>(),
            .theta = theta.mutable_data_ptr<T>(),
            .kl = kl.mutable_data_ptr<T>(),
            .kl_slope = kl_slope.mutable_data_ptr<T>()};
  }

  std::tuple<Tensor, Tensor, Tensor, Tensor, Tensor> result() const {
    return {z, v, theta, kl, kl_slope};
  }
};

struct SampleBackward {
  PackedShells packed;
  Tensor grad_z, grad_kl, raw, k, theta, kl_slope, rng, grad_raw, grad_k;
  int64_t rows, samples, gradient;

  SampleBackward(const Tensor& given_grad_z, const Tensor& given_grad_kl, const Tensor& given_raw,
                 const Tensor& given_k, const Tensor& given_theta, const Tensor& given_kl_slope,
                 const std::vector<int64_t>& dims, const Tensor& given_rng, int64_t given_gradient,
                 int64_t shell, const char* op = "hvae::sample_backward")
      : packed(op, dims, shell), gradient(given_gradient) {
    const int64_t count = packed.count();
    check_real(op, "grad_z", given_grad_z);
    check_like(op, "grad_kl", given_grad_kl, "grad_z", given_grad_z);
    check_like(op, "raw_directions", given_raw, "grad_z", given_grad_z);
    check_like(op, "kappa", given_k, "grad_z", given_grad_z);
    check_like(op, "theta", given_theta, "grad_z", given_grad_z);
    check_like(op, "kl_slope", given_kl_slope, "grad_z", given_grad_z);
    check_rng(op, given_rng);
    check_device(op, "rng", given_rng, "grad_z", given_grad_z);
    STD_TORCH_CHECK(given_raw.dim() == 2 && given_raw.size(1) == packed.width, op,
                    ": raw_directions must be [rows, ", packed.width, "], the sum of dims");
    rows = given_raw.size(0);
    STD_TORCH_CHECK(given_grad_z.dim() == 3 && given_grad_z.size(1) == rows &&
                        given_grad_z.size(2) == packed.width,
                    op, ": grad_z must be [samples, rows, sum of dims]");
    samples = given_grad_z.size(0);
    STD_TORCH_CHECK(given_k.dim() == 2 && given_k.size(0) == rows && given_k.size(1) == count, op,
                    ": kappa must be [rows, shells]");
    STD_TORCH_CHECK(
        given_theta.numel() == samples * rows * count && given_kl_slope.numel() == rows * count &&
            given_grad_kl.numel() == rows * count,
        op, ": theta must be [samples, rows, shells], kl_slope and grad_kl [rows, shells]");
    STD_TORCH_CHECK(
        gradient == int64_t(AngleGradient::kImplicit) || gradient == int64_t(AngleGradient::kNaive),
        op, ": no gradient has number ", gradient);
    grad_z = made_contiguous(given_grad_z);
    grad_kl = made_contiguous(given_grad_kl);
    raw = with_contiguous_rows(given_raw);
    k = given_k;
    theta = made_contiguous(given_theta);
    kl_slope = made_contiguous(given_kl_slope);
    rng = made_contiguous(given_rng);
    grad_raw = new_empty(raw, {rows, packed.width});
    grad_k = new_empty(raw, {rows, count});
  }

  template <class T>
  SampleBackwardArguments<T> arguments() const {
    return {.shells = packed.shells(),
            .rows = rows,
            .samples = samples,
            .gradient = static_cast<AngleGradient>(gradient),
            .rng = rng.const_data_ptr<int64_t>(),
            .raw = raw.const_data_ptr<T>(),
            .raw_stride = raw.stride(0),
            .k = k.const_data_ptr<T>(),
            .k_row = k.stride(0),
            .k_column = k.stride(1),
            .theta = theta.const_data_ptr<T>(),
            .kl_slope = kl_slope.const_data_ptr<T>(),
            .grad_z = grad_z.const_data_ptr<T>(),
            .grad_kl = grad_kl.const_data_ptr<T>(),
            .grad_raw = grad_raw.mutable_data_ptr<T>(),
            .grad_k = grad_k.mutable_data_ptr<T>()};
  }
};

}  // namespace hvae
