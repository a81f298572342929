// The expansions of 0F1(; nu+1; k^2/4) = Gamma(nu+1) (2/k)^nu I_nu(k), real nu >= 0, that vmf.h
// builds its quantities from.
//
// Two zones cover every order and argument. With r = sqrt(nu^2 + k^2), w = 1/r, T = (nu/r)^2:
//   uniform  D = log sum_k U_k(nu/r)/nu^k = sum_k w^k D_k(T) (DLMF 10.41.3; at nu = 0 Hankel's
//            expansion, DLMF 10.40.1), and G = k dD/dk and H = k dG/dk - G, both without their
//            factor 1 - T = (k/r)^2;
//   series   F = 0F1 (DLMF 10.25.2), F' = dF/dy with y = k^2/4, and P = A' F^2, all of whose terms
//            are positive.
// Either is offered for one order shared by many arguments (Order: univariate polynomials with
// coefficients prepared once) and for an order of its own in every lane (FreeOrder).
#pragma once

#include "coefficients.h"
#include "elementary.h"

namespace hvae {
inline namespace HVAE_TIER {

// The uniform expansion holds from this radius on: of D, 20 terms leave 7e-18 at r = 24, 14 terms
// below 1e-9 at r = 10; of H, whose terms are k (k+1) times larger, 3e-15 of its leading 1/2 and
// 2e-8.
template <class R>
constexpr R kUniformRadius = sizeof(R) == 4 ? R(10) : R(25);
template <class R>
constexpr int kUniformRows = sizeof(R) == 4 ? 14 : kDebyeTerms;
// Below this concentration D + delta cancels to less than eps/3 of L = k^2/(4 nu), so the series
// takes over.
template <class R>
constexpr R kUniformLeast = R(1);
// In float it takes over earlier at orders below 16: where k is small beside nu the terms of H
// cancel. At nu = 10 their sizes sum to 3600 at k = 1, which leaves 2e-5 of A', and to 32 at k = 6;
// at nu = 16, k = 1 to 9. (In double, at nu = 25, k = 1, to 1.)
constexpr float kUniformLeastBelow = 6, kBelow = 16;
// Times nu + 1: from this concentration on the series takes KL from k - L and 1 - A, not from L and
// A.
template <class R>
constexpr R kComplementFrom = R(1.25);
// Terms of the three series at nu = 0, k = kUniformRadius, the slowest case: the next term is below
// eps/8 of the sum.
template <class R>
constexpr int kSeriesTerms = sizeof(R) == 4 ? 22 : 44;
template <class R>
constexpr int kSlopeTerms = sizeof(R) == 4 ? 34 : 76;

// The least k of the uniform zone for an order.
template <class V>
HVAE_FN V uniform_from(V nu) {
  using R = Real<V>;
  V rest = R(kUniformRadius<R> * kUniformRadius<R>) - nu * nu;
  V least = splat<V>(kUniformLeast<R>);
  if constexpr (is_single<V>) least = select(nu < kBelow, splat<V>(kUniformLeastBelow), least);
  return larger(square_root(larger(rest, splat<V>(0))), least);
}

// sum_j B_2j / (2j (2j-1) n^(2j-1)), n >= 10 (DLMF 5.11.1): 10 terms leave 2e-19.
template <class V>
HVAE_FN V stirling_remainder(V n) {
  using R = Real<V>;
  constexpr int terms = is_single<V> ? 4 : 10;
  V x = R(1) / n;
  V z = x * x;
  V sum = splat<V>(R(kStirling[terms - 1]));
  HVAE_UNROLL
  for (int j = terms - 2; j >= 0; --j) sum = sum * z + R(kStirling[j]);
  return sum * x;
}

// log Gamma(nu + 1), nu >= 0, to eps max(1, its size), and relative to nu at nu -> 0. Up to 10, nu
// = n + x with |x| <= 1/2: the logarithm of (x+1) ... (x+n) (DLMF 5.5.1) and the series of
// DLMF 5.7.3 at x, whose terms fall by 4; above, Stirling's.
template <class V>
HVAE_FN V log_gamma_1p(V nu) {
  using R = Real<V>;
  constexpr int terms = is_single<V> ? 11 : 26;
  auto large = nu > R(10);
  V bounded = select(large, splat<V>(0), nu);
  V n = (bounded + Format<R>::shifter) - Format<R>::shifter;
  V x = bounded - n;
  V product = splat<V>(1);
  HVAE_UNROLL
  for (int i = 1; i <= 10; ++i) product = select(n >= R(i), product * (x + R(i)), product);
  V sum = splat<V>(R(kZeta[terms - 1]));
  for (int j = terms - 2; j >= 0; --j) sum = sum * x + R(kZeta[j]);
  V small = log_positive(product) + (x * (R(0.42278433509846713939L) + x * sum) - log1p(x));
  V safe = select(large, nu, splat<V>(10));
  V stirling = (safe + R(0.5)) * log_positive(safe) - safe + R(0.91893853320467274178L) +
               stirling_remainder(safe);
  return select(large, stirling, small);
}

// delta = lgamma(nu+1) - (log(2 pi nu)/2 + nu log nu - nu), nu >= 1: the remainder itself as soon
// as its series serves (float: 4 terms leave 4e-8 at 3), below that the difference, where L, to
// which it is added, is above 5.
template <class V>
HVAE_FN V stirling_delta(V nu) {
  using R = Real<V>;
  constexpr R asymptotic = is_single<V> ? R(3) : R(10);
  auto large = nu >= asymptotic;
  V safe = select(nu >= R(1), nu, splat<V>(1));
  V direct = log_gamma_1p(safe) -
             (R(0.91893853320467274178L) + (safe + R(0.5)) * log_positive(safe) - safe);
  return select(large, stirling_remainder(select(large, nu, splat<V>(asymptotic))), direct);
}

// sum_k w^k row_k(T), the rows one after another with k + kExtra coefficients each.
template <class V, int kExtra>
HVAE_FN V debye_sum(const double* table, V w, V T) {
  using R = Real<V>;
  constexpr int rows = kUniformRows<R>;
  int row = rows * (rows + 1) / 2 + rows * kExtra;
  V sum = splat<V>(0);
  HVAE_UNROLL
  for (int k = rows; k >= 1; --k) {
    V p = splat<V>(0);
    HVAE_UNROLL
    for (int i = 1; i <= k + kExtra; ++i) p = p * T + R(table[row - i]);
    row -= k + kExtra;
    sum = (sum + p) * w;
  }
  return sum;
}

// An order of its own in every lane.
template <class V>
struct FreeOrder {
  using R = Real<V>;
  static constexpr bool kUnbounded = true;
  V nu;

  HVAE_FN explicit FreeOrder(V order) : nu(order) {}

  HVAE_FN V inverse() const { return R(1) / nu; }
  HVAE_FN V cut() const { return uniform_from(nu); }
  HVAE_FN V log_gamma() const { return log_gamma_1p(nu); }
  HVAE_FN V delta() const { return stirling_delta(nu); }
  HVAE_FN Mask<V> below_one() const { return nu < R(1); }
  HVAE_FN Mask<V> series_may_exceed() const { return cut() > kComplementFrom<R> * (nu + R(1)); }

  HVAE_FN V D(V w, V T) const { return debye_sum<V, 1>(kDebyeD, w, T); }
  HVAE_FN V G(V w, V T) const { return debye_sum<V, 1>(kDebyeG, w, T); }
  HVAE_FN V H(V w, V T) const { return debye_sum<V, 2>(kDebyeH, w, T); }

  // F - 1 = y/(nu+1) (1 + y/(2 (nu+2)) (1 + ...)).
  HVAE_FN V F_minus_1(V y) const {
    V sum = splat<V>(1);
    for (int j = kSeriesTerms<R>; j >= 2; --j) sum = sum * (y / (R(j) * (nu + R(j)))) + R(1);
    return sum * (y / (nu + R(1)));
  }
  // F' = (1/(nu+1)) 0F1(; nu+2; y).
  HVAE_FN V F_slope(V y) const {
    V sum = splat<V>(1);
    for (int j = kSeriesTerms<R>; j >= 1; --j) sum = sum * (y / (R(j) * (nu + R(j + 1)))) + R(1);
    return sum / (nu + R(1));
  }
  // P: the first term is 1/(2 (nu+1)), the ratio of term j+1 to term j
  // 2 y (2nu+2j+1) / ((j+1) (2nu+j+2) (nu+j+2)).
  HVAE_FN V P(V y) const {
    V sum = splat<V>(1);
    for (int j = kSlopeTerms<R> - 1; j >= 0; --j) {
      V ratio = R(2) * ((R(2) * nu + R(2 * j + 1)) /
                        (R(j + 1) * (R(2) * nu + R(j + 2)) * (nu + R(j + 2))));
      sum = sum * (y * ratio) + R(1);
    }
    return sum / (R(2) * (nu + R(1)));
  }
};

// One order for many arguments: the coefficients of every polynomial, rounded once.
template <class R>
class PreparedOrder {
 public:
  // Below the square root of the range; one truncated polynomial serves orders to 1e5.
  static constexpr bool kUnbounded = false;

  R nu;

  HVAE_FN R inverse() const { return inverse_; }
  HVAE_FN R cut() const { return cut_; }
  HVAE_FN R log_gamma() const { return log_gamma_; }
  HVAE_FN R delta() const { return delta_; }
  HVAE_FN bool below_one() const { return nu < R(1); }
  HVAE_FN bool series_may_exceed() const { return cut_ > kComplementFrom<R> * (nu + R(1)); }

  template <class V>
  HVAE_FN V D(V w, V) const {
    return polynomial(d_, uniform_degree_, w * radius_) * (w * radius_);
  }
  template <class V>
  HVAE_FN V G(V w, V) const {
    return polynomial(g_, uniform_degree_, w * radius_) * (w * radius_);
  }
  template <class V>
  HVAE_FN V H(V w, V) const {
    return polynomial(h_, uniform_degree_, w * radius_) * (w * radius_);
  }
  template <class V>
  HVAE_FN V F_minus_1(V y) const {
    V s = y * inverse_reach_;
    return polynomial(f_, series_degree_, s) * s;
  }
  template <class V>
  HVAE_FN V F_slope(V y) const {
    return polynomial(f_slope_, series_degree_, y * inverse_reach_);
  }
  template <class V>
  HVAE_FN V P(V y) const {
    return polynomial(p_, slope_degree_, y * inverse_reach_);
  }

 protected:
  static constexpr int kUniformMost = 3 * kDebyeTerms + 3;

  template <class V>
  static HVAE_FN V polynomial(const R* c, int degree, V x) {
    V sum = splat<V>(c[degree]);
    for (int i = degree - 1; i >= 0; --i) sum = sum * x + c[i];
    return sum;
  }

  R inverse_, radius_, cut_, log_gamma_, delta_, inverse_reach_;
  int uniform_degree_, series_degree_, slope_degree_;
  R d_[kUniformMost], g_[kUniformMost], h_[kUniformMost];
  R f_[kSeriesTerms<R>], f_slope_[kSeriesTerms<R>], p_[kSlopeTerms<R> + 1];
};

#ifndef __CUDACC__

// Prepares an order, in double; a GPU is given what the host prepared.
template <class R>
class Order : public PreparedOrder<R> {
  using Base = PreparedOrder<R>;
  using Base::d_, Base::g_, Base::h_, Base::f_, Base::f_slope_, Base::p_;
  using Base::inverse_reach_, Base::uniform_degree_, Base::series_degree_, Base::slope_degree_;
  using Base::kUniformMost, Base::inverse_, Base::radius_, Base::cut_, Base::log_gamma_,
      Base::delta_;

 public:
  using Base::nu;

  explicit Order(double order) : order_(order) {
    const double least_radius = larger(double(kUniformRadius<R>), order);
    nu = R(order);
    radius_ = R(least_radius);
    inverse_ = R(1 / order);
    cut_ = uniform_from(R(order));
    log_gamma_ = R(log_gamma_1p(order));
    delta_ = R(order >= 1 ? stirling_delta(order) : 0.0);
    prepare_uniform(least_radius);
    prepare_series();
  }

 private:
  // w^k T^i = (w r0)^(k + 2i) (nu/r0)^(2i) / r0^k, with w r0 in (0, 1].
  void prepare_uniform(double r0) {
    double d[kUniformMost + 1] = {}, g[kUniformMost + 1] = {}, h[kUniformMost + 1] = {};
    const double ratio = (order_ / r0) * (order_ / r0);
    const double* row_d = kDebyeD;
    const double* row_g = kDebyeG;
    const double* row_h = kDebyeH;
    double scale = 1;
    for (int k = 1; k <= kUniformRows<R>; ++k) {
      scale /= r0;
      double factor = scale;
      for (int i = 0; i <= k + 1; ++i, factor *= ratio) {
        if (i <= k) d[k + 2 * i] += row_d[i] * factor;
        if (i <= k) g[k + 2 * i] += row_g[i] * factor;
        h[k + 2 * i] += row_h[i] * factor;
      }
      row_d += k + 1, row_g += k + 1, row_h += k + 2;
    }
    const double negligible = std::numeric_limits<R>::epsilon() / 256;
    double tail = 0;
    int last = kUniformMost;
    while (last > 1 &&
           tail + magnitude(d[last]) + magnitude(g[last]) + magnitude(h[last]) < negligible) {
      tail += magnitude(d[last]) + magnitude(g[last]) + magnitude(h[last]);
      --last;
    }
    uniform_degree_ = last - 1;
    for (int p = 1; p <= last; ++p) {
      d_[p - 1] = R(d[p]);
      g_[p - 1] = R(g[p]);
      h_[p - 1] = R(h[p]);
    }
  }

  // In s = y / y(cut), so that the last coefficients tell how many are needed.
  void prepare_series() {
    const double reach = double(cut_) * double(cut_) / 4;
    inverse_reach_ = R(1 / reach);
    const double negligible = std::numeric_limits<R>::epsilon() / 64;
    double term = 1, sum = 1;
    series_degree_ = 0;
    for (int j = 1; j <= kSeriesTerms<R>; ++j) {
      term *= reach / (j * (order_ + j));
      sum += term;
      f_[j - 1] = R(term);
      f_slope_[j - 1] = R(j * term / reach);
      series_degree_ = j - 1;
      if (j * term < negligible * sum && j >= 3) break;
    }
    term = 1 / (2 * (order_ + 1)), sum = 0;
    for (int j = 0; j <= kSlopeTerms<R>; ++j) {
      p_[j] = R(term);
      sum += term;
      slope_degree_ = j;
      if (term < negligible * sum && j >= 3) break;
      term *= 2 * reach * (2 * order_ + 2 * j + 1) /
              ((j + 1) * (2 * order_ + j + 2) * (order_ + j + 2));
    }
  }

  double order_;
};

#endif

}  // namespace HVAE_TIER
}  // namespace hvae
