// A unit tangent at a mean direction, from the random stream.
#pragma once

#include "../math/wood.h"
#include "rows.h"

namespace hvae {
inline namespace HVAE_TIER {

// Projects g on the tangent space at mu, twice, since once leaves an error of eps |g| / |P g|;
// returns |P g|.
template <class V>
HVAE_FN V project(Real<V>* g, const Real<V>* mu, int64_t m) {
  constexpr int lanes = Lanes<V>::count;
  for (int pass = 0; pass < 2; ++pass) {
    V along = dot<V>(g, mu, m);
    for (int64_t j = 0; j < m; ++j)
      store<V>(g + j * lanes, load<V>(g + j * lanes) - along * load<V>(mu + j * lanes));
  }
  return square_root(dot<V>(g, g, m));
}

// A unit tangent at mu, uniform among them, into t. The same words give the same tangent: a
// backward pass replays it.
template <class V>
HVAE_FN void tangent(const Stream& stream, uint32_t base, Word<V> row, Word<V> sample,
                     const Real<V>* mu, int64_t m, Real<V>* t) {
  using R = Real<V>;
  constexpr int lanes = Lanes<V>::count;
  const uint32_t first = base + kTangentBlock;
  if (m == 2) {
    auto block = block_at<V>(stream, row, sample, first);
    auto negative = (block.w[0] >> 31) != 0;
    V sign = select(negative, splat<V>(R(-1)), splat<V>(1));
    store<V>(t, -sign * load<V>(mu + lanes));
    store<V>(t + lanes, sign * load<V>(mu));
    return;
  }
  const uint32_t blocks = uint32_t(ceil_divide(m, kNumbersEach<V>));
  V length = splat<V>(0);
  for (uint32_t attempt = 0; any(!(length > R(0))) && (attempt + 1) * blocks <= kTangentBlock;
       ++attempt) {
    auto again = !(length > R(0));
    for (uint32_t b = 0; b < blocks; ++b) {
      V g[4];
      normals<V>(block_at<V>(stream, row, sample, first + attempt * blocks + b), g);
      for (int i = 0; i < kNumbersEach<V> && b * kNumbersEach<V> + i < m; ++i) {
        R* to = t + (int64_t(b) * kNumbersEach<V> + i) * lanes;
        store<V>(to, attempt ? select(again, g[i], load<V>(to)) : g[i]);
      }
    }
    length = project<V>(t, mu, m);
    // A NaN mean direction gives a NaN tangent and no further attempt.
    if (!any(length == R(0))) break;
  }
  V inverse = R(1) / length;
  for (int64_t j = 0; j < m; ++j) store<V>(t + j * lanes, load<V>(t + j * lanes) * inverse);
}

}  // namespace HVAE_TIER
}  // namespace hvae
