// Quantities of the concentration from the fits of their orders: float32 only.
#pragma once

#include <cfloat>

#include "../math/elementary.h"
#include "device.h"
#include "fits.h"

namespace hvae {
namespace {

// From here on k is as good as infinite: the quantities are their leading terms.
constexpr float kFitReach = 0x1p60f;

// b = 1/(c + R) and t = k b of fits.h.
struct FitPlace {
  float b, t;
};

// c^2 is exact. What sqrt and sum round off is added to the reciprocal, so b is within an ulp; the
// approximate square root and reciprocal, each to 2 ulp, are made exact by a step of Newton's.
__device__ FitPlace fit_place(float c, float k) {
  const float square = fmaf(k, k, c * c);
  const float inverse_root = rsqrtf(square);
  const float root = square * inverse_root;
  const float sum = root + c;
  const float rest = fmaf(fmaf(-root, root, square), 0.5f * inverse_root, c - (sum - root));
  const float inverse = __fdividef(1.0f, sum);
  const float b = fmaf(inverse, fmaf(-rest, inverse, fmaf(-sum, inverse, 1.0f)), inverse);
  return {b, k * b};
}

// log(1 + x), -0.2 < x < 2^100. The fraction f of 1 + x = (1 + f) 2^e is made from x itself with
// one rounding. In log_reduced's formula (elementary.h) the quotient s is within 2 ulp, times f/2.
__device__ float fit_log1p(float x) {
  float exponent, unit;
  split_exponent(1.0f + x, exponent, unit);
  const float f = fmaf(x, unit, unit - 1.0f);
  const float s = __fdividef(f, f + 2.0f);
  const float half_square = 0.5f * f * f;
  const float series = half_square + 2.0f * odd_reciprocals<float, 4, false>(s * s);
  const float low = fmaf(s, series, exponent * Format<float>::ln2_low) - half_square;
  return fmaf(exponent, Format<float>::ln2_high, low + f);
}

// Sums of the polynomials of one order at some arguments; a coefficient is loaded once for all.
template <int kCount, int kOrders>
__device__ void fit_sums(const FourTerms (*terms)[kOrders], int order, int groups,
                         const float (&x)[kCount], float (&sum)[kCount]) {
  for (int i = 0; i < kCount; ++i) sum[i] = 0;
  for (int group = groups - 1; group >= 0; --group) {
    const FourTerms four = terms[group][order];
    HVAE_UNROLL
    for (int i = 0; i < kCount; ++i) {
      HVAE_UNROLL
      for (int j = 3; j >= 0; --j) sum[i] = fmaf(sum[i], x[i], four.c[j]);
    }
  }
}

// What the limits of k make of a value and a slope that were computed at kFitReach or, of a k that
// is none, anywhere.
template <Quantity kQuantity>
__device__ void fit_limit(float k, float half_d, float& value, float& slope) {
  if (!(k >= 0)) {
    value = slope = not_a_number<float>();
    return;
  }
  const float part = kFitReach / k;
  slope *= kQuantity == Quantity::kLogNorm ? 1.0f : part;
  if (kQuantity == Quantity::kRatio) slope *= part;
  if (kQuantity == Quantity::kLogNorm) value = k;
  if (kQuantity == Quantity::kDivergence || kQuantity == Quantity::kLogNormComplement)
    value = k <= FLT_MAX ? value + half_d * log_positive(k / kFitReach) : k;
}

// The quantity and its slope from the two sums.
template <Quantity kQuantity>
__device__ void fit_finish(const FittedOrder& order, float k, FitPlace p, float& value,
                           float& slope) {
  const float vd = k * p.t;
  if constexpr (kQuantity == Quantity::kLogNorm) {
    // head + low is g k t: L is close to it, and takes no rounding of its products.
    const float y = p.t * p.t, g = fmaf(y, 1.0f - order.g, order.g);
    const float head = vd * g;
    const float low = fmaf(fmaf(k, p.t, -vd), g, fmaf(vd, g, -head));
    value = head + fmaf(-order.half_d, fit_log1p(vd * y * value), low);
    slope = fminf(fmaf(p.t, slope, p.t), 1.0f);
  } else if constexpr (kQuantity == Quantity::kLogNormComplement) {
    value = order.half_d * fit_log1p(k * value);
    slope = fminf(p.b * slope, 1.0f);
  } else if constexpr (kQuantity == Quantity::kRatio) {
    value = fminf(fmaf(p.t, value, p.t), 1.0f);
    slope = p.b * p.b * slope;
  } else {
    value = order.half_d * fit_log1p(vd * value);
    slope = p.t * p.b * slope;
  }
}

// Of k[kCount]. terms: those of the value in the first kFitGroups rows, then those of the slope.
template <Quantity kQuantity, int kCount, int kOrders>
__device__ void fit_evaluate(const FittedOrder& order, const FourTerms (*terms)[kOrders], int which,
                             int groups, const float (&k)[kCount], float (&value)[kCount],
                             float (&slope)[kCount]) {
  FitPlace place[kCount];
  float x[kCount], inside[kCount];
  HVAE_UNROLL
  for (int i = 0; i < kCount; ++i) {
    inside[i] = fminf(k[i], kFitReach);
    place[i] = fit_place(order.c, inside[i]);
    x[i] = kQuantity == Quantity::kLogNormComplement ? fmaf(2.0f, place[i].t, -1.0f)
                                                     : fmaf(-4.0f * order.c, place[i].b, 1.0f);
  }
  fit_sums(terms, which, groups, x, value);
  fit_sums(terms + kFitGroups, which, groups, x, slope);
  HVAE_UNROLL
  for (int i = 0; i < kCount; ++i) {
    fit_finish<kQuantity>(order, inside[i], place[i], value[i], slope[i]);
    if (!(k[i] >= 0 && k[i] <= kFitReach))
      fit_limit<kQuantity>(k[i], order.half_d, value[i], slope[i]);
  }
}

}  // namespace
}  // namespace hvae
