// What the CPU and the GPU code share of the tensor side: checks of shapes, types and devices
// (never of values), and the packing of tensors into the arguments of kernels.h.
#pragma once

#include <torch/csrc/stable/library.h>
#include <torch/csrc/stable/ops.h>
#include <torch/csrc/stable/tensor.h>
#include <torch/headeronly/core/ScalarType.h>

#include <initializer_list>
#include <tuple>
#include <vector>

#include "kernels.h"

namespace hvae {

using torch::headeronly::ScalarType;
using torch::stable::Tensor;

// Ambient dimensions that the sampler takes: the tangent's normals must fit a shell's half of the
// counter.
constexpr int64_t kMostDimensions = 1 << 15;
constexpr int64_t kMostShells = 1 << 15;

inline bool is_real(const Tensor& t) {
  return t.scalar_type() == ScalarType::Float || t.scalar_type() == ScalarType::Double;
}

inline void check_real(const char* op, const char* name, const Tensor& t) {
  STD_TORCH_CHECK(is_real(t), op, ": ", name, " must be float32 or float64");
}

inline void check_like(const char* op, const char* name, const Tensor& t, const Tensor& first) {
  STD_TORCH_CHECK(t.scalar_type() == first.scalar_type(), op, ": ", name,
                  " must have the dtype of the first argument");
  STD_TORCH_CHECK(
      t.is_cuda() == first.is_cuda() && t.get_device_index() == first.get_device_index(), op, ": ",
      name, " must be on the device of the first argument");
}

inline void check_rng(const char* op, const Tensor& rng) {
  STD_TORCH_CHECK(rng.scalar_type() == ScalarType::Long && rng.dim() == 1 && rng.size(0) == 4, op,
                  ": rng must be an int64 tensor of 4 elements (key, step, row, sample)");
}

inline Tensor empty_like_with(const Tensor& like, std::initializer_list<int64_t> shape) {
  return torch::stable::new_empty(like, std::vector<int64_t>(shape));
}

inline Tensor made_contiguous(const Tensor& t) {
  return t.is_contiguous() ? t : torch::stable::contiguous(t);
}

// A matrix whose rows are contiguous, whatever their distance: a slice of a wider head is taken as
// it is.
inline Tensor with_contiguous_rows(const Tensor& t) {
  return t.size(1) <= 1 || t.stride(1) == 1 ? t : torch::stable::contiguous(t);
}

struct PackedShells {
  std::vector<int64_t> dims, offsets;
  int64_t width = 0;

  PackedShells(const char* op, const std::vector<int64_t>& given) : dims(given) {
    STD_TORCH_CHECK(!dims.empty() && int64_t(dims.size()) < kMostShells, op,
                    ": dims must name 1 to ", kMostShells - 1, " shells");
    for (int64_t m : dims) {
      STD_TORCH_CHECK(m >= 2 && m <= kMostDimensions, op,
                      ": a shell has an ambient dimension from 2 to ", kMostDimensions, ", not ",
                      m);
      offsets.push_back(width);
      width += m;
    }
  }

  Shells shells() const { return {int(dims.size()), width, dims.data(), offsets.data()}; }
};

// Calls work with a float or a double according to the tensor's type.
template <class Work>
auto with_type(const Tensor& t, const Work& work) {
  return t.scalar_type() == ScalarType::Double ? work(double()) : work(float());
}

struct Columns {
  Tensor k, value, slope;
  std::vector<double> orders;
  int64_t quantity;

  Columns(const Tensor& given, std::vector<double> given_orders, int64_t q)
      : orders(std::move(given_orders)), quantity(q) {
    check_real("hvae::columns", "k", given);
    STD_TORCH_CHECK(given.dim() >= 1 && given.size(given.dim() - 1) == int64_t(orders.size()),
                    "hvae::columns: the last dimension of k must have one element an order");
    k = made_contiguous(given);
    value = torch::stable::empty_like(k);
    slope = torch::stable::empty_like(k);
  }

  template <class T>
  ColumnsArguments<T> arguments() const {
    const int64_t columns = int64_t(orders.size());
    return {int(quantity),
            columns ? k.numel() / columns : 0,
            columns,
            orders.data(),
            k.const_data_ptr<T>(),
            value.mutable_data_ptr<T>(),
            slope.mutable_data_ptr<T>()};
  }
};

struct Elements {
  Tensor order, k, value, slope;
  int64_t quantity;

