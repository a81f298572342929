// The op `bernoulli` and its gradient: their schemas, and the CPU.
#include "bernoulli.h"

#include <torch/csrc/stable/library.h>

#include <algorithm>

#include "parallel.h"

namespace hvae {
namespace {

// Rows of pixels that are worth another thread.
int64_t row_grain(const Bernoulli& b) {
  return std::max<int64_t>(1, 8192 / std::max<int64_t>(1, b.pixels));
}

Tensor bernoulli(const Tensor logits, const Tensor x) {
  Bernoulli b("hvae::bernoulli", nullptr, logits, x);
  with_type(logits, [&]<class T>(T) {
    run(current_tier().of<T>().bernoulli, b.arguments<T>(), row_grain(b));
  });
  return b.out;
}

Tensor bernoulli_backward(const Tensor grad, const Tensor logits, const Tensor x) {
  Bernoulli b("hvae::bernoulli_backward", &grad, logits, x);
  with_type(logits, [&]<class T>(T) {
    run(current_tier().of<T>().bernoulli_backward, b.arguments<T>(), row_grain(b));
  });
  return b.out;
}

}  // namespace
}  // namespace hvae

STABLE_TORCH_LIBRARY_FRAGMENT(hvae, m) {
  m.def("bernoulli(Tensor logits, Tensor x) -> Tensor");
  m.def("bernoulli_backward(Tensor grad, Tensor logits, Tensor x) -> Tensor");
}

STABLE_TORCH_LIBRARY_IMPL(hvae, CPU, m) {
  m.impl("bernoulli", TORCH_BOX(&hvae::bernoulli));
  m.impl("bernoulli_backward", TORCH_BOX(&hvae::bernoulli_backward));
}
