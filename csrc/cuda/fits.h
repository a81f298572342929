// Polynomials for a quantity of the concentration k and its slope, fitted on the host for one order.
//
// With c = nu + 2, R = sqrt(c^2 + k^2), b = 1/(c + R), t = k b in [0, 1), y = t^2, m = 2 nu + 2 and
// d = m - 1, each of these is smooth and bounded away from 0 for k from 0 to infinity:
//   A / t,   A' / b^2,   (1 - A) / b,   (e^(2 KL/d) - 1) / (k t),   (e^(2 (k - L)/d) - 1) / k,
// and so is (e^(2 (g k t - L)/d) - 1) / (k t y) with g = c/m + (1 - c/m) y, which takes from L what
// it is at either end. So a polynomial to an absolute error keeps the relative accuracy of each
// quantity. All but those of k - L and 1 - A are even in k, and polynomials in
// x = 2y - 1 = 1 - 4 c b; these two are in x = 2t - 1.
#pragma once

#include "../math/quantity.h"

namespace hvae {

struct alignas(16) FourTerms {
  float c[4];
};

// Coefficients of x^0, x^1, ... at most; orders near 0 take 25.
constexpr int kFitGroups = 7;

struct FittedOrder {
  FourTerms value[kFitGroups], slope[kFitGroups];
  float c, half_d;
  float g;     // c / m
  int groups;  // of four terms that are needed
};

constexpr bool has_fit(Quantity quantity) {
  return quantity == Quantity::kLogNorm || quantity == Quantity::kLogNormComplement ||
         quantity == Quantity::kRatio || quantity == Quantity::kDivergence;
}

// Of order nu >= 0; null where there is no fit of float accuracy. Remembered by the thread that
// asked, until it has asked for many others.
const FittedOrder* fitted_order(Quantity quantity, double nu);

}  // namespace hvae
