// The draw of scaled shells and its gradient on the GPU: launches as in sample.cu, and a small one that
// averages where there are several draws a row.
#include "../math/stretch.h"
#include "../torch/scaled_sample.h"
#include "angle.h"
#include "columns.h"
#include "slope.h"
#include "tangent.h"

namespace hvae {
namespace {

// Few lanes for small shells, a warp for large ones; the vectors are too many for registers.
using ScaledLayouts =
    LayoutList<Layout<4, 0, 16>, Layout<16, 0, 64>, Layout<32, 0, kMostDimensions>>;

// The scales of one shell of one row, coordinate by coordinate, from its raw ones.
template <class T, class L>
struct Scales {
  const T* b;
  T mean;

  __device__ Scales(const Tile<L>& tile, const T* raw, int m, bool centred) : b(raw), mean(0) {
    for (int pass = 0; centred && pass < 2; ++pass) {
      T rest = 0;
      each_coordinate<T, L>(tile, m,
                            [&](int, int j) { rest += (T(0.5) * b[j] - mean) * (T(1) / T(m)); });
      mean += sum_over<L>(tile, rest);
    }
  }

  __device__ T log(int j) const { return log_scale<T>(T(0.5) * b[j], mean); }
  __device__ T operator()(int j) const { return exp(log(j)); }
  __device__ T less_one(int j) const { return expm1(log(j)); }
};

// x becomes P diag(s) x, with P applied twice; returns mu.(s x).
template <class T, class L>
__device__ T stretch_tangent(const Tile<L>& tile, const Scales<T, L>& s,
                             const MeanDirection<T, L>& mu, int m, T* x) {
  T along = 0;
  each_coordinate<T, L>(tile, m, [&](int, int j) {
    x[j] *= s(j);
    along += x[j] * mu(0, j);
  });
  along = sum_over<L>(tile, along);
  T rest = 0;
  each_coordinate<T, L>(tile, m, [&](int, int j) {
    x[j] -= along * mu(0, j);
    rest += x[j] * mu(0, j);
  });
  rest = sum_over<L>(tile, rest);
  each_coordinate<T, L>(tile, m, [&](int, int j) { x[j] -= rest * mu(0, j); });
  return along;
}

template <class T, class L>
__device__ T log_volume(const Tile<L>& tile, const Scales<T, L>& s, const MeanDirection<T, L>& mu,
                        int m, ScaleFrame frame) {
  T logs = 0, sum = 0, less_one = 0;
  each_coordinate<T, L>(tile, m, [&](int, int j) {
    const T share = mu(0, j) * mu(0, j) / s(j);
    logs += s.log(j);
    sum += share;
    less_one -= share * s.less_one(j);
  });
  logs = sum_over<L>(tile, logs);
  sum = sum_over<L>(tile, sum);
  less_one = sum_over<L>(tile, less_one);
  return frame == ScaleFrame::kMean ? logs + log_of_sum(less_one, sum) : logs;
}

template <class L, class T>
__global__ void scaled_sample_kernel(ScaledSampleArguments<T> a, ShellTable table, int count,
                                     T* tangents) {
  const auto tile = this_tile<L>();
  const SampleArguments<T>& x = a.x;
  const Stream stream(x.rng);
  const bool mean = a.raw.frame == ScaleFrame::kMean;
  const int64_t items = x.samples * x.rows * count;
  for (int64_t item = thread_index() / L::lanes; item < items; item += thread_count() / L::lanes) {
    const Place place(table, item, count);
    const int m = place.m, shell = place.shell;
    const int64_t draw = place.draw, row = draw % x.rows, sample = draw / x.rows;
    const T k = x.k[row * x.k_row + shell * x.k_column];
    const uint32_t base = first_block(x.shells.first + shell);
    const uint32_t c0 = stream.row + uint32_t(row), c1 = stream.sample + uint32_t(sample);
    const MeanDirection<T, L> mu(tile, x.raw + row * x.raw_stride + place.offset, m);
    const Scales<T, L> s(tile, a.raw.b + row * a.raw.stride + place.offset, m, a.raw.centred);
    const Angle<T> angle = draw_angle<T, L>(tile, stream, base, c0, c1, k, m);
    const T cosine = T(1) - angle.v;
    Coordinates<T, 0> t(tangents + draw * x.shells.width + place.offset);
    T* y = x.z + draw * x.shells.width + place.offset;
    draw_tangent<T, L>(tile, stream, base, c0, c1, mu, m, t);
    T growth = 0, square = 0;
    each_coordinate<T, L>(tile, m, [&](int, int j) { y[j] = t(0, j); });
    if (mean) stretch_tangent<T, L>(tile, s, mu, m, y);
    each_coordinate<T, L>(tile, m, [&](int, int j) {
      const T less_one = s.less_one(j);
      if (mean) {
        const T change = y[j] - t(0, j);
        growth += T(2) * less_one * t(0, j) * t(0, j) + change * change;
      }
      y[j] = cosine * mu(0, j) + angle.sine * y[j];
      if (!mean) {
        growth += y[j] * y[j] * (less_one * (less_one + T(2)));
        y[j] *= s(j);
      }
      square += y[j] * y[j];
    });
    growth = sum_over<L>(tile, growth) * (mean ? angle.sine * angle.sine : T(1));
    square = sum_over<L>(tile, square);
    const T inverse = T(1) / square_root(square);
    each_coordinate<T, L>(tile, m, [&](int, int j) { y[j] *= inverse; });
    const T stretch = T(0.5) * T(m) * log_of_sum(growth, square);
    const T volume = sample == 0 ? log_volume<T, L>(tile, s, mu, m, a.raw.frame) : T(0);
    if (tile.thread_rank() == 0) {
      x.v[draw * x.shells.count + shell] = angle.v;
      x.theta[draw * x.shells.count + shell] = angle.theta;
      a.stretch[draw * x.shells.count + shell] = stretch;
      if (sample == 0) {
        const int64_t at = row * x.shells.count + shell;
        a.volume[at] = volume;
        if (x.samples == 1) x.kl[at] = x.kl[at] + (stretch - volume);
      }
    }
  }
}

// KL = that before the stretching + the mean of m log |A x| - log |A|.
template <class T>
__global__ void scaled_mean_kernel(ScaledSampleArguments<T> a) {
  const int64_t each = a.x.rows * a.x.shells.count;
  for (int64_t i = thread_index(); i < each; i += thread_count()) {
    T sum = 0, lost = 0;  // compensated (Kahan 1965)
    for (int64_t sample = 0; sample < a.x.samples; ++sample) {
      const T term = a.stretch[sample * each + i] - lost, next = sum + term;
      lost = (next - sum) - term;
      sum = next;
    }
    a.x.kl[i] = a.x.kl[i] + (sum / T(a.x.samples) - a.volume[i]);
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
    launch_divergences(x, queue);
    ScaledLayouts::each_launch(x.shells, [&]<class L>(const ShellTable& table, int count) {
      scaled_sample_kernel<L, T>
          <<<blocks_for(x.samples * x.rows * count * L::lanes), kThreads, 0, queue>>>(
              a, table, count, tangents.mutable_data_ptr<T>());
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
template <class T, class L>
__device__ T scaled_gradient(const Tile<L>& tile, const GradientScratch<T>& w,
                             const Scales<T, L>& s, const MeanDirection<T, L>& mu, ScaleFrame frame,
                             const T* grad_y, T cosine, T sine, T h, int m, T* grad_mu, T* grad_l) {
  const bool mean = frame == ScaleFrame::kMean;
  T along = 0;
  each_coordinate<T, L>(tile, m, [&](int, int j) { w.u[j] = w.t[j]; });
  if (mean) along = stretch_tangent<T, L>(tile, s, mu, m, w.u);
  if (!mean)
    each_coordinate<T, L>(tile, m, [&](int, int j) { w.u[j] = cosine * mu(0, j) + sine * w.t[j]; });
  const auto image = [&](int j) {
    return mean ? cosine * mu(0, j) + sine * w.u[j] : s(j) * w.u[j];
  };
  T square = 0, radial = 0;
  each_coordinate<T, L>(tile, m, [&](int, int j) {
    const T y = image(j);
    square += y * y;
    radial += grad_y[j] * y;
  });
  const T inverse = T(1) / square_root(sum_over<L>(tile, square));
  radial = sum_over<L>(tile, radial) * inverse;
  T g_mu = 0, g_u = 0, g_axis = 0;
  each_coordinate<T, L>(tile, m, [&](int, int j) {
    const T g = (grad_y[j] + (h - radial) * (image(j) * inverse)) * inverse;
    w.g[j] = mean ? g : g * s(j);
    g_mu += w.g[j] * mu(0, j);
    g_u += w.g[j] * (mean ? w.u[j] : w.t[j]);
    if (mean) g_axis += g * w.axis[j];
  });
  g_mu = sum_over<L>(tile, g_mu);
  g_u = sum_over<L>(tile, g_u);
  g_axis = sum_over<L>(tile, g_axis);
  each_coordinate<T, L>(tile, m, [&](int, int j) {
    if (mean) {
      grad_mu[j] += (cosine - sine * along) * w.g[j] - sine * (g_mu * w.u[j] + g_axis * w.t[j]);
      grad_l[j] += sine * s(j) * w.t[j] * (w.g[j] - g_mu * mu(0, j));
    } else {
      grad_mu[j] += cosine * w.g[j] - g_mu * w.u[j];
      grad_l[j] += w.u[j] * w.g[j];
    }
  });
  return cosine * g_u - sine * g_mu;
}

template <class L, class T>
__global__ void scaled_sample_backward_kernel(ScaledSampleBackwardArguments<T> a, ShellTable table,
                                              int count, GradientScratch<T> scratch) {
  const auto tile = this_tile<L>();
  const SampleBackwardArguments<T>& x = a.x;
  const Stream stream(x.rng);
  const bool mean = a.raw.frame == ScaleFrame::kMean;
  const int64_t items = x.rows * count;
  for (int64_t item = thread_index() / L::lanes; item < items; item += thread_count() / L::lanes) {
    const Place place(table, item, count);
    const int m = place.m, shell = place.shell;
    const int64_t row = place.draw, at = row * x.shells.count + shell;
    const int64_t first = row * x.shells.width + place.offset;
    const T k = x.k[row * x.k_row + shell * x.k_column];
    const uint32_t base = first_block(x.shells.first + shell);
    const MeanDirection<T, L> mu(tile, x.raw + row * x.raw_stride + place.offset, m);
    const Scales<T, L> s(tile, a.raw.b + row * a.raw.stride + place.offset, m, a.raw.centred);
    const GradientScratch<T> w = {scratch.axis + first, scratch.t + first, scratch.u + first,
                                  scratch.g + first};
    T* grad_mu = x.grad_raw + first;
    T* grad_l = a.grad_b + first;
    Coordinates<T, 0> tangent(w.t);
    const T grad_kl = x.grad_kl[at], h = grad_kl * (T(m) / T(x.samples));
    T grad_k = grad_kl * x.kl_slope[at], sum = 0;
    each_coordinate<T, L>(tile, m, [&](int, int j) {
      w.axis[j] = mu(0, j);
      sum += mu(0, j) * mu(0, j) / s(j);
    });
    sum = sum_over<L>(tile, sum);
    if (mean) stretch_tangent<T, L>(tile, s, mu, m, w.axis);
    // Of -log |A|.
    each_coordinate<T, L>(tile, m, [&](int, int j) {
      const T share = mu(0, j) / (s(j) * sum);
      grad_l[j] = grad_kl * (mean ? mu(0, j) * share - T(1) : T(-1));
      grad_mu[j] = mean ? T(-2) * grad_kl * share : T(0);
    });
    for (int64_t sample = 0; sample < x.samples; ++sample) {
      const int64_t draw = sample * x.rows + row;
      const T theta = x.theta[draw * x.shells.count + shell];
      draw_tangent<T, L>(tile, stream, base, stream.row + uint32_t(row),
                         stream.sample + uint32_t(sample), mu, m, tangent);
      T sine_half, cosine_half;
      sine_cosine(T(0.5) * theta, sine_half, cosine_half);
      const T sine = T(2) * sine_half * cosine_half, cosine = T(1) - T(2) * sine_half * sine_half;
      const T turn = scaled_gradient<T, L>(tile, w, s, mu, a.raw.frame,
                                           x.grad_z + draw * x.shells.width + place.offset, cosine,
                                           sine, h, m, grad_mu, grad_l);
      const T slope = angle_slope<T, L>(tile, x.gradient, m, theta, sine, k, x.kl_slope[at]);
      grad_k += slope * turn;
    }
    for (int pass = 0; pass < 2; ++pass) {
      T along = 0;
      each_coordinate<T, L>(tile, m, [&](int, int j) { along += grad_mu[j] * mu(0, j); });
      along = sum_over<L>(tile, along);
      each_coordinate<T, L>(tile, m, [&](int, int j) { grad_mu[j] -= along * mu(0, j); });
    }
    const T inverse = mu.inverse_norm();
    T rest = 0;
    each_coordinate<T, L>(tile, m, [&](int, int j) {
      grad_mu[j] *= inverse;
      grad_l[j] = within_bounds(s.log(j)) ? T(0.5) * grad_l[j] : T(0);
      rest += grad_l[j];
    });
    rest = a.raw.centred ? sum_over<L>(tile, rest) * (T(1) / T(m)) : T(0);
    each_coordinate<T, L>(tile, m, [&](int, int j) { grad_l[j] -= rest; });
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
    const cudaStream_t queue = current_stream(raw_directions);
    ScaledLayouts::each_launch(x.shells, [&]<class L>(const ShellTable& table, int count) {
      scaled_sample_backward_kernel<L, T>
          <<<blocks_for(x.rows * count * L::lanes), kThreads, 0, queue>>>(a, table, count, parts);
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
