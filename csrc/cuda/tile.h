// A draw of a shell on the GPU belongs to a tile of lanes. The lanes share the coordinates, block
// by block of the random stream, so that a lane meets the same coordinates in every pass.
#pragma once

#include <cooperative_groups.h>
#include <cooperative_groups/reduce.h>

#include "../math/wood.h"
#include "../torch/shells.h"
#include "device.h"

namespace hvae {
namespace {

namespace cg = cooperative_groups;

struct ShellTable {
  int32_t m[kShellsALaunch];
  int32_t offset[kShellsALaunch];
};

ShellTable shell_table(const Shells& shells, int64_t first, int64_t count) {
  ShellTable table{};
  for (int64_t i = 0; i < count; ++i) {
    table.m[i] = int32_t(shells.dims[first + i]);
    table.offset[i] = int32_t(shells.offsets[first + i]);
  }
  return table;
}

// Calls work(j) for the coordinates of this lane.
template <class T, class Tile, class Work>
__device__ void each_coordinate(const Tile& tile, int m, const Work& work) {
  constexpr int each = kNumbersEach<T>;
  for (int block = tile.thread_rank(); block * each < m; block += tile.num_threads())
    for (int j = block * each; j < min(m, block * each + each); ++j) work(j);
}

template <class T, class Tile>
__device__ T sum_over(const Tile& tile, T x) {
  return cg::reduce(tile, x, cg::plus<T>());
}

// A mean direction, coordinate by coordinate, from its raw direction.
template <class T>
struct MeanDirection {
  const T* raw;
  T scale, length;
  bool zero;

  template <class Tile>
  __device__ MeanDirection(const Tile& tile, const T* direction, int m) : raw(direction) {
    T most = 0;
    each_coordinate<T>(tile, m, [&](int j) {
      const T x = magnitude(raw[j]);
      most = x > most || x != x ? x : most;
    });
    for (int step = tile.num_threads() / 2; step > 0; step /= 2) {
      const T other = tile.shfl_xor(most, step);
      most = other > most || other != other ? other : most;
    }
    scale = T(1) / (most == T(0) ? T(1) : most);
    zero = most == T(0) || scale == infinity<T>();
    scale = zero ? T(0) : scale;
    T square = 0;
    each_coordinate<T>(tile, m, [&](int j) { square += (raw[j] * scale) * (raw[j] * scale); });
    length = zero ? T(1) : square_root(sum_over(tile, square));
  }

  __device__ T operator()(int j) const { return zero ? T(j == 0) : raw[j] * scale / length; }
  // 1 / |raw|, 0 for a zero one.
  __device__ T inverse_norm() const { return scale / length; }
};

// A unit tangent at mu, into t; the same words as on the CPU.
template <class T, class Tile>
__device__ void draw_tangent(const Tile& tile, const Stream& stream, uint32_t base, uint32_t row,
                             uint32_t sample, const MeanDirection<T>& mu, int m, T* t) {
  constexpr int each = kNumbersEach<T>;
  const uint32_t first = base + kTangentBlock;
  if (m == 2) {
    const bool negative = (block_at<T>(stream, row, sample, first).w[0] >> 31) != 0;
    const T sign = negative ? T(-1) : T(1);
    each_coordinate<T>(tile, m, [&](int j) { t[j] = j == 0 ? -sign * mu(1) : sign * mu(0); });
    return;
  }
  const uint32_t blocks = uint32_t((m + each - 1) / each);
  T length = 0;
  for (uint32_t attempt = 0; (attempt + 1) * blocks <= kTangentBlock; ++attempt) {
    for (uint32_t b = tile.thread_rank(); b < blocks; b += tile.num_threads()) {
      T g[4];
      normals<T>(block_at<T>(stream, row, sample, first + attempt * blocks + b), g);
      for (int i = 0; i < each && int(b) * each + i < m; ++i) t[b * each + i] = g[i];
    }
    for (int pass = 0; pass < 2; ++pass) {
      T along = 0;
      each_coordinate<T>(tile, m, [&](int j) { along += t[j] * mu(j); });
      along = sum_over(tile, along);
      each_coordinate<T>(tile, m, [&](int j) { t[j] -= along * mu(j); });
    }
    T square = 0;
    each_coordinate<T>(tile, m, [&](int j) { square += t[j] * t[j]; });
    length = square_root(sum_over(tile, square));
    if (!(length == T(0))) break;
  }
  const T inverse = T(1) / length;
  each_coordinate<T>(tile, m, [&](int j) { t[j] *= inverse; });
}

// Lanes a draw: few for small shells, a warp for large ones.
template <class Work>
void with_tile(const PackedShells& packed, const Work& work) {
  const int64_t widest = *std::max_element(packed.dims.begin(), packed.dims.end());
  if (widest <= 16) {
    work(std::integral_constant<int, 4>());
  } else if (widest <= 64) {
    work(std::integral_constant<int, 16>());
  } else {
    work(std::integral_constant<int, 32>());
  }
}

}  // namespace
}  // namespace hvae
