// The gradient of a draw of scaled shells in raw mean directions, concentrations and log scales.
#pragma once

#include "../math/implicit.h"
#include "scales.h"

namespace hvae {
inline namespace HVAE_TIER {

template <class T>
int64_t scaled_sample_backward_tasks(const ScaledSampleBackwardArguments<T>& a) {
  return ceil_divide(a.x.rows, 16) * a.x.shells.count;
}

// Scratch of one shell in lanes, [m][lanes] each.
template <class T>
struct ScaledGradient {
  T *mu, *l, *s, *axis, *t, *u, *g, *grad_mu, *grad_l;  // axis: P diag(s) mu
};

// What one draw adds to grad_mu and grad_l; returns what dtheta/dk is multiplied by. g is the
// gradient at y and becomes that at A x: of y = A x / |A x| and of h log |A x|.
template <class V>
HVAE_FN V scaled_gradient(const ScaledGradient<Real<V>>& w, ScaleFrame frame, V cosine, V sine, V h,
                          int64_t m) {
  using R = Real<V>;
  constexpr int lanes = Lanes<V>::count;
  const auto of = [](const R* x, int64_t j) { return load<V>(x + j * lanes); };
  const bool mean = frame == ScaleFrame::kMean;
  V along = splat<V>(0);
  for (int64_t j = 0; j < m; ++j) store<V>(w.u + j * lanes, of(w.t, j));
  if (mean) along = stretch_tangent<V>(w.s, w.mu, m, w.u);
  // In the mean frame u = P diag(s) t is kept; in the fixed one it becomes x.
  if (!mean)
    for (int64_t j = 0; j < m; ++j)
      store<V>(w.u + j * lanes, cosine * of(w.mu, j) + sine * of(w.t, j));
  const auto image = [&](int64_t j) {
    return mean ? cosine * of(w.mu, j) + sine * of(w.u, j) : of(w.s, j) * of(w.u, j);
  };
  const V square = sum_of<V>(m, [&](int64_t j) { return image(j) * image(j); });
  const V inverse = R(1) / square_root(square);
  const V radial = inverse * sum_of<V>(m, [&](int64_t j) { return of(w.g, j) * image(j); });
  for (int64_t j = 0; j < m; ++j)
    store<V>(w.g + j * lanes, (of(w.g, j) + (h - radial) * (image(j) * inverse)) * inverse);
  if (mean) {
    const V g_mu = dot<V>(w.g, w.mu, m), g_u = dot<V>(w.g, w.u, m), g_axis = dot<V>(w.g, w.axis, m);
    for (int64_t j = 0; j < m; ++j) {
      const V turned =
          (cosine - sine * along) * of(w.g, j) - sine * (g_mu * of(w.u, j) + g_axis * of(w.t, j));
      store<V>(w.grad_mu + j * lanes, of(w.grad_mu, j) + turned);
      const V scaled = sine * of(w.s, j) * of(w.t, j) * (of(w.g, j) - g_mu * of(w.mu, j));
      store<V>(w.grad_l + j * lanes, of(w.grad_l, j) + scaled);
    }
    return cosine * g_u - sine * g_mu;
  }
  for (int64_t j = 0; j < m; ++j) {
    const V gx = of(w.s, j) * of(w.g, j);
    store<V>(w.grad_l + j * lanes, of(w.grad_l, j) + of(w.u, j) * gx);
    store<V>(w.g + j * lanes, gx);
  }
  const V g_mu = dot<V>(w.g, w.mu, m), g_t = dot<V>(w.g, w.t, m);
  for (int64_t j = 0; j < m; ++j)
    store<V>(w.grad_mu + j * lanes, of(w.grad_mu, j) + (cosine * of(w.g, j) - g_mu * of(w.u, j)));
  return cosine * g_t - sine * g_mu;
}

// The mean direction moves a draw x by the smallest rotation, and in the frame at it the stretching
// too: with g the gradient at A x,
//   grad_mu = (cos theta - sin theta mu.Dt) g - sin theta ((mu.g) P D t + (g.P D mu) t)
// and in the fixed frame w g - (mu.g) x with g diag(s) times that at A x. The rest is the chain rule.
template <class T>
void scaled_sample_backward(const ScaledSampleBackwardArguments<T>& a, int64_t first_task,
                            int64_t last_task) {
  using V = Vector<T>;
  using W = Word<V>;
  constexpr int lanes = kLanes<T>;
  const SampleBackwardArguments<T>& x = a.x;
  const Stream stream(x.rng);
  const int64_t shells = x.shells.count, width = x.shells.width;
  const int64_t size = widest_of(x.shells) * lanes;
  const bool mean = a.raw.frame == ScaleFrame::kMean;
  Scratch<T> memory(9 * size);
  T* p = memory.get();
  const ScaledGradient<T> w = {p,
                               p + size,
                               p + 2 * size,
                               p + 3 * size,
                               p + 4 * size,
                               p + 5 * size,
                               p + 6 * size,
                               p + 7 * size,
                               p + 8 * size};
  for (int64_t task = first_task; task < last_task; ++task) {
    const int64_t shell = task % shells, m = x.shells.dims[shell], offset = x.shells.offsets[shell];
    const int64_t end = least((task / shells + 1) * 16, x.rows);
    const uint32_t base = first_block(x.shells.first + shell);
    const Order<T>& order = prepared<T>(double(m) / 2 - 1);
    for (int64_t row = task / shells * 16; row < end; row += lanes) {
      const int count = int(least(lanes, end - row));
      rows_to_lanes(x.raw + row * x.raw_stride + offset, x.raw_stride, m, count, w.mu);
      const V inverse = normalise<V>(w.mu, m);
      log_scales(a.raw, row, offset, m, count, w.l);
      for (int64_t j = 0; j < m; ++j) {
        store<V>(w.s + j * lanes, exp(load<V>(w.l + j * lanes)));
        store<V>(w.axis + j * lanes, load<V>(w.mu + j * lanes));
      }
      V k = splat<V>(1), grad_kl = splat<V>(0), grad_k = splat<V>(0);
      W rows = W{};
      for (int i = 0; i < count; ++i) {
        const int64_t at = (row + i) * shells + shell;
        k[i] = x.k[(row + i) * x.k_row + shell * x.k_column];
        grad_kl[i] = x.grad_kl[at];
        grad_k[i] = x.grad_kl[at] * x.kl_slope[at];
        rows[i] = Word<T>(uint32_t(stream.row + row + i));
      }
      if (mean) stretch_tangent<V>(w.s, w.mu, m, w.axis);
      V sum = splat<V>(1);
      if (mean)
        sum = sum_of<V>(m, [&](int64_t j) {
          const V component = load<V>(w.mu + j * lanes);
          return component * component / load<V>(w.s + j * lanes);
        });
      // Of -log |A|.
      for (int64_t j = 0; j < m; ++j) {
        const V component = load<V>(w.mu + j * lanes);
        const V share = component / (load<V>(w.s + j * lanes) * sum);
        store<V>(w.grad_l + j * lanes, grad_kl * (mean ? component * share - T(1) : splat<V>(-1)));
        store<V>(w.grad_mu + j * lanes, mean ? T(-2) * grad_kl * share : splat<V>(0));
      }
      V one_minus_A = splat<V>(0);
      if (x.gradient == AngleGradient::kImplicit)
        one_minus_A = evaluate<Quantity::kRatioComplement>(order, k).value;
      const V h = grad_kl * (T(m) / T(x.samples));
      for (int64_t sample = 0; sample < x.samples; ++sample) {
        const int64_t draw = sample * x.rows + row;
        rows_to_lanes(x.grad_z + draw * width + offset, width, m, count, w.g);
        V theta = splat<V>(1);
        for (int i = 0; i < count; ++i) theta[i] = x.theta[(draw + i) * shells + shell];
        tangent<V>(stream, base, rows, W{} + Word<T>(uint32_t(stream.sample + sample)), w.mu, m,
                   w.t);
        V sine_half, cosine_half;
        sine_cosine(T(0.5) * theta, sine_half, cosine_half);
        const V sine = T(2) * sine_half * cosine_half, cosine = T(1) - T(2) * sine_half * sine_half;
        const V turn = scaled_gradient<V>(w, a.raw.frame, cosine, sine, h, m);
        const V slope = x.gradient == AngleGradient::kImplicit
                            ? implicit_slope<V>(T(m), theta, k, one_minus_A)
                            : naive_slope<V>(T(m), sine, k);
        grad_k = grad_k + slope * turn;
      }
      project<V>(w.grad_mu, w.mu, m);
      V rest = splat<V>(0);
      for (int64_t j = 0; j < m; ++j) {
        store<V>(w.grad_mu + j * lanes, load<V>(w.grad_mu + j * lanes) * inverse);
        const V half = T(0.5) * load<V>(w.grad_l + j * lanes);
        store<V>(w.grad_l + j * lanes,
                 select(within_bounds(load<V>(w.l + j * lanes)), half, splat<V>(0)));
      }
      if (a.raw.centred)
        rest = sum_of<V>(m, [&](int64_t j) { return load<V>(w.grad_l + j * lanes); });
      rest = rest * (T(1) / T(m));
      for (int64_t j = 0; j < m; ++j)
        store<V>(w.grad_l + j * lanes, load<V>(w.grad_l + j * lanes) - rest);
      lanes_to_rows(w.grad_mu, m, count, x.grad_raw + row * width + offset, width);
      lanes_to_rows(w.grad_l, m, count, a.grad_b + row * width + offset, width);
      for (int i = 0; i < count; ++i) x.grad_k[(row + i) * shells + shell] = grad_k[i];
    }
  }
}

}  // namespace HVAE_TIER
}  // namespace hvae
