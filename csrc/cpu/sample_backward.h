// The gradient of a draw in the raw mean directions and the concentrations.
#pragma once

#include "../arguments/sample.h"
#include "../math/implicit.h"
#include "tangent.h"

namespace hvae {
inline namespace HVAE_TIER {

template <class T>
int64_t sample_backward_tasks(const SampleBackwardArguments<T>& a) {
  return ceil_divide(a.rows, 16) * a.shells.count;
}

// mu: moved by the smallest rotation, g_mu = w gz - (mu.gz) z, then through the normalisation: g_mu
// has no part along mu already. k: dtheta/dk gz.(-sin theta mu + cos theta t) + gkl dKL/dk.
template <class T>
void sample_backward(const SampleBackwardArguments<T>& a, int64_t first_task, int64_t last_task) {
  using V = Vector<T>;
  using W = Word<V>;
  constexpr int lanes = kLanes<T>;
  const Stream stream(a.rng);
  const int64_t shells = a.shells.count, width = a.shells.width;
  const int64_t widest = widest_of(a.shells);
  Scratch<T> mu(widest * lanes), t(widest * lanes), gz(widest * lanes), g(widest * lanes);
  for (int64_t task = first_task; task < last_task; ++task) {
    const int64_t shell = task % shells, m = a.shells.dims[shell], offset = a.shells.offsets[shell];
    const int64_t end = least((task / shells + 1) * 16, a.rows);
    const uint32_t base = first_block(a.shells.first + shell);
    const Order<T>& order = prepared<T>(double(m) / 2 - 1);
    for (int64_t row = task / shells * 16; row < end; row += lanes) {
      const int count = int(least(lanes, end - row));
      rows_to_lanes(a.raw + row * a.raw_stride + offset, a.raw_stride, m, count, mu.get());
      const V inverse = normalise<V>(mu.get(), m);
      V k = splat<V>(1), kl_part = splat<V>(0);
      W rows = W{};
      for (int i = 0; i < count; ++i) {
        const int64_t at = (row + i) * shells + shell;
        k[i] = a.k[(row + i) * a.k_row + shell * a.k_column];
        kl_part[i] = a.grad_kl[at] * a.kl_slope[at];
        rows[i] = Word<T>(uint32_t(stream.row + row + i));
      }
      V one_minus_A = splat<V>(0);
      if (a.gradient == AngleGradient::kImplicit)
        one_minus_A = evaluate<Quantity::kRatioComplement>(order, k).value;
      for (int64_t j = 0; j < m; ++j) store<V>(g.get() + j * lanes, splat<V>(0));
      V grad_k = kl_part;
      for (int64_t s = 0; s < a.samples; ++s) {
        const int64_t draw = s * a.rows + row;
        rows_to_lanes(a.grad_z + draw * width + offset, width, m, count, gz.get());
        V theta = splat<V>(1);
        for (int i = 0; i < count; ++i) theta[i] = a.theta[(draw + i) * shells + shell];
        tangent<V>(stream, base, rows, W{} + Word<T>(uint32_t(stream.sample + s)), mu.get(), m,
                   t.get());
        V sine_half, cosine_half;
        sine_cosine(T(0.5) * theta, sine_half, cosine_half);
        const V sine = T(2) * sine_half * cosine_half, cosine = T(1) - T(2) * sine_half * sine_half;
        const V along_mu = dot<V>(gz.get(), mu.get(), m), along_t = dot<V>(gz.get(), t.get(), m);
        const V slope = a.gradient == AngleGradient::kImplicit
                            ? implicit_slope<V>(T(m), theta, k, one_minus_A)
                            : naive_slope<V>(T(m), sine, k);
        grad_k = grad_k + slope * (cosine * along_t - sine * along_mu);
        for (int64_t j = 0; j < m; ++j) {
          const V z = cosine * load<V>(mu.get() + j * lanes) + sine * load<V>(t.get() + j * lanes);
          T* at = g.get() + j * lanes;
          store<V>(at, load<V>(at) + (cosine * load<V>(gz.get() + j * lanes) - along_mu * z));
        }
      }
      for (int64_t j = 0; j < m; ++j)
        store<V>(g.get() + j * lanes, load<V>(g.get() + j * lanes) * inverse);
      lanes_to_rows(g.get(), m, count, a.grad_raw + row * width + offset, width);
      for (int i = 0; i < count; ++i) a.grad_k[(row + i) * shells + shell] = grad_k[i];
    }
  }
}

}  // namespace HVAE_TIER
}  // namespace hvae
