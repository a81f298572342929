// The stretching of a draw x of a von Mises-Fisher shell to y = A x / |A x|, with scales s_i > 0:
//   "mean"   A = mu mu' + P diag(s) P, P = I - mu mu';  "fixed"   A = diag(s).
// With x = cos(theta) mu + sin(theta) t and u = P diag(s) t
//   A x       = cos(theta) mu + sin(theta) u,   or s_i x_i
//   |A x|^2-1 = sin(theta)^2 (|u|^2 - 1),       or sum x_i^2 (s_i^2 - 1)
//   |u|^2 - 1 = sum 2 (s_i - 1) t_i^2 + |u - t|^2
//   log |A|   = sum log s_i + log sum mu_i^2 / s_i,   or sum log s_i
//   sum mu_i^2 / s_i - 1 = -sum mu_i^2 (s_i - 1) / s_i
// so that logarithms near 0 are taken by log1p of sums in s - 1, in which nothing cancels, and others
// of sums of positive terms. Log scales are bounded, so that no square overflows or vanishes.
#pragma once

#include "elementary.h"

namespace hvae {
inline namespace HVAE_TIER {

// s from 1e-13 to 1e13: beyond it stays there.
constexpr float kMostLogScale = 30;

// log s from half of b and half of its mean; a NaN stays one.
template <class V>
HVAE_FN V log_scale(V half, V mean) {
  using R = Real<V>;
  V l = half - mean;
  l = select(l > R(kMostLogScale), splat<V>(R(kMostLogScale)), l);
  return select(l < R(-kMostLogScale), splat<V>(R(-kMostLogScale)), l);
}

// Whether log s follows b.
template <class V>
HVAE_FN Mask<V> within_bounds(V l) {
  using R = Real<V>;
  return (l > R(-kMostLogScale)) && (l < R(kMostLogScale));
}

// log of a positive sum: from the sum less 1 where that keeps its digits.
template <class V>
HVAE_FN V log_of_sum(V less_one, V sum) {
  using R = Real<V>;
  auto near_one = less_one > R(-0.5);
  return select(near_one, log1p(select(near_one, less_one, splat<V>(0))), log(sum));
}

}  // namespace HVAE_TIER
}  // namespace hvae
