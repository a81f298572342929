// The op `sample` and its gradient: their schemas, and the CPU.
#include "sample.h"

#include <torch/csrc/stable/library.h>

#include "parallel.h"

namespace hvae {
namespace {

std::tuple<Tensor, Tensor, Tensor, Tensor, Tensor> sample(const Tensor raw, const Tensor kappa,
                                                          std::vector<int64_t> dims,
                                                          const Tensor rng, int64_t samples,
                                                          int64_t /*gradient*/, int64_t shell) {
  Sample s(raw, kappa, dims, rng, samples, shell);
  const Tensor mean = new_empty(s.raw, {s.rows, s.packed.width});
  with_type(raw, [&]<class T>(T) {
    const auto& kernels = current_tier().of<T>();
    auto a = s.arguments<T>();
    a.mean = mean.mutable_data_ptr<T>();
    run(kernels.prepare, a);
    run(kernels.draw, a);
  });
  return s.result();
}

std::tuple<Tensor, Tensor> sample_backward(const Tensor grad_z, const Tensor grad_kl,
                                           const Tensor raw, const Tensor kappa, const Tensor theta,
                                           const Tensor kl_slope, std::vector<int64_t> dims,
                                           const Tensor rng, int64_t gradient, int64_t shell) {
  SampleBackward s(grad_z, grad_kl, raw, kappa, theta, kl_slope, dims, rng, gradient, shell);
  with_type(grad_z,
            [&]<class T>(T) { run(current_tier().of<T>().sample_backward, s.arguments<T>()); });
  return {s.grad_raw, s.grad_k};
}

}  // namespace
}  // namespace hvae

// shell: index, in the random stream, of the first shell. gradient: see KAPPA_GRADIENTS
// (hvae/ops/sample.py); the draw does not depend on it, its backward pass does.
STABLE_TORCH_LIBRARY_FRAGMENT(hvae, m) {
  m.def(
      "sample(Tensor raw_directions, Tensor kappa, int[] dims, Tensor rng, int samples, "
      "int gradient, int shell) -> (Tensor, Tensor, Tensor, Tensor, Tensor)");
  m.def(
      "sample_backward(Tensor grad_z, Tensor grad_kl, Tensor raw_directions, Tensor kappa, "
      "Tensor theta, Tensor kl_slope, int[] dims, Tensor rng, int gradient, int shell) "
      "-> (Tensor, Tensor)");
}

STABLE_TORCH_LIBRARY_IMPL(hvae, CPU, m) {
  m.impl("sample", TORCH_BOX(&hvae::sample));
  m.impl("sample_backward", TORCH_BOX(&hvae::sample_backward));
}
