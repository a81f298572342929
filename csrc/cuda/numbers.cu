// Uniform and normal numbers of a stream on the GPU. The stream's (key, step, row, sample) is read
// from device memory, so a CUDA graph can advance it.
#include "../math/philox.h"
#include "../torch/numbers.h"
#include "device.h"

namespace hvae {
namespace {

template <class T>
__global__ void numbers_kernel(NumbersArguments<T> a) {
  constexpr int in_block = kNumbersEach<T>;
  const Stream stream(a.rng);
  const int64_t blocks = (a.each + in_block - 1) / in_block;
  for (int64_t i = thread_index(); i < a.samples * a.rows * blocks; i += thread_count()) {
    const int64_t block = i % blocks, row = i / blocks % a.rows, sample = i / blocks / a.rows;
    const auto words =
        block_at<T>(stream, stream.row + uint32_t(row), stream.sample + uint32_t(sample),
                    first_block(a.shell) + uint32_t(block));
    T x[4];
    if (a.normal) {
      normals<T>(words, x);
    } else {
      uniforms<T>(words, x);
    }
    T* out = a.out + (sample * a.rows + row) * a.each + block * in_block;
    for (int j = 0; j < in_block && block * in_block + j < a.each; ++j) out[j] = x[j];
  }
}

Tensor numbers(const Tensor rng, int64_t samples, int64_t rows, int64_t each, int64_t shell,
               bool normal, ScalarType dtype) {
  Numbers n(rng, samples, rows, each, shell, normal, dtype);
  const torch::stable::accelerator::DeviceGuard guard(rng.get_device_index());
  with_type(n.out, [&]<class T>(T) {
    const auto a = n.arguments<T>();
    if (n.out.numel() == 0) return;
    numbers_kernel<T><<<blocks_for(n.out.numel()), kThreads, 0, current_stream(rng)>>>(a);
    check_launch("hvae::numbers");
  });
  return n.out;
}

}  // namespace
}  // namespace hvae

STABLE_TORCH_LIBRARY_IMPL(hvae, CUDA, m) { m.impl("numbers", TORCH_BOX(&hvae::numbers)); }
