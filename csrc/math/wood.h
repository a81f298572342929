// Drawing theta, the angle between a draw and the mean direction (Wood 1994), written so that
// nothing cancels.
//
// With d = m - 1, b = d / (2k + sqrt(4k^2 + d^2)) and a proposal eps ~ Beta(d/2, d/2):
//   D = b eps + (1 - eps),  v = 1 - cos theta = 2 b eps / D,
//   tan(theta/2) = sqrt(b eps / (1 - eps)),
//   accept unless  -2 k b c / ((1+b) D) + d log1p((1-b) c / (2D)) < log u.
// A proposal is made by Ulrich's (1984) formula for equal parameters from two uniforms, without
// rejection, as a cosine
//   c = sqrt(1 - U1^{2/(d-1)}) cos(2 pi U2) = 2 eps - 1,
// whose smaller half, of eps and 1 - eps, is (V + (1-V) sin^2) / (2 (1 + |c|)). A NaN concentration
// is accepted and propagates. Acceptance is at least 0.657 for every (m, k), so a draw loops until
// it is accepted.
#pragma once

#include "philox.h"

namespace hvae {
inline namespace HVAE_TIER {

template <class V>
struct Proposal {
  V eps, one_minus_eps;  // eps and its complement, each with all its digits
};

template <class V>
struct Angle {
  V theta, v, sine;
};

// The three random integers of a proposal, from one block (float) or two (double) of the shell that
// begins at base.
template <class V>
HVAE_FN void proposal_integers(const Stream& stream, Word<V> row, Word<V> sample, uint32_t base,
                               uint32_t attempt, Word<V>* n) {
  if constexpr (is_single<V>) {
    const auto block = block_at<V>(stream, row, sample, base + attempt);
    for (int i = 0; i < 3; ++i) n[i] = integer<V>(block, i);
  } else {
    const auto first = block_at<V>(stream, row, sample, base + 2 * attempt);
    const auto second = block_at<V>(stream, row, sample, base + 2 * attempt + 1);
    n[0] = integer<V>(first, 0), n[1] = integer<V>(first, 1), n[2] = integer<V>(second, 0);
  }
}

// Proposals and the angle that they stand for, given b: what Wood's scheme shares with others.
template <class V>
struct MappedBeta {
  using R = Real<V>;
  using W = Word<V>;
  V k, b;
  R d;

  HVAE_FN MappedBeta(V concentration, R m) : k(concentration), d(m - R(1)) {}

  HVAE_FN Proposal<V> propose(W n1, W n2) const {
    V V1 = splat<V>(0), rest = splat<V>(1);
    if (d > R(1)) {
      V exponent = log_positive(open_uniform<V>(n1)) * (R(2) / (d - R(1)));
      rest = -expm1(exponent);
      V1 = R(1) - rest;
      V1 = select(exponent < R(-0.5), exp(exponent), V1);
    }
    V s, c;
    sine_cosine_turn<V>(n2, s, c);
    c = c * square_root(rest);
    V least = (V1 + rest * s * s) / (R(2) * (magnitude(c) + R(1)));
    auto high = c > R(0);
    V most = R(1) - least;
    return {select(high, most, least), select(high, least, most)};
  }

  HVAE_FN Angle<V> angle(const Proposal<V>& p) const {
    V y = square_root(b * p.eps);
    V x = square_root(p.one_minus_eps);
    V D = b * p.eps + p.one_minus_eps;
    return {R(2) * arc_tangent(y, x), R(2) * (b * p.eps) / D, R(2) * y * x / D};
  }
};

template <class V>
struct Wood : MappedBeta<V> {
  using R = Real<V>;
  using W = Word<V>;
  using MappedBeta<V>::k, MappedBeta<V>::b, MappedBeta<V>::d;
  V one_minus_b, tilt;

  HVAE_FN Wood(V concentration, R m) : MappedBeta<V>(concentration, m) {
    V twice = R(2) * k;
    V root = square_root(twice * twice + d * d);
    V denominator = twice + root;
    b = d / denominator;
    one_minus_b = (twice + twice * (twice / (root + d))) / denominator;
    tilt = twice * b / (b + R(1));
  }

  HVAE_FN Mask<V> refused(const Proposal<V>& p, W n3) const {
    V D = b * p.eps + p.one_minus_eps;
    V c = p.eps - p.one_minus_eps;
    V log_ratio = d * log1p(R(0.5) * one_minus_b * c / D) - tilt * c / D;
    return log_ratio < log_positive(open_uniform<V>(n3));
  }
};

// m = 3, where v has the closed form -log1p(u (e^{-2k} - 1))/k: taken from whichever end of u keeps
// its digits, and 2 - v with it.
template <class V>
HVAE_FN Angle<V> angle_on_sphere(V k, Word<V> n) {
  using R = Real<V>;
  V u = open_uniform<V>(n);
  V rest = open_complement<V>(n);
  auto flat = k < R(1e-30);
  V safe = select(flat, splat<V>(1), k);
  V loss = -expm1(R(-2) * safe);
  V p = rest * loss;
  V v = select(p < R(0.5), -log1p(-p), -log(u + rest * exp(R(-2) * safe))) / safe;
  V far =
      select(v <= R(1), R(2) - v, log1p(u * expm1(smaller(R(2) * safe, splat<V>(R(80))))) / safe);
  // Of the two, the smaller is computed and the larger is what it leaves of 2, so that they fit.
  v = select(v <= R(1), v, R(2) - far);
  v = select(flat, R(2) * rest, v);
  far = select(flat, R(2) * u, far);
  V y = square_root(v), x = square_root(far);
  return {R(2) * arc_tangent(y, x), v, y * x};
}

}  // namespace HVAE_TIER
}  // namespace hvae
