// How the coordinates of a shell lie on a GPU. Lanes of a warp share them, block by block of the
// random stream, so that a lane meets the same coordinates in every pass; a lane holds its own in
// registers or leaves them in memory. The layout follows from the shell's dimension alone, not from
// the other shells of a call or the number of rows, and so do the bits of a draw.
#pragma once

#include <cooperative_groups.h>
#include <cooperative_groups/reduce.h>

#include <utility>

#include "../math/philox.h"
#include "../torch/shells.h"
#include "device.h"

namespace hvae {
namespace {

namespace cg = cooperative_groups;

// kLanes lanes a shell, kHeld coordinates in the registers of each or 0 for memory; for shells of
// up to kMost coordinates.
template <int kLanes, int kHeld, int64_t kMost>
struct Layout {
  static constexpr int lanes = kLanes, held = kHeld;
  static constexpr int64_t most = kMost;
};

template <class L>
using Tile = cg::thread_block_tile<L::lanes>;

template <class L>
__device__ Tile<L> this_tile() {
  return cg::tiled_partition<L::lanes>(cg::this_thread_block());
}

// Coordinates of a shell that belong to this lane, its s-th is the shell's j-th. Those beyond the
// shell, of a block that is not full, are kept 0 in registers.
template <class T, int kHeld>
struct Coordinates {
  T held[kHeld] = {};
  explicit __device__ Coordinates(T* = nullptr) {}
  __device__ T& operator()(int s, int) { return held[s]; }
  __device__ const T& operator()(int s, int) const { return held[s]; }
};
template <class T>
struct Coordinates<T, 0> {
  T* memory;
  explicit __device__ Coordinates(T* p) : memory(p) {}
  __device__ T& operator()(int, int j) const { return memory[j]; }
};

// Calls work(n, b) for the blocks of coordinates of this lane: b in the shell, its n-th.
template <class T, class L, class Work>
__device__ void each_block(const Tile<L>& tile, int m, const Work& work) {
  constexpr int each = kNumbersEach<T>;
  if constexpr (L::held > 0) {
    HVAE_UNROLL
    for (int n = 0; n < L::held / each; ++n) {
      const int b = int(tile.thread_rank()) + n * L::lanes;
      if (b * each < m) work(n, b);
    }
  } else {
    for (int b = int(tile.thread_rank()); b * each < m; b += L::lanes) work(0, b);
  }
}

// Calls work(s, j) for the coordinates of this lane.
template <class T, class L, class Work>
__device__ void each_coordinate(const Tile<L>& tile, int m, const Work& work) {
  constexpr int each = kNumbersEach<T>;
  each_block<T, L>(tile, m, [&](int n, int b) {
    HVAE_UNROLL
    for (int i = 0; i < each; ++i)
      if (b * each + i < m) work(n * each + i, b * each + i);
  });
}

// The same, and also for those that are kept 0: of work that leaves 0 there.
template <class T, class L, class Work>
__device__ void each_slot(const Tile<L>& tile, int m, const Work& work) {
  constexpr int each = kNumbersEach<T>;
  if constexpr (L::held > 0) {
    each_block<T, L>(tile, m, [&](int n, int b) {
      HVAE_UNROLL
      for (int i = 0; i < each; ++i) work(n * each + i, b * each + i);
    });
  } else {
    each_coordinate<T, L>(tile, m, work);
  }
}

template <class L, class T>
__device__ T sum_over(const Tile<L>& tile, T x) {
  if constexpr (L::lanes == 1) return x;
  return cg::reduce(tile, x, cg::plus<T>());
}

// The largest, or NaN if there is one.
template <class L, class T>
__device__ T largest_over(const Tile<L>& tile, T x) {
  HVAE_UNROLL
  for (int step = L::lanes / 2; step > 0; step /= 2) {
    const T other = tile.shfl_xor(x, step);
    x = other > x || other != other ? other : x;
  }
  return x;
}

struct ShellTable {
  int32_t number[kShellsALaunch];
  int32_t m[kShellsALaunch];
  int32_t offset[kShellsALaunch];
};

// A shell of a row that a tile works on, of those that a launch takes.
struct Place {
  int64_t draw;  // sample * rows + row, or row where samples are none of the launch's items
  int m, shell;
  int64_t offset;

  __device__ Place(const ShellTable& table, int64_t item, int count) : draw(item / count) {
    const int index = int(item % count);
    m = table.m[index], shell = table.number[index], offset = table.offset[index];
  }
};

// Calls work.template operator()<L>(table, count) for every launch that the shells need: those of a
// layout L together, kShellsALaunch at most.
template <class... Layouts>
struct LayoutList {
  template <class Work>
  static void each_launch(const Shells& shells, const Work& work) {
    int64_t below = 0;
    (each_launch_of<Layouts>(shells, std::exchange(below, Layouts::most), work), ...);
  }

 private:
  template <class L, class Work>
  static void each_launch_of(const Shells& shells, int64_t below, const Work& work) {
    ShellTable table;
    int count = 0;
    for (int i = 0; i < shells.count; ++i) {
      const int64_t m = shells.dims[i];
      if (m <= below || m > L::most) continue;
      table.number[count] = i;
      table.m[count] = int32_t(m);
      table.offset[count] = int32_t(shells.offsets[i]);
      if (++count == kShellsALaunch) {
        work.template operator()<L>(table, count);
        count = 0;
      }
    }
    if (count > 0) work.template operator()<L>(table, count);
  }
};

}  // namespace
}  // namespace hvae
