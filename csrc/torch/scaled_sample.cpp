// The op `scaled_sample` and its gradient: their schemas, and the CPU.
#include "scaled_sample.h"

#include <torch/csrc/stable/library.h>

#include "parallel.h"

namespace hvae {
namespace {

std::tuple<Tensor, Tensor, Tensor, Tensor, Tensor, Tensor, Tensor> scaled_sample(
    const Tensor raw_directions, const Tensor kappa, const Tensor raw_scales,
    std::vector<int64_t> dims, const Tensor rng, int64_t samples, int64_t frame, bool centred,
    int64_t /*gradient*/, int64_t shell) {
  ScaledSample s(raw_directions, kappa, raw_scales, dims, rng, samples, frame, centred, shell);
  const auto by_row = [&] { return new_empty(s.x.raw, {s.x.rows, s.x.packed.width}); };
  const Tensor mean = by_row(), scale = by_row(), scale_less_one = by_row();
  with_type(raw_directions, [&]<class T>(T) {
    const auto& kernels = current_tier().of<T>();
    auto a = s.arguments<T>();
    a.x.mean = mean.mutable_data_ptr<T>();
    a.scale = scale.mutable_data_ptr<T>();
    a.scale_less_one = scale_less_one.mutable_data_ptr<T>();
    run(kernels.scaled_prepare, a);
    run(kernels.scaled_draw, a);
    run(kernels.scaled_finish, a);
  });
  return s.result();
}

std::tuple<Tensor, Tensor, Tensor> scaled_sample_backward(
    const Tensor grad_z, const Tensor grad_kl, const Tensor raw_directions, const Tensor kappa,
    const Tensor raw_scales, const Tensor theta, const Tensor kl_slope, std::vector<int64_t> dims,
    const Tensor rng, int64_t frame, bool centred, int64_t gradient, int64_t shell) {
  ScaledSampleBackward s(grad_z, grad_kl, raw_directions, kappa, raw_scales, theta, kl_slope, dims,
                         rng, frame, centred, gradient, shell);
  with_type(grad_z, [&]<class T>(T) {
    run(current_tier().of<T>().scaled_sample_backward, s.arguments<T>());
  });
  return s.result();
}

}  // namespace
}  // namespace hvae

// As `sample`. frame: see SCALE_FRAMES (hvae/ops/scaled_sample.py). centred: whether the mean of
// raw_scales over a shell is subtracted.
STABLE_TORCH_LIBRARY_FRAGMENT(hvae, m) {
  m.def(
      "scaled_sample(Tensor raw_directions, Tensor kappa, Tensor raw_scales, int[] dims, "
      "Tensor rng, int samples, int frame, bool centred, int gradient, int shell) "
      "-> (Tensor, Tensor, Tensor, Tensor, Tensor, Tensor, Tensor)");
  m.def(
      "scaled_sample_backward(Tensor grad_z, Tensor grad_kl, Tensor raw_directions, Tensor kappa, "
      "Tensor raw_scales, Tensor theta, Tensor kl_slope, int[] dims, Tensor rng, int frame, "
      "bool centred, int gradient, int shell) -> (Tensor, Tensor, Tensor)");
}

STABLE_TORCH_LIBRARY_IMPL(hvae, CPU, m) {
  m.impl("scaled_sample", TORCH_BOX(&hvae::scaled_sample));
  m.impl("scaled_sample_backward", TORCH_BOX(&hvae::scaled_sample_backward));
}
