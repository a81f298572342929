// The derivative of the angle theta of a draw in the concentration k.
//
// Implicit reparameterization (Figurnov, Mohamed, Mnih 2018), unbiased:
//   dtheta/dk = - int_0^theta (cos p - A) exp(k (cos p - cos theta)) (sin p / sin theta)^{m-2} dp,
// and, the integral over [0, pi] being zero, the same from theta to pi with the other sign, taken
// beyond the angle with cos = A: so the integrand keeps one sign. With p = theta + delta nothing
// cancels:
//   exponent  = -2 k sin(delta/2) sin(theta + delta/2)
//               + (m-2) log1p(2 cos(theta + delta/2) sin(delta/2) / sin theta),
//   cos p - A = (1 - A) - 2 sin^2(p/2).
// Gauss-Legendre over the part in which the integrand is above e^-36 (float: e^-18) of its value at
// theta, 24 (16) nodes.
//
// The choice of Davidson et al. (2018), biased: w differentiated through the accepted proposal eps
// held fixed. From tan^2(theta/2) = b eps / (1 - eps) and b'/b = -2 / sqrt(4k^2 + d^2), d = m - 1,
//   dtheta/dk = -sin theta / sqrt(4k^2 + d^2).
#pragma once

#include "coefficients.h"
#include "elementary.h"

namespace hvae {
inline namespace HVAE_TIER {

// The distance at which an exponent has fallen to -cut, `reach` if it does not fall so far: Newton
// from the parabola of its slope and curvature at 0, kept inside a bracket, since an exponent need
// not be concave. at(distance) gives the exponent and its slope.
template <class V, class At>
HVAE_FN V distance_to_cut(const At& at, Real<V> cut, V slope, V curvature, V reach) {
  using R = Real<V>;
  V root = square_root(slope * slope + R(2) * cut * curvature);
  V guess = R(2) * cut / larger(root - slope, splat<V>(R(1e-30)));
  auto whole = !(at(reach * R(0.9990234375)).exponent < -cut);
  V low = splat<V>(0), high = reach;
  V x = select(guess < high, guess, R(0.5) * high);
  for (int i = 0; i < 6; ++i) {
    auto p = at(x);
    V excess = p.exponent + cut;
    low = select(excess > R(0), x, low);
    high = select(excess > R(0), high, x);
    V next = x - excess / select(p.slope < R(0), p.slope, splat<V>(-1));
    auto inside = (next >= low) && (next <= high) && (p.slope < R(0));
    x = select(inside, next, R(0.5) * (low + high));
  }
  return select(whole, reach, smaller(x * R(1.01), reach));
}

template <class V>
class ImplicitAngle {
  using R = Real<V>;

 public:
  HVAE_FN ImplicitAngle(R m, V theta, V k, V one_minus_A)
      : exponent_(m - R(2)), k_(k), one_minus_A_(one_minus_A) {
    sine_cosine(R(0.5) * theta, sine_half_, cosine_half_);
    sine_ = R(2) * sine_half_ * cosine_half_;
    cosine_ = R(1) - R(2) * sine_half_ * sine_half_;
    auto upper = R(2) * sine_half_ * sine_half_ > one_minus_A;
    side_ = select(upper, splat<V>(1), splat<V>(-1));
    // The high part of pi is subtracted exactly; its low part matters in the last digit of a small
    // rest.
    constexpr R pi_high = is_single<V> ? R(0x1.921fb6p1) : R(0x1.921fb54442d18p1);
    constexpr R pi_low = is_single<V> ? R(-0x1.777a5cp-24) : R(0x1.1a62633145c07p-53);
    reach_ = select(upper, (pi_high - theta) + pi_low, theta);
    degenerate_ = (sine_ <= R(0)) || (reach_ <= R(0));
    inverse_sine_ = R(1) / select(degenerate_, splat<V>(1), sine_);
  }

  static constexpr int nodes = is_single<V> ? 16 : 24;

  HVAE_FN V derivative() const {
    V range = extent();
    return finish(range, partial(range, 0, 1));
  }

  HVAE_FN V extent() const {
    constexpr R cut = is_single<V> ? R(18) : R(36);
    V slope = side_ * (exponent_ * cosine_ * inverse_sine_ - k_ * sine_);
    V curvature = larger(k_ * cosine_ + exponent_ * inverse_sine_ * inverse_sine_, splat<V>(0));
    return distance_to_cut<V>([&](V distance) { return at(distance); }, cut, slope, curvature,
                              reach_);
  }

  // The part of the sum over nodes that nodes first, first + step, ... make: lanes of a GPU share
  // them.
  HVAE_FN V partial(V range, int first, int step) const {
    V sum = splat<V>(0);
    for (int i = first; i < nodes; i += step) {
      const R node = is_single<V> ? R(kNodes16[i]) : R(kNodes24[i]);
      const R weight = is_single<V> ? R(kWeights16[i]) : R(kWeights24[i]);
      Point p = at(range * node);
      sum = sum + weight * ((one_minus_A_ - R(2) * p.sine_half_squared) * exp(p.exponent));
    }
    return sum;
  }

  // A NaN concentration must not be hidden by the ends of the interval.
  HVAE_FN V finish(V range, V sum) const {
    return select(degenerate_, k_ * R(0), side_ * range * sum);
  }

 private:
  struct Point {
    V exponent, slope, sine_half_squared;  // slope of the exponent in the distance from theta
  };

  HVAE_FN Point at(V distance) const {
    V delta = side_ * distance;
    V s, c;
    sine_cosine(R(0.5) * delta, s, c);
    V middle_sine = sine_ * c + cosine_ * s;
    V middle_cosine = cosine_ * c - sine_ * s;
    V half = sine_half_ * c + cosine_half_ * s;
    V growth = R(2) * middle_cosine * s * inverse_sine_;
    growth = larger(growth, splat<V>(R(is_single<V> ? -0.9999999f : -0.9999999999999998)));
    V exponent = R(-2) * k_ * s * middle_sine;
    if (exponent_ > R(0)) exponent = exponent + exponent_ * log1p(growth);
    V sine = sine_ * (growth + R(1));
    V cosine = R(1) - R(2) * half * half;
    V slope = side_ * (exponent_ * cosine / select(sine > R(0), sine, splat<V>(1)) - k_ * sine);
    return {exponent, slope, half * half};
  }

  R exponent_;
  V k_, one_minus_A_, sine_half_, cosine_half_, sine_, cosine_, side_, reach_, inverse_sine_;
  Mask<V> degenerate_;
};

template <class V>
HVAE_FN V implicit_slope(Real<V> m, V theta, V k, V one_minus_A) {
  return ImplicitAngle<V>(m, theta, k, one_minus_A).derivative();
}

template <class V>
HVAE_FN V naive_slope(Real<V> m, V sine, V k) {
  using R = Real<V>;
  const R d = m - R(1);
  return -sine / square_root(R(4) * k * k + d * d);
}

}  // namespace HVAE_TIER
}  // namespace hvae
