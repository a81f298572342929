// The draw of scaled shells and its gradient on the GPU: one launch forward, with a small second one
// that averages where there are several draws a row, and one backward.
#include "../math/implicit.h"
#include "../math/stretch.h"
#include "../math/vmf.h"
#include "../torch/scaled_sample.h"
#include "angle.h"
#include "tile.h"

namespace hvae {
namespace {

// The scales of one shell of one row, coordinate by coordinate, from its raw ones.
template <class T>
struct Scales {
  const T* b;
  T mean;

  template <class Tile>
  __device__ Scales(const Tile& tile, const T* raw, int m, bool centred) : b(raw), mean(0) {
    for (int pass = 0; centred && pass < 2; ++pass) {
      T rest = 0;
      each_coordinate<T>(tile, m, [&](int j) { rest += (T(0.5) * b[j] - mean) * (T(1) / T(m)); });
      mean += sum_over(tile, rest);
    }
  }

  __device__ T log(int j) const { return log_scale<T>(T(0.5) * b[j], mean); }
  __device__ T operator()(int j) const { return exp(log(j)); }
  __device__ T less_one(int j) const { return expm1(log(j)); }
};

// x becomes P diag(s) x, with P applied twice; returns mu.(s x).
template <class T, class Tile>
__device__ T stretch_tangent(const Tile& tile, const Scales<T>& s, const MeanDirection<T>& mu,
                             int m, T* x) {
  T along = 0;
  each_coordinate<T>(tile, m, [&](int j) {
    x[j] *= s(j);
    along += x[j] * mu(j);
  });
  along = sum_over(tile, along);
  T rest = 0;
  each_coordinate<T>(tile, m, [&](int j) {
    x[j] -= along * mu(j);
    rest += x[j] * mu(j);
  });
  rest = sum_over(tile, rest);
  each_coordinate<T>(tile, m, [&](int j) { x[j] -= rest * mu(j); });
  return along;
}

template <class T, class Tile>
__device__ T log_volume(const Tile& tile, const Scales<T>& s, const MeanDirection<T>& mu, int m,
                        ScaleFrame frame) {
  T logs = 0, sum = 0, less_one = 0;
  each_coordinate<T>(tile, m, [&](int j) {
    const T share = mu(j) * mu(j) / s(j);
    logs += s.log(j);
    sum += share;
    less_one -= share * s.less_one(j);
  });
  logs = sum_over(tile, logs);
  sum = sum_over(tile, sum);
  less_one = sum_over(tile, less_one);
  return frame == ScaleFrame::kMean ? logs + log_of_sum(less_one, sum) : logs;
}

template <int kTile, class T>
__global__ void scaled_sample_kernel(ScaledSampleArguments<T> a, ShellTable table, int first_shell,
                                     int count, T* tangents) {
  const auto tile = cg::tiled_partition<kTile>(cg::this_thread_block());
  const SampleArguments<T>& x = a.x;
  const Stream stream(x.rng);
  const bool mean = a.raw.frame == ScaleFrame::kMean;
  const int64_t items = x.samples * x.rows * count;
  for (int64_t item = thread_index() / kTile; item < items; item += thread_count() / kTile) {
    const int index = int(item % count), m = table.m[index], shell = first_shell + index;
    const int64_t draw = item / count, row = draw % x.rows, sample = draw / x.rows;
    const T k = x.k[row * x.k_row + shell * x.k_column];
    const uint32_t base = first_block(x.shells.first + shell);
    const uint32_t c0 = stream.row + uint32_t(row), c1 = stream.sample + uint32_t(sample);
    const MeanDirection<T> mu(tile, x.raw + row * x.raw_stride + table.offset[index], m);
    const Scales<T> s(tile, a.raw.b + row * a.raw.stride + table.offset[index], m, a.raw.centred);
    const Angle<T> angle = draw_angle(tile, stream, base, c0, c1, k, m);
    const T cosine = T(1) - angle.v;
    T* t = tangents + draw * x.shells.width + table.offset[index];
    T* y = x.z + draw * x.shells.width + table.offset[index];
    draw_tangent(tile, stream, base, c0, c1, mu, m, t);
    T growth = 0, square = 0;
    each_coordinate<T>(tile, m, [&](int j) { y[j] = t[j]; });
    if (mean) stretch_tangent(tile, s, mu, m, y);
    each_coordinate<T>(tile, m, [&](int j) {
      const T less_one = s.less_one(j);
      if (mean) {
        const T change = y[j] - t[j];
        growth += T(2) * less_one * t[j] * t[j] + change * change;
      }
      y[j] = cosine * mu(j) + angle.sine * y[j];
      if (!mean) {
        growth += y[j] * y[j] * (less_one * (less_one + T(2)));
        y[j] *= s(j);
      }
      square += y[j] * y[j];
    });
    growth = sum_over(tile, growth) * (mean ? angle.sine * angle.sine : T(1));
    square = sum_over(tile, square);
    const T inverse = T(1) / square_root(square);
    each_coordinate<T>(tile, m, [&](int j) { y[j] *= inverse; });
    const T stretch = T(0.5) * T(m) * log_of_sum(growth, square);
    const T volume = sample == 0 ? log_volume(tile, s, mu, m, a.raw.frame) : T(0);
    if (tile.thread_rank() == 0) {
      x.v[draw * x.shells.count + shell] = angle.v;
      x.theta[draw * x.shells.count + shell] = angle.theta;
      a.stretch[draw * x.shells.count + shell] = stretch;
      if (sample == 0) {
        const int64_t at = row * x.shells.count + shell;
        const auto kl = evaluate<Quantity::kDivergence>(FreeOrder<T>(T(m) / 2 - 1), k);
        a.volume[at] = volume;
        x.kl[at] = x.samples == 1 ? kl.value + (stretch - volume) : kl.value;
        x.kl_slope[at] = kl.slope;
      }
    }
  }
}

// KL = that before the stretching + the mean of m log |A x| - log |A|.
template <class T>
__global__ void scaled_mean_kernel(ScaledSampleArguments<T> a) {
  const int64_t each = a.x.rows * a.x.shells.count;
  for (int64_t i = thread_index(); i < each; i += thread_count()) {
    double sum = 0;
    for (int64_t sample = 0; sample < a.x.samples; ++sample) sum += a.stretch[sample * each + i];
    a.x.kl[i] = a.x.kl[i] + (T(sum / double(a.x.samples)) - a.volume[i]);
  }
}

std::tuple<Tensor, Tensor, Tensor, Tensor, Tensor, Tensor, Tensor> scaled_sample(
    const Tensor raw_directions, const Tensor kappa, const Tensor raw_scales,
    std::vector<int64_t> dims, const Tensor rng, int64_t samples, int64_t frame, bool centred,
    int64_t /*gradient*/, int64_t shell) {
  ScaledSample s(raw_directions, kappa, raw_scales, dims, rng, samples, frame, centred, shell);
  const torch::stable::accelerator::DeviceGuard guard(raw_directions.get_device_index());
  const Tensor tangents = torch::stable::empty_like(s.x.z);
  with_type(raw_directions, [&]<class T>(T) {
    const auto a = s.arguments<T>();
    const SampleArguments<T>& x = a.x;
    if (x.rows == 0) return;
    const cudaStream_t queue = current_stream(raw_directions);
    with_tile(s.x.packed, [&]<int kTile>(std::integral_constant<int, kTile>) {
      for (int first = 0; first < x.shells.count; first += kShellsALaunch) {
        const int count = std::min(kShellsALaunch, x.shells.count - first);
        scaled_sample_kernel<kTile, T>
            <<<blocks_for(x.samples * x.rows * count * kTile), kThreads, 0, queue>>>(
                a, shell_table(x.shells, first, count), first, count,
                tangents.mutable_data_ptr<T>());
      }
    });
    if (samples > 1)
      scaled_mean_kernel<T><<<blocks_for(x.rows * x.shells.count), kThreads, 0, queue>>>(a);
    check_launch("hvae::scaled_sample");
  });
  return s.result();
}

// Where a tile keeps the vectors of one shell of one row.
template <class T>
struct GradientScratch {
  T *axis, *t, *u, *g;  // [rows, width] each; axis: P diag(s) mu
};

// What one draw adds to grad_mu and grad_l; returns what dtheta/dk is multiplied by. As on the CPU.
template <class T, class Tile>
__device__ T scaled_gradient(const Tile& tile, const GradientScratch<T>& w, const Scales<T>& s,
                             const MeanDirection<T>& mu, ScaleFrame frame, const T* grad_y,
                             T cosine, T sine, T h, int m, T* grad_mu, T* grad_l) {
  const bool mean = frame == ScaleFrame::kMean;
  T along = 0;
  each_coordinate<T>(tile, m, [&](int j) { w.u[j] = w.t[j]; });
  if (mean) along = stretch_tangent(tile, s, mu, m, w.u);
  if (!mean) each_coordinate<T>(tile, m, [&](int j) { w.u[j] = cosine * mu(j) + sine * w.t[j]; });
  const auto image = [&](int j) { return mean ? cosine * mu(j) + sine * w.u[j] : s(j) * w.u[j]; };
  T square = 0, radial = 0;
  each_coordinate<T>(tile, m, [&](int j) {
    const T y = image(j);
    square += y * y;
    radial += grad_y[j] * y;
  });
  const T inverse = T(1) / square_root(sum_over(tile, square));
  radial = sum_over(tile, radial) * inverse;
  T g_mu = 0, g_u = 0, g_axis = 0;
  each_coordinate<T>(tile, m, [&](int j) {
    const T g = (grad_y[j] + (h - radial) * (image(j) * inverse)) * inverse;
    w.g[j] = mean ? g : g * s(j);
    g_mu += w.g[j] * mu(j);
    g_u += w.g[j] * (mean ? w.u[j] : w.t[j]);
    if (mean) g_axis += g * w.axis[j];
  });
  g_mu = sum_over(tile, g_mu);
  g_u = sum_over(tile, g_u);
  g_axis = sum_over(tile, g_axis);
  each_coordinate<T>(tile, m, [&](int j) {
    if (mean) {
      grad_mu[j] += (cosine - sine * along) * w.g[j] - sine * (g_mu * w.u[j] + g_axis * w.t[j]);
      grad_l[j] += sine * s(j) * w.t[j] * (w.g[j] - g_mu * mu(j));
    } else {
      grad_mu[j] += cosine * w.g[j] - g_mu * w.u[j];
      grad_l[j] += w.u[j] * w.g[j];
    }
  });
  return cosine * g_u - sine * g_mu;
}

template <int kTile, class T>
__global__ void scaled_sample_backward_kernel(ScaledSampleBackwardArguments<T> a, ShellTable table,
                                              int first_shell, int count,
                                              GradientScratch<T> scratch) {
  const auto tile = cg::tiled_partition<kTile>(cg::this_thread_block());
  const SampleBackwardArguments<T>& x = a.x;
  const Stream stream(x.rng);
  const bool mean = a.raw.frame == ScaleFrame::kMean;
  const int64_t items = x.rows * count;
  for (int64_t item = thread_index() / kTile; item < items; item += thread_count() / kTile) {
    const int index = int(item % count), m = table.m[index], shell = first_shell + index;
    const int64_t row = item / count, at = row * x.shells.count + shell;
    const int64_t place = row * x.shells.width + table.offset[index];
    const T k = x.k[row * x.k_row + shell * x.k_column];
    const uint32_t base = first_block(x.shells.first + shell);
    const MeanDirection<T> mu(tile, x.raw + row * x.raw_stride + table.offset[index], m);
    const Scales<T> s(tile, a.raw.b + row * a.raw.stride + table.offset[index], m, a.raw.centred);
    const T one_minus_A = evaluate<Quantity::kRatioComplement>(FreeOrder<T>(T(m) / 2 - 1), k).value;
    const GradientScratch<T> w = {scratch.axis + place, scratch.t + place, scratch.u + place,
                                  scratch.g + place};
    T* grad_mu = x.grad_raw + place;
    T* grad_l = a.grad_b + place;
    const T grad_kl = x.grad_kl[at], h = grad_kl * (T(m) / T(x.samples));
    T grad_k = grad_kl * x.kl_slope[at], sum = 0;
    each_coordinate<T>(tile, m, [&](int j) {
      w.axis[j] = mu(j);
      sum += mu(j) * mu(j) / s(j);
    });
    sum = sum_over(tile, sum);
    if (mean) stretch_tangent(tile, s, mu, m, w.axis);
    // Of -log |A|.
    each_coordinate<T>(tile, m, [&](int j) {
      const T share = mu(j) / (s(j) * sum);
      grad_l[j] = grad_kl * (mean ? mu(j) * share - T(1) : T(-1));
      grad_mu[j] = mean ? T(-2) * grad_kl * share : T(0);
    });
    for (int64_t sample = 0; sample < x.samples; ++sample) {
      const int64_t draw = sample * x.rows + row;
      const T theta = x.theta[draw * x.shells.count + shell];
      draw_tangent(tile, stream, base, stream.row + uint32_t(row), stream.sample + uint32_t(sample),
                   mu, m, w.t);
      T sine_half, cosine_half;
      sine_cosine(T(0.5) * theta, sine_half, cosine_half);
      const T sine = T(2) * sine_half * cosine_half, cosine = T(1) - T(2) * sine_half * sine_half;
      const T turn = scaled_gradient(tile, w, s, mu, a.raw.frame,
                                     x.grad_z + draw * x.shells.width + table.offset[index], cosine,
                                     sine, h, m, grad_mu, grad_l);
      const T slope = x.gradient == AngleGradient::kImplicit
                          ? implicit_slope<T>(T(m), theta, k, one_minus_A)
                          : naive_slope<T>(T(m), sine, k);
      grad_k += slope * turn;
    }
    for (int pass = 0; pass < 2; ++pass) {
      T along = 0;
      each_coordinate<T>(tile, m, [&](int j) { along += grad_mu[j] * mu(j); });
      along = sum_over(tile, along);
      each_coordinate<T>(tile, m, [&](int j) { grad_mu[j] -= along * mu(j); });
    }
    const T inverse = mu.inverse_norm();
    T rest = 0;
    each_coordinate<T>(tile, m, [&](int j) {
      grad_mu[j] *= inverse;
      grad_l[j] = within_bounds(s.log(j)) ? T(0.5) * grad_l[j] : T(0);
      rest += grad_l[j];
    });
    rest = a.raw.centred ? sum_over(tile, rest) * (T(1) / T(m)) : T(0);
    each_coordinate<T>(tile, m, [&](int j) { grad_l[j] -= rest; });
    if (tile.thread_rank() == 0) x.grad_k[at] = grad_k;
  }
}

std::tuple<Tensor, Tensor, Tensor> scaled_sample_backward(
    const Tensor grad_z, const Tensor grad_kl, const Tensor raw_directions, const Tensor kappa,
    const Tensor raw_scales, const Tensor theta, const Tensor kl_slope, std::vector<int64_t> dims,
    const Tensor rng, int64_t frame, bool centred, int64_t gradient, int64_t shell) {
  ScaledSampleBackward s(grad_z, grad_kl, raw_directions, kappa, raw_scales, theta, kl_slope, dims,
                         rng, frame, centred, gradient, shell);
  const torch::stable::accelerator::DeviceGuard guard(raw_directions.get_device_index());
  const int64_t size = s.x.rows * s.x.packed.width;
  const Tensor scratch = new_empty(s.grad_b, {4, size});
  with_type(grad_z, [&]<class T>(T) {
    const auto a = s.arguments<T>();
    const SampleBackwardArguments<T>& x = a.x;
    if (x.rows == 0) return;
    T* p = scratch.mutable_data_ptr<T>();
    const GradientScratch<T> parts = {p, p + size, p + 2 * size, p + 3 * size};
    with_tile(s.x.packed, [&]<int kTile>(std::integral_constant<int, kTile>) {
      for (int first = 0; first < x.shells.count; first += kShellsALaunch) {
        const int count = std::min(kShellsALaunch, x.shells.count - first);
        scaled_sample_backward_kernel<kTile, T>
            <<<blocks_for(x.rows * count * kTile), kThreads, 0, current_stream(raw_directions)>>>(
                a, shell_table(x.shells, first, count), first, count, parts);
      }
    });
    check_launch("hvae::scaled_sample_backward");
  });
  return s.result();
}

}  // namespace
}  // namespace hvae

STABLE_TORCH_LIBRARY_IMPL(hvae, CUDA, m) {
  m.impl("scaled_sample", TORCH_BOX(&hvae::scaled_sample));
  m.impl("scaled_sample_backward", TORCH_BOX(&hvae::scaled_sample_backward));
}
