// The draw and its gradient on the GPU: one launch forward and one backward for all shells of all
// rows. The stream's (key, step, row, sample) is read from device memory, so a CUDA graph can advance
// it.
#include "../math/implicit.h"
#include "../math/vmf.h"
#include "../torch/sample.h"
#include "angle.h"
#include "tile.h"

namespace hvae {
namespace {

template <int kTile, class T>
__global__ void sample_kernel(SampleArguments<T> a, ShellTable table, int first_shell, int count) {
  const auto tile = cg::tiled_partition<kTile>(cg::this_thread_block());
  const Stream stream(a.rng);
  const int64_t items = a.samples * a.rows * count;
  for (int64_t item = thread_index() / kTile; item < items; item += thread_count() / kTile) {
    const int index = int(item % count), m = table.m[index], shell = first_shell + index;
    const int64_t draw = item / count, row = draw % a.rows, sample = draw / a.rows;
    const T k = a.k[row * a.k_row + shell * a.k_column];
    const uint32_t base = first_block(a.shells.first + shell);
    const uint32_t c0 = stream.row + uint32_t(row), c1 = stream.sample + uint32_t(sample);
    const MeanDirection<T> mu(tile, a.raw + row * a.raw_stride + table.offset[index], m);
    const Angle<T> angle = draw_angle(tile, stream, base, c0, c1, k, m);
    T* z = a.z + draw * a.shells.width + table.offset[index];
    draw_tangent(tile, stream, base, c0, c1, mu, m, z);
    const T cosine = T(1) - angle.v;
    each_coordinate<T>(tile, m, [&](int j) { z[j] = cosine * mu(j) + angle.sine * z[j]; });
    if (tile.thread_rank() == 0) {
      a.v[draw * a.shells.count + shell] = angle.v;
      a.theta[draw * a.shells.count + shell] = angle.theta;
      if (sample == 0) {
        const auto kl = evaluate<Quantity::kDivergence>(FreeOrder<T>(T(m) / 2 - 1), k);
        a.kl[row * a.shells.count + shell] = kl.value;
        a.kl_slope[row * a.shells.count + shell] = kl.slope;
      }
    }
  }
}

std::tuple<Tensor, Tensor, Tensor, Tensor, Tensor> sample(const Tensor raw, const Tensor kappa,
                                                          std::vector<int64_t> dims,
                                                          const Tensor rng, int64_t samples,
                                                          int64_t /*gradient*/, int64_t shell) {
  Sample s(raw, kappa, dims, rng, samples, shell);
  const torch::stable::accelerator::DeviceGuard guard(raw.get_device_index());
  with_type(raw, [&]<class T>(T) {
    const auto a = s.arguments<T>();
    if (a.rows == 0) return;
    with_tile(s.packed, [&]<int kTile>(std::integral_constant<int, kTile>) {
      for (int first = 0; first < a.shells.count; first += kShellsALaunch) {
        const int count = std::min(kShellsALaunch, a.shells.count - first);
        sample_kernel<kTile, T>
            <<<blocks_for(a.samples * a.rows * count * kTile), kThreads, 0, current_stream(raw)>>>(
                a, shell_table(a.shells, first, count), first, count);
      }
    });
    check_launch("hvae::sample");
  });
  return s.result();
}

template <int kTile, class T>
__global__ void sample_backward_kernel(SampleBackwardArguments<T> a, ShellTable table,
                                       int first_shell, int count, T* tangents) {
  const auto tile = cg::tiled_partition<kTile>(cg::this_thread_block());
  const Stream stream(a.rng);
  const int64_t items = a.rows * count;
  for (int64_t item = thread_index() / kTile; item < items; item += thread_count() / kTile) {
    const int index = int(item % count), m = table.m[index], shell = first_shell + index;
    const int64_t row = item / count, at = row * a.shells.count + shell;
    const T k = a.k[row * a.k_row + shell * a.k_column];
    const uint32_t base = first_block(a.shells.first + shell);
    const MeanDirection<T> mu(tile, a.raw + row * a.raw_stride + table.offset[index], m);
    const T one_minus_A = evaluate<Quantity::kRatioComplement>(FreeOrder<T>(T(m) / 2 - 1), k).value;
    T* g = a.grad_raw + row * a.shells.width + table.offset[index];
    T* t = tangents + row * a.shells.width + table.offset[index];
    T grad_k = a.grad_kl[at] * a.kl_slope[at];
    each_coordinate<T>(tile, m, [&](int j) { g[j] = 0; });
    for (int64_t sample = 0; sample < a.samples; ++sample) {
      const int64_t draw = sample * a.rows + row;
      const T* gz = a.grad_z + draw * a.shells.width + table.offset[index];
      const T theta = a.theta[draw * a.shells.count + shell];
      draw_tangent(tile, stream, base, stream.row + uint32_t(row), stream.sample + uint32_t(sample),
                   mu, m, t);
      T sine_half, cosine_half;
      sine_cosine(T(0.5) * theta, sine_half, cosine_half);
      const T sine = T(2) * sine_half * cosine_half, cosine = T(1) - T(2) * sine_half * sine_half;
      T along_mu = 0, along_t = 0;
      each_coordinate<T>(tile, m, [&](int j) {
        along_mu += gz[j] * mu(j);
        along_t += gz[j] * t[j];
      });
      along_mu = sum_over(tile, along_mu);
      along_t = sum_over(tile, along_t);
      const T slope = a.gradient == AngleGradient::kImplicit
                          ? implicit_slope<T>(T(m), theta, k, one_minus_A)
                          : naive_slope<T>(T(m), sine, k);
      grad_k += slope * (cosine * along_t - sine * along_mu);
      each_coordinate<T>(tile, m, [&](int j) {
        g[j] += cosine * gz[j] - along_mu * (cosine * mu(j) + sine * t[j]);
      });
    }
    const T inverse = mu.inverse_norm();
    each_coordinate<T>(tile, m, [&](int j) { g[j] *= inverse; });
    if (tile.thread_rank() == 0) a.grad_k[at] = grad_k;
  }
}

std::tuple<Tensor, Tensor> sample_backward(const Tensor grad_z, const Tensor grad_kl,
                                           const Tensor raw, const Tensor kappa, const Tensor theta,
                                           const Tensor kl_slope, std::vector<int64_t> dims,
                                           const Tensor rng, int64_t gradient, int64_t shell) {
  SampleBackward s(grad_z, grad_kl, raw, kappa, theta, kl_slope, dims, rng, gradient, shell);
  const torch::stable::accelerator::DeviceGuard guard(raw.get_device_index());
  const Tensor tangents = torch::stable::empty_like(s.grad_raw);
  with_type(grad_z, [&]<class T>(T) {
    const auto a = s.arguments<T>();
    if (a.rows == 0) return;
    with_tile(s.packed, [&]<int kTile>(std::integral_constant<int, kTile>) {
      for (int first = 0; first < a.shells.count; first += kShellsALaunch) {
        const int count = std::min(kShellsALaunch, a.shells.count - first);
        sample_backward_kernel<kTile, T>
            <<<blocks_for(a.rows * count * kTile), kThreads, 0, current_stream(raw)>>>(
                a, shell_table(a.shells, first, count), first, count,
                tangents.mutable_data_ptr<T>());
      }
    });
    check_launch("hvae::sample_backward");
  });
  return {s.grad_raw, s.grad_k};
}

}  // namespace
}  // namespace hvae

STABLE_TORCH_LIBRARY_IMPL(hvae, CUDA, m) {
  m.impl("sample", TORCH_BOX(&hvae::sample));
  m.impl("sample_backward", TORCH_BOX(&hvae::sample_backward));
}
