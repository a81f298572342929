// The angle theta between a draw of the Power Spherical distribution, density (1 + cos theta)^k on
// S^{m-1} (De Cao and Aziz 2020), and its mean direction, and its derivative in k.
//
// With d = m - 1, x = sin^2(theta/2) is Beta(d/2, k + d/2). It is drawn by Wood's scheme (wood.h),
// whose map x = b eps / D, D = b eps + 1 - eps, makes of Beta(d/2, d/2) a density that is
// proportional to (x (1-x))^{d/2-1} (x + b (1-x))^{-d}. The ratio (1-x)^k (x + b (1-x))^d has its
// largest value at 1 - x = k / ((1-b) (k+d)), and b = d / (2k + d) makes that least. With
// c = 2 eps - 1 and q = 2k (1 - eps) + d the logarithm of the ratio, less that of the largest, is
//   k log1p(-d c / q) + d log1p(k c / q).
// Acceptance is at least 0.657, as Wood's; a NaN concentration is accepted and propagates.
//
// The derivative (Figurnov, Mohamed, Mnih 2018) in y = sqrt(-log(1-x)), in which the density
//   h(y) = (d/2 - 1) log x + log y - a y^2,  a = k + d/2,  x = 1 - e^{-y^2},
// is log-concave, y^{m-2} times a Gaussian and an analytic factor: with D = E[y^2],
//   dy/dk = - int_0^y (D - s^2) exp(h(s) - h(y)) ds,
// and, the whole integral being zero, the same from y on with the other sign, taken where y^2 > D:
// so the integrand keeps one sign. With s = y + delta, Delta = s^2 - y^2 = delta (2y + delta)
// nothing cancels at large m:
//   x(s)/x = 1 - (1-x)/x expm1(-Delta);
// at small m, where s may be far below y, the logarithms are of x(s)/x and s/y themselves.
// dtheta/dk = 2 y / tan(theta/2) dy/dk. Gauss-Legendre over the part in which the integrand is above
// e^-36 (float: e^-18) of its value at y, 24 (16) nodes.
#pragma once

#include "implicit.h"
#include "wood.h"

