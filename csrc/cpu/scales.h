// The scales of a shell in lanes, and products with the stretching.
#pragma once

#include "../arguments/scaled_sample.h"
#include "../math/stretch.h"
#include "tangent.h"

namespace hvae {
inline namespace HVAE_TIER {

// Log scales of `count` rows of a shell into l: [m][lanes].
template <class T>
HVAE_FN void log_scales(const RawScales<T>& raw, int64_t row, int64_t offset, int64_t m, int count,
                        T* l) {
  using V = Vector<T>;
  constexpr int lanes = kLanes<T>;
  rows_to_lanes(raw.b + row * raw.stride + offset, raw.stride, m, count, l);
  V mean = splat<V>(0);
  // Divided before they are added, so that no sum overflows; what the first pass leaves is the
  // rounding of it.
  for (int pass = 0; raw.centred && pass < 2; ++pass)
    mean = mean + sum_of<V>(m, [&](int64_t j) {
             return (T(0.5) * load<V>(l + j * lanes) - mean) * (T(1) / T(m));
           });
  for (int64_t j = 0; j < m; ++j)
    store<V>(l + j * lanes, log_scale<V>(T(0.5) * load<V>(l + j * lanes), mean));
}

// x becomes P diag(s) x, with P applied twice; returns mu.(s x).
template <class V>
HVAE_FN V stretch_tangent(const Real<V>* s, const Real<V>* mu, int64_t m, Real<V>* x) {
  constexpr int lanes = Lanes<V>::count;
  for (int64_t j = 0; j < m; ++j)
    store<V>(x + j * lanes, load<V>(s + j * lanes) * load<V>(x + j * lanes));
  const V along = dot<V>(x, mu, m);
  for (int64_t j = 0; j < m; ++j)
    store<V>(x + j * lanes, load<V>(x + j * lanes) - along * load<V>(mu + j * lanes));
  const V rest = dot<V>(x, mu, m);
  for (int64_t j = 0; j < m; ++j)
    store<V>(x + j * lanes, load<V>(x + j * lanes) - rest * load<V>(mu + j * lanes));
  return along;
}

}  // namespace HVAE_TIER
}  // namespace hvae
