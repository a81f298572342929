// The log-likelihood of Bernoulli pixels on the GPU, and its gradient in the logits.
#include <cooperative_groups.h>
#include <cooperative_groups/reduce.h>

#include "../math/elementary.h"
#include "../torch/bernoulli.h"
#include "device.h"

namespace hvae {
namespace {

namespace cg = cooperative_groups;

template <class T>
__device__ T pixel(const BernoulliArguments<T>& a, int64_t at) {
  return a.x ? a.x[at] : T(a.x_byte[at]);
}

template <class T>
__global__ void bernoulli_kernel(BernoulliArguments<T> a) {
  const auto warp = cg::tiled_partition<32>(cg::this_thread_block());
  for (int64_t row = thread_index() / 32; row < a.rows; row += thread_count() / 32) {
    const int64_t image = row % a.images * a.pixels;
    T sum = 0;
    for (int64_t j = warp.thread_rank(); j < a.pixels; j += 32) {
      const T l = a.logits[row * a.pixels + j];
      sum += (pixel(a, image + j) * l - larger(l, T(0))) - log1p_of_fraction(exp_of_minus(l));
    }
    sum = cg::reduce(warp, sum, cg::plus<T>());
    if (warp.thread_rank() == 0) a.out[row] = sum;
  }
}

template <class T>
__global__ void bernoulli_backward_kernel(BernoulliArguments<T> a) {
  for (int64_t i = thread_index(); i < a.rows * a.pixels; i += thread_count()) {
    const int64_t row = i / a.pixels;
    const T l = a.logits[i], e = exp_of_minus(l);
    a.out[i] = a.grad[row] * (pixel(a, row % a.images * a.pixels + i % a.pixels) -
                              (l >= T(0) ? T(1) : e) / (e + T(1)));
  }
}

Tensor bernoulli(const Tensor logits, const Tensor x) {
  Bernoulli b("hvae::bernoulli", nullptr, logits, x);
  const torch::stable::accelerator::DeviceGuard guard(logits.get_device_index());
  with_type(logits, [&]<class T>(T) {
    const auto a = b.arguments<T>();
    if (a.rows == 0) return;
    bernoulli_kernel<T><<<blocks_for(a.rows * 32), kThreads, 0, current_stream(logits)>>>(a);
    check_launch("hvae::bernoulli");
  });
  return b.out;
}

Tensor bernoulli_backward(const Tensor grad, const Tensor logits, const Tensor x) {
  Bernoulli b("hvae::bernoulli_backward", &grad, logits, x);
  const torch::stable::accelerator::DeviceGuard guard(logits.get_device_index());
  with_type(logits, [&]<class T>(T) {
    const auto a = b.arguments<T>();
    if (a.rows * a.pixels == 0) return;
    bernoulli_backward_kernel<T>
        <<<blocks_for(a.rows * a.pixels), kThreads, 0, current_stream(logits)>>>(a);
    check_launch("hvae::bernoulli_backward");
  });
  return b.out;
}

}  // namespace
}  // namespace hvae

STABLE_TORCH_LIBRARY_IMPL(hvae, CUDA, m) {
  m.impl("bernoulli", TORCH_BOX(&hvae::bernoulli));
  m.impl("bernoulli_backward", TORCH_BOX(&hvae::bernoulli_backward));
}