namespace hvae {
inline namespace HVAE_TIER {

template <class V>
struct PowerAngle : MappedBeta<V> {
  using R = Real<V>;
  using W = Word<V>;
  using MappedBeta<V>::k, MappedBeta<V>::b, MappedBeta<V>::d;

  HVAE_FN PowerAngle(V concentration, R m) : MappedBeta<V>(concentration, m) {
    b = d / (R(2) * k + d);
  }

  HVAE_FN Mask<V> refused(const Proposal<V>& p, W n3) const {
    V c = p.eps - p.one_minus_eps;
    V share = c / (R(2) * k * p.one_minus_eps + d);
    V log_ratio = k * log1p(-d * share) + d * log1p(k * share);
    return log_ratio < log_positive(open_uniform<V>(n3));
  }
};

// psi(a + b) - psi(a), a, b >= 1/2, all of whose terms are positive: 1/(a+j) - 1/(a+b+j) for j < n
// (DLMF 5.5.2), and the difference of two asymptotic series (DLMF 5.11.2). At n + 1/2 its terms
// leave 3e-17 (n = 8, 8 terms) or 3e-9 (n = 4, 4 terms).
template <class V>
HVAE_FN V digamma_difference(V a, V b) {
  using R = Real<V>;
  constexpr int n = is_single<V> ? 4 : 8, terms = is_single<V> ? 4 : 8;
  // B_2j / 2j
  constexpr double coefficients[8] = {1.0 / 12,  -1.0 / 120,     1.0 / 252, -1.0 / 240,
                                      1.0 / 132, -691.0 / 32760, 1.0 / 12,  -3617.0 / 8160};
  V sum = splat<V>(0);
  HVAE_UNROLL
  for (int j = 0; j < n; ++j) sum = sum + b / ((a + R(j)) * (a + b + R(j)));
  V low = R(1) / (a + R(n)), high = R(1) / (a + b + R(n));
  V x = low * low, y = high * high;
  V of_x = splat<V>(0), of_y = splat<V>(0);
  HVAE_UNROLL
  for (int j = terms - 1; j >= 0; --j) {
    of_x = (of_x + R(coefficients[j])) * x;
    of_y = (of_y + R(coefficients[j])) * y;
  }
  return sum + (log1p(b * low) + (R(0.5) * b * low * high + (of_x - of_y)));
}

template <class V>
class PowerSlope {
  using R = Real<V>;

 public:
  HVAE_FN PowerSlope(R m, V theta, V k)
      : half_(R(0.5) * (m - R(1))), far_(m < R(8)), total_(k + half_) {
    V sine, cosine;
    sine_cosine(R(0.5) * theta, sine, cosine);
    degenerate_ = sine <= R(0) || cosine <= R(0);
    sine = select(degenerate_, splat<V>(R(0.5)), sine);
    cosine = select(degenerate_, splat<V>(R(0.5)), cosine);
    x_ = sine * sine;
    rest_ = cosine * cosine;
    square_ = -select(x_ < R(0.5), log1p(-x_), R(2) * log_positive(cosine));
    y_ = square_root(square_);
    inverse_x_ = R(1) / x_;
    inverse_y_ = R(1) / y_;
    excess_ = digamma_difference(total_, splat<V>(half_)) - square_;
    upper_ = excess_ < R(0);
    side_ = select(upper_, splat<V>(1), splat<V>(-1));
    scale_ = R(-2) * y_ * cosine / sine;
  }

  HVAE_FN V derivative() const {
    constexpr int nodes = is_single<V> ? 16 : 24;
    V range = extent(), sum = splat<V>(0);
    for (int i = 0; i < nodes; ++i) {
      const R node = is_single<V> ? R(kNodes16[i]) : R(kNodes24[i]);
      const R weight = is_single<V> ? R(kWeights16[i]) : R(kWeights24[i]);
      Point p = at(range * node);
      sum = sum + weight * (magnitude(excess_ - p.growth) * exp(p.exponent));
    }
    // A NaN concentration must not be hidden by the ends of the interval.
    return select(degenerate_, total_ * R(0), scale_ * range * sum);
  }

 private:
  struct Point {
    V exponent, slope, growth;  // slope of the exponent in the distance; growth is Delta
  };

  HVAE_FN Point at(V distance) const {
    V delta = side_ * distance;
    V s = larger(y_ + delta, y_ * R(0x1p-20));
    V growth = delta * (R(2) * y_ + delta);
    V logs, x, rest;
    if (far_) {
      x = -expm1(-s * s);
      rest = R(1) - x;
      logs = (half_ - R(1)) * log_positive(x * inverse_x_) + log_positive(s * inverse_y_);
    } else {
      V change = expm1(-growth);
      V relative = larger(-rest_ * inverse_x_ * change, splat<V>(R(-0.999999)));
      rest = rest_ * (change + R(1));
      x = x_ * (relative + R(1));
      logs = (half_ - R(1)) * log1p(relative) + log_positive(s * inverse_y_);
    }
    V inverse = R(1) / s;
    V slope = (R(2) * half_ - R(2)) * s * rest / x - R(2) * total_ * s + inverse;
    return {logs - total_ * growth, side_ * slope, growth};
  }

  // From theta on the exponent falls by total delta^2 / 2 or more.
  HVAE_FN V extent() const {
    constexpr R cut = is_single<V> ? R(18) : R(36);
    V reach = select(upper_, square_root(R(2 * cut) / total_), y_);
    V curvature = R(2) * total_ + (R(2) * half_ - R(1)) * inverse_y_ * inverse_y_;
    return distance_to_cut<V>([&](V distance) { return at(distance); }, cut, at(splat<V>(0)).slope,
                              curvature, reach);
  }

  R half_;
  bool far_;
  V total_, x_, rest_, square_, y_, inverse_x_, inverse_y_, excess_, side_, scale_;
  Mask<V> degenerate_, upper_;
};

template <class V>
HVAE_FN V power_angle_slope(Real<V> m, V theta, V k) {
  return PowerSlope<V>(m, theta, k).derivative();
}

}  // namespace HVAE_TIER
}  // namespace hvae
