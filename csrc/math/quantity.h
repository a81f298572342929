// The functions of the concentration that vmf.h computes, by number.
#pragma once

#include "macros.h"

namespace hvae {
inline namespace HVAE_TIER {

// In the order of QUANTITIES (hvae/ops/quantities.py).
enum class Quantity : int {
  kLogNorm,            // L
  kLogNormComplement,  // k - L
  kRatio,              // A
  kRatioComplement,    // 1 - A
  kRatioSlope,         // A'
  kDivergence,         // KL
  kDivergenceSlope,    // dKL/dk
  kLogBessel,          // log I_nu(k)
  kLogBesselScaled,    // log(e^-k I_nu(k))
  kCount
};

constexpr bool is_quantity(int64_t number) { return number >= 0 && number < int(Quantity::kCount); }

// Calls work.template operator()<quantity>() for the quantity of a number that is known only now;
// nothing if there is none.
template <int kFirst = 0, class Work>
void with_quantity(int number, const Work& work) {
  if constexpr (kFirst < int(Quantity::kCount)) {
    if (number == kFirst) {
      work.template operator()<static_cast<Quantity>(kFirst)>();
    } else {
      with_quantity<kFirst + 1>(number, work);
    }
  }
}

}  // namespace HVAE_TIER
}  // namespace hvae
