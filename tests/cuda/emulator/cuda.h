// What a .cu file expects of nvcc and of a GPU, in the emulator.
#pragma once

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <tuple>
#include <type_traits>
#include <utility>

#include "grid.h"

#define __global__
#define __device__
#define __host__
#define __shared__ static  // blocks follow one another
#define __forceinline__ inline __attribute__((always_inline))
#define __restrict__ __restrict
#define __launch_bounds__(...)
#define __grid_constant__

#define threadIdx (::emulator::current->thread)
#define blockIdx (::emulator::current->block)
#define blockDim (::emulator::block_dim)
#define gridDim (::emulator::grid_dim)

namespace emulator {

template <class T>
T exchange(unsigned mask, const char* what, T value, int source) {
  static_assert(std::is_trivially_copyable_v<T> && sizeof(T) <= 16);
  if (source < 0 || source > 31 || !(mask >> source & 1))
    fail("%s: source lane %d is not in mask %08x", what, source, mask);
  const unsigned char* all = meet(mask, what, &value, sizeof(T));
  T y;
  std::memcpy(&y, all + 16 * source, sizeof(T));
  return y;
}

inline unsigned vote(unsigned mask, bool predicate) {
  const unsigned char here = predicate;
  const unsigned char* all = meet(mask, "vote", &here, 1);
  unsigned ballot = 0;
  for (unsigned i = 0; i < 32; ++i)
    if (mask >> i & 1) ballot |= unsigned(all[16 * i] != 0) << i;
  return ballot;
}

}  // namespace emulator

template <class T>
T __shfl_sync(unsigned mask, T v, int source, int width = 32) {
  const int lane = int(::emulator::current->lane), base = lane & ~(width - 1);
  return ::emulator::exchange(mask, "shfl", v, base + (source & (width - 1)));
}
template <class T>
T __shfl_xor_sync(unsigned mask, T v, int bits, int width = 32) {
  const int lane = int(::emulator::current->lane), end = (lane & ~(width - 1)) + width;
  return ::emulator::exchange(mask, "shfl_xor", v, (lane ^ bits) >= end ? lane : lane ^ bits);
}
inline unsigned __ballot_sync(unsigned mask, int predicate) {
  return ::emulator::vote(mask, predicate != 0);
}
inline int __any_sync(unsigned mask, int predicate) {
  return ::emulator::vote(mask, predicate != 0) != 0;
}
inline int __all_sync(unsigned mask, int predicate) {
  return ::emulator::vote(mask, predicate != 0) == mask;
}
inline void __syncwarp(unsigned mask = 0xffffffffu) { ::emulator::vote(mask, true); }
inline void __syncthreads() { ::emulator::synchronize_block(); }
inline int __ffs(int x) { return __builtin_ffs(x); }
inline int __popc(unsigned x) { return __builtin_popcount(x); }
inline float __fdividef(float a, float b) { return a / b; }   // a GPU: within 2 ulp
inline float rsqrtf(float x) { return 1.0f / std::sqrt(x); }  // a GPU: within 2 ulp
inline float __frcp_rn(float x) { return 1.0f / x; }
inline float __fsqrt_rn(float x) { return std::sqrt(x); }
inline float __saturatef(float x) { return x < 0 ? 0.0f : x > 1 ? 1.0f : x; }
struct alignas(16) float4 {
  float x, y, z, w;
};
using std::max;
using std::min;
