// What the C++ that ../translation/ptx.py makes of PTX calls. An instruction with a bound on its error in place of a
// rounding is given the error: of the ulps that NVIDIA allows it (PTX ISA, "Floating Point
// Instructions") as many as the last bits of its result say.
#pragma once

#include <string>

#include "cuda.h"

namespace emulator {

template <class To, class From>
static inline To ptx_bits(From x) {
  static_assert(sizeof(To) == sizeof(From));
  To y;
  std::memcpy(&y, &x, sizeof y);
  return y;
}
static inline unsigned char* ptx_at(uint64_t base, int64_t offset) {
  return reinterpret_cast<unsigned char*>(base + offset);
}
static inline unsigned char* ptx_shared(uint64_t offset, int64_t more, std::size_t size) {
  if (offset + more + size > kSharedMemory)
    fail("shared memory: access at %ld", long(offset + more));
  return shared_memory + offset + more;
}
template <class T>
static inline T ptx_load(const unsigned char* p) {
  if (reinterpret_cast<uintptr_t>(p) % sizeof(T)) fail("misaligned load");
  T x;
  std::memcpy(&x, p, sizeof x);
  return x;
}
template <class T>
static inline void ptx_store(unsigned char* p, T x) {
  if (reinterpret_cast<uintptr_t>(p) % sizeof(T)) fail("misaligned store");
  std::memcpy(p, &x, sizeof x);
}
template <class T>
static inline T ptx_shl(T x, uint32_t n) {
  return n >= sizeof(T) * 8 ? T(0) : T(x << n);
}
template <class T>
static inline T ptx_shr(T x, uint32_t n) {
  return n >= sizeof(T) * 8 ? (x < T(0) ? T(-1) : T(0)) : T(x >> n);
}
template <class T>
static inline T ptx_div(T a, T b) {
  if constexpr (std::is_integral_v<T>)
    if (b == 0) fail("integer division by zero");
  return a / b;
}
template <class T>
static inline T ptx_rem(T a, T b) {
  if (b == 0) fail("integer division by zero");
  return a % b;
}
template <class T>
static inline T ptx_min(T a, T b) {
  if constexpr (std::is_floating_point_v<T>) return std::fmin(a, b);
  return a < b ? a : b;
}
template <class T>
static inline T ptx_max(T a, T b) {
  if constexpr (std::is_floating_point_v<T>) return std::fmax(a, b);
  return a > b ? a : b;
}
static inline uint32_t ptx_funnel_left(uint32_t low, uint32_t high, uint32_t n) {
  return uint32_t(((uint64_t(high) << 32 | low) << (n & 31)) >> 32);
}
template <class T>
static inline T ptx_extract(T x, T position, T length) {
  return ptx_shr(x, uint32_t(position)) & (ptx_shl(T(1), uint32_t(length)) - 1);
}
template <class T>
static inline T ptx_insert(T bits, T into, T position, T length) {
  const T field = ptx_shl(T(ptx_shl(T(1), uint32_t(length)) - 1), uint32_t(position));
  return (into & ~field) | (ptx_shl(bits, uint32_t(position)) & field);
}
static inline uint32_t ptx_reverse(uint32_t x) {
  uint32_t y = 0;
  for (int i = 0; i < 32; ++i) y |= (x >> i & 1u) << (31 - i);
  return y;
}
static inline uint32_t ptx_shift_amount(uint32_t x) {
  return x ? uint32_t(__builtin_clz(x)) : 0xffffffffu;
}
static inline float ptx_inexact(float x, int ulps) {
  const uint32_t n = ptx_bits<uint32_t>(x), magnitude = n & 0x7fffffffu;
  if (magnitude < 0x00800000u || magnitude >= 0x7f7ffff0u) return x;
  const int spread = 2 * ulps + 1, off = int((n * 2654435761u >> 16) % unsigned(spread)) - ulps;
  return ptx_bits<float>(n + uint32_t(off));
}
static inline uint32_t ptx_shuffle(char mode, uint32_t mask, uint32_t a, uint32_t b, uint32_t c) {
  const uint32_t lane = current->lane, segment = c >> 8 & 31, clamp = c & 31;
  const uint32_t most = (lane & segment) | (clamp & ~segment), least = lane & segment;
  uint32_t source = 0;
  bool inside = false;
  b &= 31;
  if (mode == 'u') source = lane - b, inside = int(source) >= int(most);
  if (mode == 'd') source = lane + b, inside = source <= most;
  if (mode == 'b') source = lane ^ b, inside = source <= most;
  if (mode == 'i') source = least | (b & ~segment), inside = source <= most;
  return exchange(mask, "shfl", a, int(inside ? source : lane));
}

}  // namespace emulator
