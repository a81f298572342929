// What the packers ask of tensors: memory, layouts, the type of their elements.
#pragma once

#include <torch/csrc/stable/ops.h>
#include <torch/csrc/stable/tensor.h>
#include <torch/headeronly/core/ScalarType.h>

#include <initializer_list>
#include <vector>

namespace hvae {

using torch::headeronly::ScalarType;
using torch::stable::Tensor;

inline Tensor new_empty(const Tensor& like, std::initializer_list<int64_t> shape) {
  return torch::stable::new_empty(like, std::vector<int64_t>(shape));
}

inline Tensor made_contiguous(const Tensor& t) {
  return t.is_contiguous() ? t : torch::stable::contiguous(t);
}

// A matrix whose rows are contiguous, whatever their distance: a slice of a wider matrix is taken
// as it is.
inline Tensor with_contiguous_rows(const Tensor& t) {
  return t.size(1) <= 1 || t.stride(1) == 1 ? t : torch::stable::contiguous(t);
}

// Calls work with a float or a double according to the tensor's type.
template <class Work>
auto with_type(const Tensor& t, const Work& work) {
  return t.scalar_type() == ScalarType::Double ? work(double()) : work(float());
}

}  // namespace hvae
