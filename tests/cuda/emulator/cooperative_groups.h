// The part of cooperative groups that works within a warp, with the masks of CUDA 13's headers.
#pragma once

#include "cuda.h"

namespace cooperative_groups {

struct thread_block {
  static unsigned thread_rank() {
    return (threadIdx.z * blockDim.y + threadIdx.y) * blockDim.x + threadIdx.x;
  }
};
inline thread_block this_thread_block() { return {}; }

template <unsigned kSize>
struct thread_block_tile {
  static_assert(kSize >= 1 && kSize <= 32 && (kSize & (kSize - 1)) == 0);

  static unsigned lane() { return ::emulator::current->lane; }
  static unsigned mask() {
    return kSize == 32 ? 0xffffffffu : ((1u << kSize) - 1) << (lane() & ~(kSize - 1));
  }
  static unsigned thread_rank() { return lane() & (kSize - 1); }
  static constexpr unsigned num_threads() { return kSize; }
  static void sync() { __syncwarp(mask()); }
  template <class T>
  static T shfl(T v, int source) {
    return __shfl_sync(mask(), v, source, int(kSize));
  }
  template <class T>
  static T shfl_xor(T v, unsigned bits) {
    return __shfl_xor_sync(mask(), v, int(bits), int(kSize));
  }
  static unsigned ballot(int p) { return __ballot_sync(mask(), p) >> (lane() & ~(kSize - 1)); }
};
template <unsigned kSize>
thread_block_tile<kSize> tiled_partition(const thread_block&) {
  return {};
}

}  // namespace cooperative_groups
