// Compiled for the host alone, in double: what it fits is within 3e-15.
#include "fits.h"

#include <cmath>
#include <map>
#include <utility>
#include <vector>

#include "../math/vmf.h"
#include "orders.h"

namespace hvae {
namespace {

constexpr int kNodes = 48;
constexpr int kMostTerms = 4 * kFitGroups;
constexpr double kPi = 3.14159265358979323846;
// What the terms left out may sum to, relative to the least value: a sixth of a rounding.
constexpr double kNegligible = 1e-8;
// Beyond, prepared orders leave out terms that count (bessel.h).
constexpr double kMostOrder = 1e5;
// Below, coefficients of 1 - A are so large beside it that float32 loses three digits of two.
constexpr double kLeastComplement = 0.5;

// c with 12 bits, so that its square is exact in float.
double centre(double nu) {
  int exponent;
  const double fraction = std::frexp(nu + 2, &exponent);
  return std::ldexp(std::nearbyint(fraction * 4096), exponent - 12);
}

struct Shape {
  double nu, c, m, d;
};

// The two functions of fits.h at k, with A / t - 1 for A / t.
std::pair<double, double> targets(Quantity quantity, const Shape& s, double k) {
  const auto& order = prepared_order<double>(s.nu);
  const double b = 1 / (s.c + std::sqrt(s.c * s.c + k * k)), t = k * b, y = t * t;
  if (quantity == Quantity::kRatio) {
    const auto a = evaluate<Quantity::kRatio>(order, k);
    return {a.value / t - 1, a.slope / (b * b)};
  }
  if (quantity == Quantity::kDivergence) {
    const auto a = evaluate<Quantity::kDivergence>(order, k);
    return {std::expm1(2 * a.value / s.d) / (k * t), a.slope / (t * b)};
  }
  if (quantity == Quantity::kLogNorm) {
    const auto a = evaluate<Quantity::kLogNorm>(order, k);
    const double g = s.c / s.m + (1 - s.c / s.m) * y;
    return {std::expm1(2 * (g * k * t - a.value) / s.d) / (k * t * y), a.slope / t - 1};
  }
  const auto a = evaluate<Quantity::kLogNormComplement>(order, k);
  return {std::expm1(2 * a.value / s.d) / k, a.slope / b};
}

// The values at Chebyshev's nodes as coefficients of Chebyshev polynomials.
std::vector<double> chebyshev(const std::vector<double>& values) {
  std::vector<double> c(kNodes);
  for (int n = 0; n < kNodes; ++n) {
    for (int i = 0; i < kNodes; ++i) c[n] += values[i] * std::cos(kPi * n * (i + 0.5) / kNodes);
    c[n] *= (n ? 2.0 : 1.0) / kNodes;
  }
  return c;
}

int terms_needed(const std::vector<double>& c, double size) {
  double tail = 0;
  int count = kNodes;
  while (count > 1 && tail + std::fabs(c[count - 1]) < kNegligible * size)
    tail += std::fabs(c[--count]);
  return count;
}

// The first `count` terms as coefficients of powers; T_(n+1) = 2 x T_n - T_(n-1).
void store_powers(const std::vector<double>& c, int count, FourTerms* to) {
  std::vector<double> sum(kMostTerms), before(kMostTerms), now(kMostTerms);
  now[0] = 1;
  for (int n = 0; n < count; ++n) {
    std::vector<double> next(kMostTerms);
    for (int i = 0; i < kMostTerms; ++i) {
      sum[i] += c[n] * now[i];
      next[i] = (n ? 2 : 1) * (i ? now[i - 1] : 0) - before[i];
    }
    before = std::exchange(now, std::move(next));
  }
  for (int i = 0; i < kMostTerms; ++i) to[i / 4].c[i % 4] = float(sum[i]);
}

// False where the terms do not suffice.
bool fit(Quantity quantity, double nu, FittedOrder& to) {
  const bool odd = quantity == Quantity::kLogNormComplement;
  if (!has_fit(quantity) || !(nu <= kMostOrder) || (odd && nu < kLeastComplement)) return false;
  const double m = 2 * nu + 2;
  const Shape shape = {nu, centre(nu), m, m - 1};
  std::vector<double> value(kNodes), slope(kNodes);
  double least_value = 1, least_slope = 1;
  for (int i = 0; i < kNodes; ++i) {
    const double part = (1 + std::cos(kPi * (i + 0.5) / kNodes)) / 2;
    const double t = odd ? part : std::sqrt(part);
    std::tie(value[i], slope[i]) = targets(quantity, shape, 2 * shape.c * t / ((1 - t) * (1 + t)));
    least_value = std::fmin(least_value, std::fabs(value[i]));
    least_slope = std::fmin(least_slope, std::fabs(slope[i]));
  }
  // A / t, of which 1 was taken, and what is taken from L are measured by 1 and by L.
  if (quantity == Quantity::kRatio) least_value = 1;
  if (quantity == Quantity::kLogNorm) least_value = 1 / shape.d, least_slope = 1;
  const auto of_value = chebyshev(value), of_slope = chebyshev(slope);
  const int value_terms = terms_needed(of_value, least_value);
  const int slope_terms = terms_needed(of_slope, least_slope);
  const int most = value_terms > slope_terms ? value_terms : slope_terms;
  if (most > kMostTerms) return false;
  store_powers(of_value, value_terms, to.value);
  store_powers(of_slope, slope_terms, to.slope);
  to.c = float(shape.c), to.half_d = float(shape.d / 2), to.g = float(shape.c / m);
  to.groups = (most + 3) / 4;
  return true;
}

}  // namespace

const FittedOrder* fitted_order(Quantity quantity, double nu) {
  struct Kept {
    FittedOrder order;
    bool fits;
  };
  constexpr std::size_t kept = 256;
  static thread_local std::map<std::pair<Quantity, double>, Kept> orders;
  const std::pair key(quantity, nu);
  auto found = orders.find(key);
  if (found == orders.end()) {
    if (orders.size() >= kept) orders.clear();
    found = orders.try_emplace(key).first;
    found->second.fits = fit(quantity, nu, found->second.order);
  }
  return found->second.fits ? &found->second.order : nullptr;
}

}  // namespace hvae
