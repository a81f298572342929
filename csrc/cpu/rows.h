// Rows of a matrix as lanes of vectors: transposition, dot products, normalisation.
#pragma once

#include "support.h"

namespace hvae {
inline namespace HVAE_TIER {

// to[j][lane] = from[lane * stride + j]; lanes beyond count repeat the first.
template <class T>
HVAE_FN void rows_to_lanes(const T* from, int64_t stride, int64_t width, int count, T* to) {
  for (int lane = 0; lane < kLanes<T>; ++lane) {
    const T* row = from + (lane < count ? lane : 0) * stride;
    for (int64_t j = 0; j < width; ++j) to[j * kLanes<T> + lane] = row[j];
  }
}

template <class T>
HVAE_FN void lanes_to_rows(const T* from, int64_t width, int count, T* to, int64_t stride) {
  for (int lane = 0; lane < count; ++lane)
    for (int64_t j = 0; j < width; ++j) to[lane * stride + j] = from[j * kLanes<T> + lane];
}

// sum_j a_j b_j, in runs of 32 terms whose sums are added: the rounding grows with the root of the
// run.
template <class V>
HVAE_FN V dot(const Real<V>* a, const Real<V>* b, int64_t width) {
  constexpr int64_t run = 32;
  constexpr int lanes = Lanes<V>::count;
  V total = splat<V>(0);
  for (int64_t start = 0; start < width; start += run) {
    V sum = splat<V>(0);
    const int64_t end = least(start + run, width);
    for (int64_t j = start; j < end; ++j)
      sum = sum + load<V>(a + j * lanes) * load<V>(b + j * lanes);
    total = total + sum;
  }
  return total;
}

// sum_j term(j), in such runs.
template <class V, class Term>
HVAE_FN V sum_of(int64_t width, const Term& term) {
  constexpr int64_t run = 32;
  V total = splat<V>(0);
  for (int64_t start = 0; start < width; start += run) {
    V sum = splat<V>(0);
    const int64_t end = least(start + run, width);
    for (int64_t j = start; j < end; ++j) sum = sum + term(j);
    total = total + sum;
  }
  return total;
}

// Rows of a matrix, chosen by number, as lanes: to[j][lane] = from[rows[lane] * stride + j]; lanes
// beyond count repeat the first.
template <class T>
HVAE_FN void chosen_rows_to_lanes(const T* from, int64_t stride, const int64_t* rows, int64_t width,
                                  int count, T* to) {
  for (int lane = 0; lane < kLanes<T>; ++lane) {
    const T* row = from + rows[lane < count ? lane : 0] * stride;
    for (int64_t j = 0; j < width; ++j) to[j * kLanes<T> + lane] = row[j];
  }
}

// Mean directions from raw ones, in place: h / |h|, scaled first so that no square overflows or
// vanishes. Zero gives the first basis vector, and 0 for 1/|h|. Returns 1/|h|.
template <class V>
HVAE_FN V normalise(Real<V>* h, int64_t width) {
  using R = Real<V>;
  constexpr int lanes = Lanes<V>::count;
  V most = splat<V>(0);
  for (int64_t j = 0; j < width; ++j) {
    V x = magnitude(load<V>(h + j * lanes));
    most = select(x > most || x != x, x, most);
  }
  auto zero = most == R(0);
  V scale = R(1) / select(zero, splat<V>(1), most);
  // 1/most overflows for subnormal ones; they count as zero.
  zero = zero || scale == infinity<V>();
  scale = select(zero, splat<V>(0), scale);
  for (int64_t j = 0; j < width; ++j) store<V>(h + j * lanes, load<V>(h + j * lanes) * scale);
  V length = square_root(dot<V>(h, h, width));
  V inverse = R(1) / select(zero, splat<V>(1), length);
  for (int64_t j = 0; j < width; ++j)
    store<V>(h + j * lanes, load<V>(h + j * lanes) / select(zero, splat<V>(1), length));
  store<V>(h, select(zero, splat<V>(1), load<V>(h)));
  return select(zero, splat<V>(0), inverse * scale);
}

}  // namespace HVAE_TIER
}  // namespace hvae
