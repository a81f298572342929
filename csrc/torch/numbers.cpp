// The op `numbers`: its schema, and the CPU.
#include "numbers.h"

#include <torch/csrc/stable/library.h>

#include "parallel.h"

namespace hvae {
namespace {

Tensor numbers(const Tensor rng, int64_t samples, int64_t rows, int64_t each, int64_t shell,
               bool normal, ScalarType dtype) {
  Numbers n(rng, samples, rows, each, shell, normal, dtype);
  with_type(n.out, [&]<class T>(T) { run(current_tier().of<T>().numbers, n.arguments<T>()); });
  return n.out;
}

}  // namespace
}  // namespace hvae

STABLE_TORCH_LIBRARY_FRAGMENT(hvae, m) {
  m.def(
      "numbers(Tensor rng, int samples, int rows, int each, int shell, bool normal, "
      "ScalarType dtype) -> Tensor");
}

STABLE_TORCH_LIBRARY_IMPL(hvae, CPU, m) { m.impl("numbers", TORCH_BOX(&hvae::numbers)); }
