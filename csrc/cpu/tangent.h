// The random stream in lanes, and a unit tangent at a mean direction from it.
#pragma once

#include "../wood.h"
#include "rows.h"

namespace hvae {
inline namespace HVAE_TIER {

template <class V>
HVAE_FN Word<V> load_words(const Word<Real<V>>* p) {
  Word<V> w;
  memcpy(&w, p, sizeof(w));
  return w;
}

template <class V>
HVAE_FN WordBlock<Word<V>> block_at(const Stream& stream, Word<V> row, Word<V> sample,
                                    uint32_t place) {
  using W = Word<V>;
  return philox<W>(row, sample, W{} + place, W{} + stream.step, stream.key_low, stream.key_high);
}

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
  const uint32_t blocks = uint32_t(ceil_divide(m, kNormalsEach<V>));
  V length = splat<V>(0);
  for (uint32_t attempt = 0; any(!(length > R(0))) && (attempt + 1) * blocks <= kTangentBlock;
       ++attempt) {
    auto again = !(length > R(0));
    for (uint32_t b = 0; b < blocks; ++b) {
      V g[4];
      normals<V>(block_at<V>(stream, row, sample, first + attempt * blocks + b), g);
      for (int i = 0; i < kNormalsEach<V> && b * kNormalsEach<V> + i < m; ++i) {
        R* to = t + (int64_t(b) * kNormalsEach<V> + i) * lanes;
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
