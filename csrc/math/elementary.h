// log, log1p, exp, expm1, sine and cosine of turns, arc tangent: branch-free, for one number or a
// vector of them, to 1 or 2 ulp. Written here since a compiler's vector library is reached only
// with -ffast-math, which gives up NaN.
//
// Every polynomial is a Taylor series on an interval that a reduction has made short enough for the
// first omitted term to stay below half an ulp; the bound stands beside each.
#pragma once

#include "lanes.h"

namespace hvae {
inline namespace HVAE_TIER {

template <class R>
struct Format;

template <>
struct Format<float> {
  static constexpr int mantissa = 23;
  static constexpr int32_t bias = 127;
  static constexpr float shifter =
      0x1.8p23f;  // adding it rounds to an integer held in the low mantissa bits
  static constexpr float ln2_high = 0x1.62e4p-1f;
  static constexpr float ln2_low = 0x1.7f7d1cp-20f;
  static constexpr float smallest = 0x1p-126f;
  static constexpr float exp_floor = -104.0f, exp_ceiling = 89.0f;
};

template <>
struct Format<double> {
  static constexpr int mantissa = 52;
  static constexpr int64_t bias = 1023;
  static constexpr double shifter = 0x1.8p52;
  static constexpr double ln2_high = 0x1.62e42fefap-1;
  static constexpr double ln2_low = 0x1.cf79abc9e3b39p-40;
  static constexpr double smallest = 0x1p-1022;
  static constexpr double exp_floor = -746.0, exp_ceiling = 710.0;
};

template <class V>
HVAE_FN V not_a_number() {
  return splat<V>(std::numeric_limits<Real<V>>::quiet_NaN());
}
template <class V>
HVAE_FN V infinity() {
  return splat<V>(std::numeric_limits<Real<V>>::infinity());
}

// z/3 + z^2/5 + ..., kTerms terms: atanh(s)/s - 1 at z = s^2; with alternating signs, -z/3 first,
// atan(s)/s - 1.
template <class V, int kTerms, bool kAlternating>
HVAE_FN V odd_reciprocals(V z) {
  V sum = splat<V>(Real<V>(kAlternating && kTerms % 2 ? -1 : 1) / Real<V>(2 * kTerms + 1));
  HVAE_UNROLL
  for (int n = kTerms - 1; n >= 1; --n) {
    const Real<V> c = Real<V>(kAlternating && n % 2 ? -1 : 1) / Real<V>(2 * n + 1);
    sum = sum * z + c;
  }
  return sum * z;
}

// log((1 + f) 2^e) for f in [sqrt(1/2) - 1, sqrt(2) - 1]: with s = f/(2+f), |s| <= 0.1716,
//   log(1 + f) = 2 atanh(s) = f - f^2/2 + s (f^2/2 + 2 (s^2/3 + s^4/5 + ...)).
// The first omitted term is s^22/23 < 1e-18 (10 terms, double), s^10/11 < 3e-9 (4 terms, float).
template <class V>
HVAE_FN V log_reduced(V f, V exponent) {
  using R = Real<V>;
  V s = f / (f + R(2));
  V z = s * s;
  V series = R(2) * odd_reciprocals<V, is_single<V> ? 4 : 10, false>(z);
  V half_square = R(0.5) * f * f;
  return exponent * Format<R>::ln2_high -
         ((half_square - (s * (half_square + series) + exponent * Format<R>::ln2_low)) - f);
}

// Splits a positive normal x = (1 + f) 2^e with 1 + f in [sqrt(1/2), sqrt(2)); returns f, sets e
// and 2^-e.
template <class V>
HVAE_FN V split_exponent(V x, V& exponent, V& unit) {
  using R = Real<V>;
  using W = Word<V>;
  constexpr int mantissa = Format<R>::mantissa;
  const auto sqrt_half = bits<Word<R>>(R(0.70710678118654752440L));
  const auto one = bits<Word<R>>(R(1));
  const auto magic = bits<Word<R>>(R(Word<R>(1) << mantissa));
  W shifted = bits<W>(x) - sqrt_half + one;
  W biased = shifted >> mantissa;
  exponent = bits<V>(biased | magic) - R((Word<R>(1) << mantissa) + Format<R>::bias);
  unit = bits<V>((Word<R>(2 * Format<R>::bias) - biased) << mantissa);
  W fraction = (shifted & ((Word<R>(1) << mantissa) - 1)) + sqrt_half;
  return bits<V>(fraction) - R(1);
}

// The natural logarithm of a positive normal number; anything else gives an unspecified value.
template <class V>
HVAE_FN V log_positive(V x) {
  V exponent, unit;
  V f = split_exponent(x, exponent, unit);
  return log_reduced(f, exponent);
}

// The natural logarithm with the limits of C: -inf at 0, NaN below, subnormal numbers included.
template <class V>
HVAE_FN V log(V x) {
  using R = Real<V>;
  constexpr int lift = Format<R>::mantissa + 2;
  auto tiny = x < Format<R>::smallest;
  V exponent, unit;
  V f = split_exponent(select(tiny, x * R(Word<R>(1) << lift), x), exponent, unit);
  V y = log_reduced(f, select(tiny, exponent - R(lift), exponent));
  y = select(x < infinity<V>(), y, x);
  y = select(x == R(0), -infinity<V>(), y);
  return select(x < R(0), not_a_number<V>(), y);
}

// log(1 + x), x > -1: what the rounding of u = 1 + x lost is added to u's fraction, which is small
// wherever the loss matters. -inf at -1, NaN below.
template <class V>
HVAE_FN V log1p(V x) {
  using R = Real<V>;
  V u = x + R(1);
  V lost = select(x < R(1), x - (u - R(1)), R(1) - (u - x));
  V exponent, unit;
  V f = split_exponent(u, exponent, unit);
  V y = log_reduced(f + lost * unit, exponent);
  y = select(u < infinity<V>(), y, u);
  y = select(u == R(0), -infinity<V>(), y);
  return select(u < R(0), not_a_number<V>(), y);
}

// 2^n for an integral n held in the low bits of `shifted` = n + shifter, n + bias in 0 .. 2 bias.
template <class V>
HVAE_FN V power_of_two(V shifted) {
  using R = Real<V>;
  return bits<V>((bits<Word<V>>(shifted) + Word<R>(Format<R>::bias)) << Format<R>::mantissa);
}

// (exp(r) - 1 - r) / r^2 on |r| <= log(2)/2: Taylor to r^13/13! (double: next 4e-18 relative) or
// r^7/7! (float: 5e-9).
template <class V>
HVAE_FN V exp_tail(V r) {
  using R = Real<V>;
  constexpr int degree = is_single<V> ? 7 : 13;
  double factorial = 1;
  for (int n = 2; n <= degree; ++n) factorial *= n;
  V sum = splat<V>(R(1 / factorial));
  HVAE_UNROLL
  for (int n = degree - 1; n >= 2; --n) {
    factorial /= n + 1;
    sum = sum * r + R(1 / factorial);
  }
  return sum;
}

template <class V>
HVAE_FN V exp_reduce(V x, V& shifted) {
  using R = Real<V>;
  shifted = x * R(1.44269504088896340736L) + Format<R>::shifter;
  V n = shifted - Format<R>::shifter;
  return (x - n * Format<R>::ln2_high) - n * Format<R>::ln2_low;
}

// exp(x), 0 below the smallest subnormal number, infinity above the largest finite one.
template <class V>
HVAE_FN V exp(V x) {
  using R = Real<V>;
  V clamped = larger(smaller(x, splat<V>(Format<R>::exp_ceiling)), splat<V>(Format<R>::exp_floor));
  clamped = select(x == x, clamped, x);
  V shifted;
  V r = exp_reduce(clamped, shifted);
  // Two factors, since 2^n alone leaves the exponent range before the product does.
  V n = shifted - Format<R>::shifter;
  V half = n * R(0.5) + Format<R>::shifter;
  V rest = (n - (half - Format<R>::shifter)) + Format<R>::shifter;
  V y = r * r * exp_tail(r) + r + R(1);
  return y * power_of_two(half) * power_of_two(rest);
}

// exp(x) - 1 without cancellation, for x <= 80: 2^n (e^r - 1) + (2^n - 1).
template <class V>
HVAE_FN V expm1(V x) {
  using R = Real<V>;
  constexpr R floor = is_single<V> ? R(-20) : R(-45);  // below, exp(x) - 1 rounds to -1
  V clamped = select(x < floor, splat<V>(floor), x);
  V shifted;
  V r = exp_reduce(clamped, shifted);
  V scale = power_of_two(shifted);
  return scale * (r * r * exp_tail(r) + r) + (scale - R(1));
}

// exp(-|x|): one scaling, since the argument is never positive; 0 where the result would be
// subnormal.
template <class V>
HVAE_FN V exp_of_minus(V x) {
  using R = Real<V>;
  constexpr R floor = is_single<V> ? R(-87) : R(-708);
  V shifted;
  V y = -magnitude(x);
  V r = exp_reduce(select(y < floor, splat<V>(floor), y), shifted);
  V e = (r * r * exp_tail(r) + r + R(1)) * power_of_two(shifted);
  return select(y < floor, splat<V>(0), e);
}

// log(1 + e) for e in [0, 1]: 2 atanh(e / (2 + e)), whose argument is at most 1/3: 16 terms leave
// 2e-17, 7 terms 3e-9 relative.
template <class V>
HVAE_FN V log1p_of_fraction(V e) {
  using R = Real<V>;
  V s = e / (e + R(2));
  V z = s * s;
  return R(2) * (s + s * odd_reciprocals<V, is_single<V> ? 7 : 16, false>(z));
}

// Sine and cosine of an angle within [-pi/4, pi/4], Taylor: double to x^17 and x^18 (next 6e-18),
// float to x^9 and x^10 (2e-9).
template <class V>
HVAE_FN void sine_cosine_small(V x, V& sine, V& cosine) {
  using R = Real<V>;
  constexpr int degree = is_single<V> ? 10 : 18;
  double factorial = 1;
  for (int n = 2; n <= degree; ++n) factorial *= n;
  V z = x * x;
  V c = splat<V>(R((degree / 2 % 2 ? -1 : 1) / factorial));
  V s = splat<V>(R((degree / 2 % 2 ? 1 : -1) * (double(degree) / factorial)));
  HVAE_UNROLL
  for (int n = degree - 2; n >= 4; n -= 2) {
    factorial /= double(n + 1) * (n + 2);
    const double sign = n / 2 % 2 ? -1 : 1;
    c = c * z + R(sign / factorial);
    s = s * z + R(-sign * n / factorial);
  }
  // s holds the terms x^3 and above divided by x^3, c those of x^4 and above divided by x^4.
  sine = x + x * z * s;
  cosine = R(1) - (R(0.5) * z - z * z * c);
}

// Sine and cosine of any moderate angle (|x| below 2^20 quarter turns), Cody-Waite reduction by
// pi/2 in three parts.
template <class V>
HVAE_FN void sine_cosine(V x, V& sine, V& cosine) {
  using R = Real<V>;
  using W = Word<V>;
  constexpr R first = is_single<V> ? R(0x1.92p0) : R(0x1.921fb5p0);
  constexpr R second = is_single<V> ? R(0x1.fb4p-12) : R(0x1.110b46p-26);
  constexpr R third = is_single<V> ? R(0x1.4442d2p-24) : R(0x1.1a62633145c07p-54);
  V shifted = x * R(0.63661977236758134308L) + Format<R>::shifter;
  V n = shifted - Format<R>::shifter;
  V s, c;
  sine_cosine_small(((x - n * first) - n * second) - n * third, s, c);
  W quadrant = bits<W>(shifted);
  auto swap = (quadrant & 1) != 0;
  sine = select(swap, c, s);
  cosine = select(swap, s, c);
  constexpr int top = sizeof(R) * 8 - 1;
  sine = bits<V>(bits<W>(sine) ^ ((quadrant >> 1) << top));
  cosine = bits<V>(bits<W>(cosine) ^ (((quadrant + 1) >> 1) << top));
}

// atan(y / x) for x, y >= 0: the quotient of the smaller by the larger is moved to within
// tan(pi/16) of 0, tan(pi/8) or 1. z = 0.0396: 12 terms leave z^13/27 < 4e-20 (double), 5 terms
// z^6/13 < 4e-10 (float). 0 at (0, 0).
template <class V>
HVAE_FN V arc_tangent(V y, V x) {
  using R = Real<V>;
  auto steep = y > x;
  V high = select(steep, y, x);
  V low = select(steep, x, y);
  V ratio = low / select(high == R(0), splat<V>(1), high);
  constexpr R eighth = R(0.41421356237309504880L);
  auto middle = ratio > R(0.19891236737965800691L);
  auto upper = ratio > R(0.66817863791929891999L);
  V centre = select(upper, splat<V>(1), select(middle, splat<V>(eighth), splat<V>(0)));
  V angle = select(upper, splat<V>(R(0.78539816339744830962L)),
                   select(middle, splat<V>(R(0.39269908169872415481L)), splat<V>(0)));
  V t = (ratio - centre) / (ratio * centre + R(1));
  V a = angle + (t + t * odd_reciprocals<V, is_single<V> ? 5 : 12, true>(t * t));
  return select(steep, R(1.57079632679489661923L) - a, a);
}

}  // namespace HVAE_TIER
}  // namespace hvae
