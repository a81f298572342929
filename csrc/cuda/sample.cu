// The draw and its gradient on the GPU: a launch forward and one backward for all shells of a layout
// of all rows, and one for the divergences. The stream's (key, step, row, sample) is read from device
// memory, so a CUDA graph can advance it.
#include "../torch/sample.h"
#include "angle.h"
#include "columns.h"
#include "slope.h"
#include "tangent.h"

namespace hvae {
namespace {

// A thread a draw for small shells, a warp for large ones.
using SampleLayouts = LayoutList<Layout<1, 16, 16>, Layout<16, 4, 64>, Layout<32, 4, 128>,
                                 Layout<32, 0, kMostDimensions>>;
constexpr int64_t kMostHeld = 128;

template <class L, class T>
__global__ void sample_kernel(SampleArguments<T> a, ShellTable table, int count) {
  const auto tile = this_tile<L>();
  const Stream stream(a.rng);
  const int64_t items = a.samples * a.rows * count;
  for (int64_t item = thread_index() / L::lanes; item < items; item += thread_count() / L::lanes) {
    const Place place(table, item, count);
    const int m = place.m;
    const int64_t row = place.draw % a.rows, sample = place.draw / a.rows;
    const T k = a.k[row * a.k_row + place.shell * a.k_column];
    const uint32_t base = first_block(a.shells.first + place.shell);
    const uint32_t c0 = stream.row + uint32_t(row), c1 = stream.sample + uint32_t(sample);
    const Angle<T> angle = draw_angle<T, L>(tile, stream, base, c0, c1, k, m);
    const MeanDirection<T, L> mu(tile, a.raw + row * a.raw_stride + place.offset, m);
    T* z = a.z + place.draw * a.shells.width + place.offset;
    Coordinates<T, L::held> t(z);
    draw_tangent<T, L>(tile, stream, base, c0, c1, mu, m, t);
    const T cosine = T(1) - angle.v;
    each_coordinate<T, L>(tile, m,
                          [&](int s, int j) { z[j] = cosine * mu(s, j) + angle.sine * t(s, j); });
    if (tile.thread_rank() == 0) {
      a.v[place.draw * a.shells.count + place.shell] = angle.v;
      a.theta[place.draw * a.shells.count + place.shell] = angle.theta;
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
    const cudaStream_t queue = current_stream(raw);
    launch_divergences(a, queue);
    SampleLayouts::each_launch(a.shells, [&]<class L>(const ShellTable& table, int count) {
      sample_kernel<L, T>
          <<<blocks_for(a.samples * a.rows * count * L::lanes), kThreads, 0, queue>>>(a, table,
                                                                                      count);
    });
    check_launch("hvae::sample");
  });
  return s.result();
}

// scratch: [rows, width], for tangents that are not held in registers.
template <class L, class T>
__global__ void sample_backward_kernel(SampleBackwardArguments<T> a, ShellTable table, int count,
                                       T* scratch) {
  const auto tile = this_tile<L>();
  const Stream stream(a.rng);
  const int64_t items = a.rows * count;
  for (int64_t item = thread_index() / L::lanes; item < items; item += thread_count() / L::lanes) {
    const Place place(table, item, count);
    const int m = place.m;
    const int64_t row = place.draw, at = row * a.shells.count + place.shell;
    const int64_t first = row * a.shells.width + place.offset;
    const T k = a.k[row * a.k_row + place.shell * a.k_column], kl_slope = a.kl_slope[at];
    const uint32_t base = first_block(a.shells.first + place.shell);
    const MeanDirection<T, L> mu(tile, a.raw + row * a.raw_stride + place.offset, m);
    Coordinates<T, L::held> g(a.grad_raw + first), t(scratch + first);
    T grad_k = a.grad_kl[at] * kl_slope;
    each_slot<T, L>(tile, m, [&](int s, int j) { g(s, j) = 0; });
    for (int64_t sample = 0; sample < a.samples; ++sample) {
      const int64_t draw = sample * a.rows + row;
      const T* gz = a.grad_z + draw * a.shells.width + place.offset;
      const T theta = a.theta[draw * a.shells.count + place.shell];
      T sine_half, cosine_half;
      sine_cosine(T(0.5) * theta, sine_half, cosine_half);
      const T sine = T(2) * sine_half * cosine_half, cosine = T(1) - T(2) * sine_half * sine_half;
      const T slope = angle_slope<T, L>(tile, a.gradient, m, theta, sine, k, kl_slope);
      draw_tangent<T, L>(tile, stream, base, stream.row + uint32_t(row),
                         stream.sample + uint32_t(sample), mu, m, t);
      T along_mu = 0, along_t = 0;
      each_coordinate<T, L>(tile, m, [&](int s, int j) {
        along_mu += gz[j] * mu(s, j);
        along_t += gz[j] * t(s, j);
      });
      along_mu = sum_over<L>(tile, along_mu);
      along_t = sum_over<L>(tile, along_t);
      grad_k += slope * (cosine * along_t - sine * along_mu);
      each_coordinate<T, L>(tile, m, [&](int s, int j) {
        g(s, j) += cosine * gz[j] - along_mu * (cosine * mu(s, j) + sine * t(s, j));
      });
    }
    const T inverse = mu.inverse_norm();
    T* out = a.grad_raw + first;
    each_coordinate<T, L>(tile, m, [&](int s, int j) { out[j] = g(s, j) * inverse; });
    if (tile.thread_rank() == 0) a.grad_k[at] = grad_k;
  }
}

std::tuple<Tensor, Tensor> sample_backward(const Tensor grad_z, const Tensor grad_kl,
                                           const Tensor raw, const Tensor kappa, const Tensor theta,
                                           const Tensor kl_slope, std::vector<int64_t> dims,
                                           const Tensor rng, int64_t gradient, int64_t shell) {
  SampleBackward s(grad_z, grad_kl, raw, kappa, theta, kl_slope, dims, rng, gradient, shell);
  const torch::stable::accelerator::DeviceGuard guard(raw.get_device_index());
  const bool held = *std::max_element(dims.begin(), dims.end()) <= kMostHeld;
  const Tensor scratch = new_empty(s.grad_raw, {held ? 0 : s.rows, s.packed.width});
  with_type(grad_z, [&]<class T>(T) {
    const auto a = s.arguments<T>();
    if (a.rows == 0) return;
    SampleLayouts::each_launch(a.shells, [&]<class L>(const ShellTable& table, int count) {
      sample_backward_kernel<L, T>
          <<<blocks_for(a.rows * count * L::lanes), kThreads, 0, current_stream(raw)>>>(
              a, table, count, scratch.mutable_data_ptr<T>());
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
