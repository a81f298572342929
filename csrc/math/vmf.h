// The functions of the concentration k of a von Mises-Fisher distribution on S^{m-1}, nu = m/2 - 1:
//   L      log 0F1(; nu+1; k^2/4), so that the density is exp(k mu.z - L) / |S^{m-1}|
//   k - L  computed as itself: an importance weight is (k - L) - k v, v = 1 - mu.z
//   A      I_{nu+1}(k) / I_nu(k) = dL/dk, the mean resultant length; 1 - A; A' = dA/dk
//   KL     k A - L, the divergence to the uniform distribution; dKL/dk = k A'
// A quantity is returned with its derivative, which costs little more and is what a backward pass
// needs.
#pragma once

#include "bessel.h"
#include "quantity.h"

namespace hvae {
inline namespace HVAE_TIER {

// What a zone is asked for; the compiler drops the rest.
enum Need : unsigned {
  kL = 1,
  kComplement = 2,
  kA = 4,
  kSlope = 8,
  kKL = 16,
  kOneMinusA = 32,
  kLogI = 64
};

constexpr unsigned needs(Quantity q) {
  switch (q) {
    case Quantity::kLogNorm:
      return kL | kA;
    case Quantity::kLogNormComplement:
      return kComplement | kOneMinusA;
    case Quantity::kRatio:
      return kA | kSlope;
    case Quantity::kRatioComplement:
      return kOneMinusA | kSlope;
    case Quantity::kRatioSlope:
      return kA | kSlope;
    case Quantity::kDivergence:
      return kKL | kSlope;
    case Quantity::kDivergenceSlope:
      return kA | kSlope;
    case Quantity::kLogBessel:
      return kLogI | kL | kA;
    default:
      return kLogI | kOneMinusA;
  }
}

template <class V>
struct Terms {
  V L, complement, A, one_minus_A, slope, KL, log_scaled_I, A_over_k;
};

// 1 - A from A' = 1 - A^2 - (m-1) A/k: nothing cancels.
template <class V>
HVAE_FN void finish_one_minus_A(V nu, Terms<V>& t) {
  using R = Real<V>;
  t.one_minus_A = (t.slope + (R(2) * nu + R(1)) * t.A_over_k) / (t.A + R(1));
}

// With vd = r - nu, d = vd/nu, q = (k/r)^2:
//   L     = vd - nu log1p(d/2) - log1p(d)/2 + D + delta
//   k - L likewise, with k - vd = nu (vd + k)/(r + k)
//   A/k   = 1/(r+nu) + (G - 1/2)/r^2
//   A'    = nu/(r (r+nu)) + (1/2 - T + H)/r^2
//   KL    = nu log1p(d/2) + log1p(d)/2 - q/2 + q G - D - delta
// and for nu < 1, without a division by nu,
//   nu log1p(d/2) + log1p(d)/2 - delta
//         = nu log(r+nu) + log(r)/2 - nu + log(2 pi)/2 - nu log 2 - lgamma(nu+1).
template <unsigned kNeeds, class O, class V>
HVAE_FN void uniform_zone(const O& order, V k, Terms<V>& t) {
  using R = Real<V>;
  const V nu = splat<V>(0) + order.nu;
  // Beyond the square root of the range everything is scaled by a power of two.
  constexpr R shrink = is_single<V> ? R(0x1p-70) : R(0x1p-600);
  constexpr R most = is_single<V> ? R(0x1p50) : R(0x1p500);
  V extent = k;
  if constexpr (O::kUnbounded) extent = larger(k, nu);
  auto huge = extent > most;
  V scale = select(huge, splat<V>(shrink), splat<V>(1));
  V unscale = select(huge, splat<V>(R(1) / shrink), splat<V>(1));
  V ks = k * scale, ns = nu * scale;
  V rs = square_root(ks * ks + ns * ns);
  V inverse = R(1) / rs;
  V w = inverse * scale;
  V inverse_sum = R(1) / (rs + ns);
  V vd = ks * (ks * inverse_sum) * unscale;
  if constexpr (O::kUnbounded)
    vd = select(nu > most, k * (ks * inverse_sum), vd);  // ks^2 underflows
  V q = (ks * inverse) * (ks * inverse);
  V T = (ns * inverse) * (ns * inverse);
  V G{}, D{};
  if constexpr (kNeeds & (kA | kKL | kOneMinusA)) G = order.G(w, T);
  if constexpr (kNeeds & (kL | kComplement | kKL | kLogI)) D = order.D(w, T);
  if constexpr (kNeeds & (kA | kOneMinusA | kSlope)) {
    t.A_over_k = w * (inverse * scale * (G - R(0.5)) + rs * inverse_sum);
    t.A = ks * inverse * (inverse * scale * (G - R(0.5)) + rs * inverse_sum);
  }
  if constexpr (kNeeds & (kOneMinusA | kSlope)) {
    V H = order.H(w, T);
    t.slope = w * (w * (R(0.5) - T + H) + ns * inverse_sum);
  }
  if constexpr (kNeeds & kOneMinusA) finish_one_minus_A(nu, t);
  if constexpr (kNeeds & (kL | kComplement | kKL)) {
    V r = rs * unscale;
    auto small = order.below_one();
    V plain{}, smooth{};  // nu log1p(d/2) + log1p(d)/2 - delta
    if (any(small))
      plain = nu * log_positive(r + nu) + R(0.5) * log_positive(r) - nu +
              (R(0.91893853320467274178L) - R(0.69314718055994530942L) * nu - order.log_gamma());
    if (any(!small)) {
      V d = vd * order.inverse();
      smooth = nu * log1p(R(0.5) * d) + R(0.5) * log1p(d) - order.delta();
      if constexpr (O::kUnbounded) {  // where d underflows, nu d does not
        constexpr R linear = is_single<V> ? R(0x1p-40) : R(0x1p-60);
        smooth = select(d < linear, R(0.5) * (vd + d) - order.delta(), smooth);
      }
    }
    V logs = select(small, plain, smooth);
    if constexpr (kNeeds & kL) t.L = vd - logs + D;
    if constexpr (kNeeds & kComplement) {
      // k - vd = k - r + nu; for k > nu written with nu^2/(r+k).
      V rest = ns * ((ks * (ks * inverse_sum) + ks) / (rs + ks)) * unscale;
      t.complement = rest + logs - D;
    }
    if constexpr (kNeeds & kKL) t.KL = logs - R(0.5) * q + q * G - D;
  }
  if constexpr (kNeeds & kLogI) {
    V r = rs * unscale;
    V ratio = ns / ks;
    t.log_scaled_I = ns * (ns / (rs + ks)) * unscale - nu * log1p(ratio * (ns / (rs + ks) + R(1))) -
                     R(0.5) * log_positive(r) - R(0.91893853320467274178L) + D;
  }
}

// L = log F, A/k = F'/(2F), A' = P/F^2;
// KL = k A - L up to k = 5/4 (nu+1), where the two lose as much, and -log(F e^-k) - k (1 - A) above.
template <unsigned kNeeds, class O, class V>
HVAE_FN void series_zone(const O& order, V k, Terms<V>& t) {
  using R = Real<V>;
  const V nu = splat<V>(0) + order.nu;
  V y = R(0.25) * k * k;
  V excess = order.F_minus_1(y);
  V F = excess + R(1);
  V inverse = R(1) / F;
  if constexpr (kNeeds & (kA | kSlope | kOneMinusA | kKL)) {
    t.A_over_k = R(0.5) * order.F_slope(y) * inverse;
    t.A = k * t.A_over_k;
  }
  auto exceeds = order.series_may_exceed();
  if constexpr (kNeeds & (kSlope | kOneMinusA | kKL)) t.slope = order.P(y) * inverse * inverse;
  if constexpr (kNeeds & (kOneMinusA | kKL)) finish_one_minus_A(nu, t);
  if constexpr (kNeeds & (kL | kComplement | kKL | kLogI)) t.L = log1p(excess);
  if constexpr (kNeeds & (kComplement | kKL)) {
    t.complement = k - t.L;
    if (any(k > R(1))) t.complement = select(k > R(1), -log(F * exp(-k)), t.complement);
  }
  if constexpr (kNeeds & kKL) {
    t.KL = k * t.A - t.L;
    if (any(exceeds))
      t.KL = select(k > kComplementFrom<R> * (nu + R(1)), t.complement - k * t.one_minus_A, t.KL);
  }
  if constexpr (kNeeds & kLogI) {
    V power = select(nu == R(0), splat<V>(0), nu * log(R(0.5) * k));
    t.log_scaled_I = t.L - k + power - order.log_gamma();
  }
}

// The limits at k = infinity, where the formulas meet infinity - infinity or 0 * infinity.
template <class V>
HVAE_FN void at_infinity(V k, Terms<V>& t) {
  using R = Real<V>;
  auto limit = k == infinity<V>();
  if (!any(limit)) return;
  V zero = splat<V>(0);
  t.L = select(limit, k, t.L);
  t.complement = select(limit, k, t.complement);
  t.A = select(limit, splat<V>(R(1)), t.A);
  t.A_over_k = select(limit, zero, t.A_over_k);
  t.one_minus_A = select(limit, zero, t.one_minus_A);
  t.slope = select(limit, zero, t.slope);
  t.KL = select(limit, k, t.KL);
  t.log_scaled_I = select(limit, -k, t.log_scaled_I);
}

// A'' = -2 A A' - (m-1)(A'/k - A/k^2), and below x = k/m = 0.01, where that cancels, three terms of
// its series. It serves double backward only: relative error about eps (k + m/x^2 / 3) above, x^6
// 30 below.
template <class V>
HVAE_FN V ratio_second_slope(V nu, V k, const Terms<V>& t) {
  using R = Real<V>;
  V m = R(2) * nu + R(2);
  V x = k / m;
  V square = x * x;
  V third = R(42) * m * m * (R(5) * m + R(12)) / ((m + R(2)) * (m + R(6)));
  V small = x / (m * (m + R(2))) * (square * (R(40) * m - square * third) / (m + R(4)) - R(6));
  V plain = -(R(2) * t.A * t.slope + (m - R(1)) * ((t.slope - t.A_over_k) / k));
  plain = select(k < infinity<V>(), plain, splat<V>(0));
  return select(x < R(0.01), small, plain);
}

// 1 - A from s = k A' = dKL/dk: with d = m - 1, A' = 1 - A^2 - d A/k is a quadratic equation for it,
//   1 - A = 2 (s + d) / (2k + d + sqrt(d^2 + 4k (k - s))),
// and nothing cancels, since s < k/2. At infinity s = 0.
template <class V>
HVAE_FN V one_minus_A_from_slope(Real<V> m, V k, V s) {
  using R = Real<V>;
  const R d = m - R(1);
  return R(2) * (s + d) / (R(2) * k + d + square_root(d * d + R(4) * k * (k - s)));
}

template <class V>
struct ValueAndSlope {
  V value, slope;
};

template <Quantity kQuantity, class V>
HVAE_FN ValueAndSlope<V> pick(V nu, V k, const Terms<V>& t) {
  using R = Real<V>;
  switch (kQuantity) {
    case Quantity::kLogNorm:
      return {t.L, t.A};
    case Quantity::kLogNormComplement:
      return {t.complement, t.one_minus_A};
    case Quantity::kRatio:
      return {t.A, t.slope};
    case Quantity::kRatioComplement:
      return {t.one_minus_A, -t.slope};
    case Quantity::kRatioSlope:
      return {t.slope, ratio_second_slope(nu, k, t)};
    case Quantity::kDivergence:
      return {t.KL, select(k < infinity<V>(), k * t.slope, splat<V>(0))};
    case Quantity::kDivergenceSlope: {
      V second = t.slope + k * ratio_second_slope(nu, k, t);
      auto finite = k < infinity<V>();
      return {select(finite, k * t.slope, splat<V>(0)), select(finite, second, splat<V>(0))};
    }
    case Quantity::kLogBessel:
      // log I_0 = L keeps the digits that k takes from its scaled form; at infinity both are k.
      return {select(nu == R(0) || k == infinity<V>(), t.L, t.log_scaled_I + k),
              t.A + select(nu == R(0), splat<V>(0), nu / k)};
    default:
      return {t.log_scaled_I, select(nu == R(0), splat<V>(0), nu / k) - t.one_minus_A};
  }
}

// A quantity and its derivative in either zone by name, whatever the argument: for tests of both
// sides of a cutoff.
template <Quantity kQuantity, bool kUniform, class O, class V>
HVAE_FN ValueAndSlope<V> evaluate_zone(const O& order, V k) {
  using R = Real<V>;
  Terms<V> t{};
  if constexpr (kUniform) {
    uniform_zone<needs(kQuantity)>(order, k, t);
    at_infinity(k, t);
  } else {
    series_zone<needs(kQuantity)>(order, k, t);
  }
  auto result = pick<kQuantity>(splat<V>(0) + order.nu, k, t);
  auto inside = k >= R(0);
  return {select(inside, result.value, not_a_number<V>()),
          select(inside, result.slope, not_a_number<V>())};
}

template <Quantity kQuantity, class O, class V>
HVAE_FN ValueAndSlope<V> evaluate(const O& order, V k) {
  auto uniform = k >= order.cut();
  ValueAndSlope<V> u{}, s{};
  if (any(uniform))
    u = evaluate_zone<kQuantity, true>(order, select(uniform, k, splat<V>(0) + order.cut()));
  if (any(!uniform)) s = evaluate_zone<kQuantity, false>(order, select(uniform, splat<V>(0), k));
  return {select(uniform, u.value, s.value), select(uniform, u.slope, s.slope)};
}

}  // namespace HVAE_TIER
}  // namespace hvae
