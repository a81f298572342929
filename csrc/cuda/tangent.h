// Mean directions and unit tangents of shells on the GPU.
#pragma once

#include "layout.h"

namespace hvae {
namespace {

// A mean direction, coordinate by coordinate, from its raw direction.
template <class T, class L>
class MeanDirection {
 public:
  __device__ MeanDirection(const Tile<L>& tile, const T* raw, int m) : raw_(raw) {
    T most = 0;
    each_coordinate<T, L>(tile, m, [&](int s, int j) {
      if constexpr (L::held > 0) held_(s, j) = raw[j];
      const T x = magnitude(of_raw(s, j));
      most = x > most || x != x ? x : most;
    });
    most = largest_over<L>(tile, most);
    const T scale = T(1) / (most == T(0) ? T(1) : most);
    zero_ = most == T(0) || scale == infinity<T>();
    scale_ = zero_ ? T(0) : scale;
    T square = 0;
    each_slot<T, L>(tile, m, [&](int s, int j) {
      const T x = of_raw(s, j) * scale_;
      square += x * x;
    });
    inverse_length_ = zero_ ? T(1) : T(1) / square_root(sum_over<L>(tile, square));
    if constexpr (L::held > 0)
      each_slot<T, L>(tile, m, [&](int s, int j) { held_(s, j) = unit(held_(s, j), j); });
  }

  __device__ T operator()(int s, int j) const {
    if constexpr (L::held > 0) {
      return held_(s, j);
    } else {
      return unit(raw_[j], j);
    }
  }

  // 1 / |raw|, 0 for a zero one.
  __device__ T inverse_norm() const { return scale_ * inverse_length_; }

 private:
  __device__ T of_raw(int s, int j) const {
    if constexpr (L::held > 0) {
      return held_(s, j);
    } else {
      return raw_[j];
    }
  }
  __device__ T unit(T x, int j) const { return zero_ ? T(j == 0) : (x * scale_) * inverse_length_; }

  const T* raw_;
  Coordinates<T, L::held == 0 ? 1 : L::held> held_;
  T scale_, inverse_length_;
  bool zero_;
};

// The normal numbers of the tangent's attempt, of this lane's coordinates.
template <class T, class L>
__device__ void draw_normals(const Tile<L>& tile, const Stream& stream, uint32_t row,
                             uint32_t sample, uint32_t from, int m, Coordinates<T, L::held>& t) {
  constexpr int each = kNumbersEach<T>;
  each_block<T, L>(tile, m, [&](int n, int b) {
    T g[4];
    normals<T>(block_at<T>(stream, row, sample, from + uint32_t(b)), g);
    HVAE_UNROLL
    for (int i = 0; i < each; ++i) {
      const int j = b * each + i;
      if constexpr (L::held > 0) {
        t(n * each + i, j) = j < m ? g[i] : T(0);
      } else {
        if (j < m) t(0, j) = g[i];
      }
    }
  });
}

// A unit tangent at mu, into t; the same words as on the CPU.
template <class T, class L>
__device__ void draw_tangent(const Tile<L>& tile, const Stream& stream, uint32_t base, uint32_t row,
                             uint32_t sample, const MeanDirection<T, L>& mu, int m,
                             Coordinates<T, L::held>& t) {
  constexpr int each = kNumbersEach<T>;
  const uint32_t first = base + kTangentBlock;
  if (m == 2) {
    const bool negative = (block_at<T>(stream, row, sample, first).w[0] >> 31) != 0;
    const T sign = negative ? T(-1) : T(1);
    if (tile.thread_rank() == 0) {  // both coordinates are of the first block
      const T x = mu(0, 0), y = mu(1, 1);
      t(0, 0) = -sign * y, t(1, 1) = sign * x;
    }
    return;
  }
  const uint32_t blocks = uint32_t((m + each - 1) / each);
  T length = 0;
  for (uint32_t attempt = 0; (attempt + 1) * blocks <= kTangentBlock; ++attempt) {
    draw_normals<T, L>(tile, stream, row, sample, first + attempt * blocks, m, t);
    for (int pass = 0; pass < 2; ++pass) {
      T along = 0;
      each_slot<T, L>(tile, m, [&](int s, int j) { along += t(s, j) * mu(s, j); });
      along = sum_over<L>(tile, along);
      each_slot<T, L>(tile, m, [&](int s, int j) { t(s, j) -= along * mu(s, j); });
    }
    T square = 0;
    each_slot<T, L>(tile, m, [&](int s, int j) { square += t(s, j) * t(s, j); });
    length = square_root(sum_over<L>(tile, square));
    if (!(length == T(0))) break;
  }
  const T inverse = T(1) / length;
  each_slot<T, L>(tile, m, [&](int s, int j) { t(s, j) *= inverse; });
}

}  // namespace
}  // namespace hvae