  Elements(const Tensor& given_order, const Tensor& given, int64_t q) : quantity(q) {
    check_real("hvae::elements", "k", given);
    check_like("hvae::elements", "order", given_order, given);
    STD_TORCH_CHECK(given_order.numel() == given.numel(),
                    "hvae::elements: order and k must have the same shape");
    order = made_contiguous(given_order);
    k = made_contiguous(given);
    value = torch::stable::empty_like(k);
    slope = torch::stable::empty_like(k);
  }

  template <class T>
  ElementsArguments<T> arguments() const {
    return {int(quantity),
            k.numel(),
            order.const_data_ptr<T>(),
            k.const_data_ptr<T>(),
            value.mutable_data_ptr<T>(),
            slope.mutable_data_ptr<T>()};
  }
};

struct Sample {
  PackedShells packed;
  Tensor head, k, rng, mean, z, v, theta, kl, kl_slope;
  int64_t rows, samples;

  Sample(const Tensor& given_head, const Tensor& given_k, const std::vector<int64_t>& dims,
         const Tensor& given_rng, int64_t given_samples)
      : packed("hvae::sample", dims), samples(given_samples) {
    constexpr const char* op = "hvae::sample";
    const int64_t count = int64_t(dims.size());
    check_real(op, "head", given_head);
    check_like(op, "kappa", given_k, given_head);
    check_rng(op, given_rng);
    STD_TORCH_CHECK(given_head.dim() == 2 && given_head.size(1) == packed.width, op,
                    ": head must be [rows, ", packed.width, "], the sum of dims");
    STD_TORCH_CHECK(
        given_k.dim() == 2 && given_k.size(0) == given_head.size(0) && given_k.size(1) == count, op,
        ": kappa must be [rows, ", count, "], one concentration a shell");
    STD_TORCH_CHECK(samples >= 1, op, ": samples must be at least 1, not ", samples);
    head = with_contiguous_rows(given_head);
    k = given_k;
    rng = made_contiguous(given_rng);
    rows = head.size(0);
    mean = empty_like_with(head, {rows, packed.width});
    z = empty_like_with(head, {samples, rows, packed.width});
    v = empty_like_with(head, {samples, rows, count});
    theta = empty_like_with(head, {samples, rows, count});
    kl = empty_like_with(head, {rows, count});
    kl_slope = empty_like_with(head, {rows, count});
  }

  template <class T>
  SampleArguments<T> arguments() const {
    return {packed.shells(),
            rows,
            samples,
            rng.const_data_ptr<int64_t>(),
            head.const_data_ptr<T>(),
            head.stride(0),
            k.const_data_ptr<T>(),
            k.stride(0),
            k.stride(1),
            mean.mutable_data_ptr<T>(),
            z.mutable_data_ptr<T>(),
            v.mutable_data_ptr<T>(),
            theta.mutable_data_ptr<T>(),
            kl.mutable_data_ptr<T>(),
            kl_slope.mutable_data_ptr<T>()};
  }

  std::tuple<Tensor, Tensor, Tensor, Tensor, Tensor> result() const {
    return {z, v, theta, kl, kl_slope};
  }
};

struct SampleBackward {
  PackedShells packed;
  Tensor grad_z, grad_kl, head, k, theta, kl_slope, rng, grad_head, grad_k;
  int64_t rows, samples, gradient;

  SampleBackward(const Tensor& given_grad_z, const Tensor& given_grad_kl, const Tensor& given_head,
                 const Tensor& given_k, const Tensor& given_theta, const Tensor& given_kl_slope,
                 const std::vector<int64_t>& dims, const Tensor& given_rng, int64_t given_gradient)
      : packed("hvae::sample_backward", dims), gradient(given_gradient) {
    constexpr const char* op = "hvae::sample_backward";
    const int64_t count = int64_t(dims.size());
    check_real(op, "grad_z", given_grad_z);
    check_like(op, "grad_kl", given_grad_kl, given_grad_z);
    check_like(op, "head", given_head, given_grad_z);
    check_like(op, "kappa", given_k, given_grad_z);
    check_like(op, "theta", given_theta, given_grad_z);
    check_like(op, "kl_slope", given_kl_slope, given_grad_z);
    check_rng(op, given_rng);
    STD_TORCH_CHECK(given_head.dim() == 2 && given_head.size(1) == packed.width, op,
                    ": head must be [rows, sum of dims]");
    rows = given_head.size(0);
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
    grad_z = made_contiguous(given_grad_z);
    grad_kl = made_contiguous(given_grad_kl);
    head = with_contiguous_rows(given_head);
    k = given_k;
    theta = made_contiguous(given_theta);
    kl_slope = made_contiguous(given_kl_slope);
    rng = made_contiguous(given_rng);
    grad_head = empty_like_with(head, {rows, packed.width});
    grad_k = empty_like_with(head, {rows, count});
  }

