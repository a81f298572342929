// The log-likelihood of Bernoulli pixels on the GPU, and its gradient in the logits.
#include <cooperative_groups.h>
#include <cooperative_groups/reduce.h>

#include "../math/elementary.h"
#include "../torch/bernoulli.h"
#include "device.h"

namespace hvae {
namespace {

namespace cg = cooperative_groups;

// Pixels whose factors 1 + e <= 2 one lane multiplies before it takes a logarithm: P = the product
// less 1, P <- P + e + P e, as in cpu/bernoulli.h.
template <class T>
constexpr int kFactors = is_single<T> ? 64 : 512;

// n / d for d in [1, 2]. The division that IEEE 754 asks for branches to a slow path, and the
// compiler then loads one pixel at a time.
__device__ float quotient(float n, float d) { return __fdividef(n, d); }
__device__ double quotient(double n, double d) { return n / d; }

// A warp takes a row; several of its loads are under way at a time.
template <class T, class X>
__global__ void bernoulli_kernel(BernoulliArguments<T> a, const X* __restrict__ images) {
  const auto warp = cg::tiled_partition<kWarp>(cg::this_thread_block());
  const int64_t lane = warp.thread_rank();
  for (int64_t row = thread_index() / kWarp; row < a.rows; row += thread_count() / kWarp) {
    const T* __restrict__ logits = a.logits + row * a.pixels;
    const X* __restrict__ x = images + row % a.images * a.pixels;
    T sum = 0;
    for (int64_t begin = 0; begin < a.pixels; begin += kWarp * kFactors<T>) {
      const int64_t end = min(a.pixels, begin + kWarp * kFactors<T>);
      T excess = 0;
#pragma unroll 4
      for (int64_t j = begin + lane; j < end; j += kWarp) {
        const T l = logits[j], e = exp_of_minus(l);
        sum += T(x[j]) * l - larger(l, T(0));
        excess += e + excess * e;
      }
      sum -= log1p(excess);
    }
    sum = cg::reduce(warp, sum, cg::plus<T>());
    if (lane == 0) a.out[row] = sum;
  }
}

template <class T, class X>
__global__ void bernoulli_backward_kernel(BernoulliArguments<T> a, const X* __restrict__ images) {
  const int64_t lane = threadIdx.x % kWarp;
  for (int64_t row = thread_index() / kWarp; row < a.rows; row += thread_count() / kWarp) {
    const T* __restrict__ logits = a.logits + row * a.pixels;
    const X* __restrict__ x = images + row % a.images * a.pixels;
    T* __restrict__ out = a.out + row * a.pixels;
    const T grad = a.grad[row];
#pragma unroll 4
    for (int64_t j = lane; j < a.pixels; j += kWarp) {
      const T l = logits[j], e = exp_of_minus(l);
      out[j] = grad * (T(x[j]) - quotient(l >= T(0) ? T(1) : e, e + T(1)));
    }
  }
}

// Calls work with the images in their own type.
template <class T, class Work>
void with_images(const BernoulliArguments<T>& a, const Work& work) {
  if (a.x) {
    work(a.x);
  } else {
    work(a.x_byte);
  }
}

Tensor bernoulli(const Tensor logits, const Tensor x) {
  Bernoulli b("hvae::bernoulli", nullptr, logits, x);
  const torch::stable::accelerator::DeviceGuard guard(logits.get_device_index());
  with_type(logits, [&]<class T>(T) {
    const auto a = b.arguments<T>();
    if (a.rows == 0) return;
    with_images(a, [&]<class X>(const X* images) {
      bernoulli_kernel<T, X>
          <<<blocks_for(a.rows * kWarp), kThreads, 0, current_stream(logits)>>>(a, images);
    });
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
    with_images(a, [&]<class X>(const X* images) {
      bernoulli_backward_kernel<T, X>
          <<<blocks_for(a.rows * kWarp), kThreads, 0, current_stream(logits)>>>(a, images);
    });
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
