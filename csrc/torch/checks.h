// The checks of an op's tensors: shapes, types and devices, never values.
#pragma once

#include <torch/csrc/stable/tensor.h>
#include <torch/headeronly/core/ScalarType.h>

namespace hvae {

using torch::headeronly::ScalarType;
using torch::stable::Tensor;

inline bool is_real(ScalarType type) {
  return type == ScalarType::Float || type == ScalarType::Double;
}

inline void check_real(const char* op, const char* name, const Tensor& t) {
  STD_TORCH_CHECK(is_real(t.scalar_type()), op, ": ", name, " must be float32 or float64");
}

inline void check_device(const char* op, const char* name, const Tensor& t, const char* first_name,
                         const Tensor& first) {
  STD_TORCH_CHECK(t.device() == first.device(), op, ": ", name, " must be on the device of ",
                  first_name);
}

inline void check_like(const char* op, const char* name, const Tensor& t, const char* first_name,
                       const Tensor& first) {
  STD_TORCH_CHECK(t.scalar_type() == first.scalar_type(), op, ": ", name,
                  " must have the dtype of ", first_name);
  check_device(op, name, t, first_name, first);
}

inline void check_rng(const char* op, const Tensor& rng) {
  STD_TORCH_CHECK(rng.scalar_type() == ScalarType::Long && rng.dim() == 1 && rng.size(0) == 4, op,
                  ": rng must be an int64 tensor of 4 elements (key, step, row, sample)");
}

}  // namespace hvae
