// Uniform and normal numbers of a stream on the GPU.
#include "device.h"

namespace hvae {
namespace {

template <class T>
__global__ void numbers_kernel(NumbersArguments<T> a) {
  constexpr int each = 4 / kWordsEach<T>;
  const Stream stream(a.rng);
  const int64_t blocks = (a.each + each - 1) / each;
  for (int64_t i = thread_index(); i < a.samples * a.rows * blocks; i += thread_count()) {
    const int64_t block = i % blocks, row = i / blocks % a.rows, sample = i / blocks / a.rows;
    const auto words =
        block_at<T>(stream, stream.row + uint32_t(row), stream.sample + uint32_t(sample),
                    uint32_t(a.shell * kBlocksPerShell + block));
    T x[4];
    if (a.normal) {
      normals<T>(words, x);
    } else {
      for (int j = 0; j < each; ++j) x[j] = open_uniform<T>(integer<T>(words, j));
    }
    T* out = a.out + (sample * a.rows + row) * a.each + block * each;
    for (int j = 0; j < each && block * each + j < a.each; ++j) out[j] = x[j];
  }
}

Tensor numbers(const Tensor rng, int64_t samples, int64_t rows, int64_t each, int64_t shell,
               bool normal, ScalarType dtype) {
  const torch::stable::accelerator::DeviceGuard guard(rng.get_device_index());
  Numbers n(rng, samples, rows, each, shell, normal, dtype);
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