  template <class T>
  SampleBackwardArguments<T> arguments() const {
    return {packed.shells(),
            rows,
            samples,
            static_cast<AngleGradient>(gradient),
            rng.const_data_ptr<int64_t>(),
            head.const_data_ptr<T>(),
            head.stride(0),
            k.const_data_ptr<T>(),
            k.stride(0),
            k.stride(1),
            theta.const_data_ptr<T>(),
            kl_slope.const_data_ptr<T>(),
            grad_z.const_data_ptr<T>(),
            grad_kl.const_data_ptr<T>(),
            grad_head.mutable_data_ptr<T>(),
            grad_k.mutable_data_ptr<T>()};
  }
};

struct Bernoulli {
  Tensor logits, x, grad, out;
  int64_t rows, images, pixels;
  bool bytes, backward;

  Bernoulli(const char* op, const Tensor* given_grad, const Tensor& given_logits,
            const Tensor& given_x)
      : backward(given_grad != nullptr) {
    check_real(op, "logits", given_logits);
    bytes = given_x.scalar_type() == ScalarType::Byte;
    STD_TORCH_CHECK(bytes || given_x.scalar_type() == given_logits.scalar_type(), op,
                    ": x must be uint8 or of the dtype of logits");
    STD_TORCH_CHECK(given_x.is_cuda() == given_logits.is_cuda(), op,
                    ": x must be on the device of logits");
    STD_TORCH_CHECK(
        given_logits.dim() == 2 && given_x.dim() == 2 && given_x.size(1) == given_logits.size(1),
        op, ": logits must be [rows, pixels] and x [images, pixels]");
    rows = given_logits.size(0), images = given_x.size(0), pixels = given_logits.size(1);
    STD_TORCH_CHECK(rows == 0 || (images > 0 && rows % images == 0), op,
                    ": the rows of logits must be a multiple of the images of x");
    logits = made_contiguous(given_logits);
    x = made_contiguous(given_x);
    if (backward) {
      check_like(op, "grad", *given_grad, given_logits);
      STD_TORCH_CHECK(given_grad->numel() == rows, op, ": grad must have one element a row");
      grad = made_contiguous(*given_grad);
      out = empty_like_with(logits, {rows, pixels});
    } else {
      out = empty_like_with(logits, {rows});
    }
  }

  template <class T>
  BernoulliArguments<T> arguments() const {
    return {rows,
            images,
            pixels,
            logits.const_data_ptr<T>(),
            bytes ? nullptr : x.const_data_ptr<T>(),
            bytes ? x.const_data_ptr<uint8_t>() : nullptr,
            backward ? grad.const_data_ptr<T>() : nullptr,
            out.mutable_data_ptr<T>()};
  }
};

struct Numbers {
  Tensor rng, out;
  int64_t samples, rows, each, shell;
  bool normal;

  Numbers(const Tensor& given_rng, int64_t given_samples, int64_t given_rows, int64_t given_each,
          int64_t given_shell, bool given_normal, ScalarType dtype)
      : samples(given_samples),
        rows(given_rows),
        each(given_each),
        shell(given_shell),
        normal(given_normal) {
    constexpr const char* op = "hvae::numbers";
    check_rng(op, given_rng);
    STD_TORCH_CHECK(dtype == ScalarType::Float || dtype == ScalarType::Double, op,
                    ": dtype must be float32 or float64");
    STD_TORCH_CHECK(samples >= 0 && rows >= 0 && each >= 0, op, ": sizes must not be negative");
    STD_TORCH_CHECK(shell >= 0 && shell < kMostShells * 2, op, ": shell must be from 0 to ",
                    kMostShells * 2 - 1);
    STD_TORCH_CHECK(shell == 0 || each <= kMostDimensions * 4, op, ": a shell has at most ",
                    kMostDimensions * 4, " numbers");
    rng = made_contiguous(given_rng);
    out = torch::stable::new_empty(rng, std::vector<int64_t>{samples, rows, each}, dtype);
  }

  template <class T>
  NumbersArguments<T> arguments() const {
    return {samples,
            rows,
            each,
            int(shell),
            normal,
            rng.const_data_ptr<int64_t>(),
            out.mutable_data_ptr<T>()};
  }
};

}  // namespace hvae
