// What the mathematics asks of a number type V: a float or double, or a vector of them with one
// independent value per lane.
#pragma once

#include "macros.h"

namespace hvae {
inline namespace HVAE_TIER {

template <class V>
struct Lanes;

template <>
struct Lanes<float> {
  using Real = float;
  using Int = int32_t;
  using Word = uint32_t;
  using Mask = bool;
  static constexpr int count = 1;
};

template <>
struct Lanes<double> {
  using Real = double;
  using Int = int64_t;
  using Word = uint64_t;
  using Mask = bool;
  static constexpr int count = 1;
};

template <class V>
using Real = typename Lanes<V>::Real;
template <class V>
using Int = typename Lanes<V>::Int;
template <class V>
using Word = typename Lanes<V>::Word;
template <class V>
using Mask = typename Lanes<V>::Mask;
template <class V>
constexpr bool is_single = sizeof(Real<V>) == 4;

template <class V>
HVAE_FN V splat(Real<V> x) {
  return V{} + x;
}
template <>
HVAE_FN float splat<float>(float x) {
  return x;
}
template <>
HVAE_FN double splat<double>(double x) {
  return x;
}

template <class To, class From>
HVAE_FN To bits(From x) {
  static_assert(sizeof(To) == sizeof(From));
  To y;
  memcpy(&y, &x, sizeof(To));
  return y;
}

template <class M, class V>
HVAE_FN V select(M condition, V yes, V no) {
  return condition ? yes : no;
}

HVAE_FN bool any(bool x) { return x; }

HVAE_FN float square_root(float x) { return sqrtf(x); }
HVAE_FN double square_root(double x) { return sqrt(x); }

#if defined(HVAE_VECTOR_BYTES) && !defined(__CUDACC__)

typedef float Floats __attribute__((vector_size(HVAE_VECTOR_BYTES)));
typedef double Doubles __attribute__((vector_size(HVAE_VECTOR_BYTES)));
typedef int32_t Ints32 __attribute__((vector_size(HVAE_VECTOR_BYTES)));
typedef uint32_t Words32 __attribute__((vector_size(HVAE_VECTOR_BYTES)));
typedef int64_t Ints64 __attribute__((vector_size(HVAE_VECTOR_BYTES)));
typedef uint64_t Words64 __attribute__((vector_size(HVAE_VECTOR_BYTES)));

template <>
struct Lanes<Floats> {
  using Real = float;
  using Int = Ints32;
  using Word = Words32;
  using Mask = Ints32;
  static constexpr int count = HVAE_VECTOR_BYTES / 4;
};

template <>
struct Lanes<Doubles> {
  using Real = double;
  using Int = Ints64;
  using Word = Words64;
  using Mask = Ints64;
  static constexpr int count = HVAE_VECTOR_BYTES / 8;
};

// Bytes widened to integers of a lane's width. (Of a generic conversion compilers make one move a
// lane.)
HVAE_FN Ints32 widen(const uint8_t* p, Ints32) {
#if defined(__x86_64__) && HVAE_VECTOR_BYTES == 64
  return bits<Ints32>(_mm512_cvtepu8_epi32(_mm_loadu_si128(reinterpret_cast<const __m128i*>(p))));
#elif defined(__x86_64__) && HVAE_VECTOR_BYTES == 32
  return bits<Ints32>(_mm256_cvtepu8_epi32(_mm_loadl_epi64(reinterpret_cast<const __m128i*>(p))));
#else
  Ints32 x;
  for (int i = 0; i < HVAE_VECTOR_BYTES / 4; ++i) x[i] = p[i];
  return x;
#endif
}
HVAE_FN Words64 widen(const uint8_t* p, Words64) {
#if defined(__x86_64__) && HVAE_VECTOR_BYTES == 64
  return bits<Words64>(_mm512_cvtepu8_epi64(_mm_loadl_epi64(reinterpret_cast<const __m128i*>(p))));
#else
  Words64 x;
  for (int i = 0; i < HVAE_VECTOR_BYTES / 8; ++i) x[i] = p[i];
  return x;
#endif
}

HVAE_FN Floats from_bytes(const uint8_t* p, Floats) {
  return __builtin_convertvector(widen(p, Ints32{}), Floats);
}
HVAE_FN Doubles from_bytes(const uint8_t* p, Doubles) {
  return bits<Doubles>(widen(p, Words64{}) | uint64_t(0x4330000000000000u)) - 0x1p52;
}

HVAE_FN bool any(Ints32 x) {
  Ints64 halves = bits<Ints64>(x);
  int64_t found = 0;
  for (int i = 0; i < HVAE_VECTOR_BYTES / 8; ++i) found |= halves[i];
  return found != 0;
}
HVAE_FN bool any(Ints64 x) {
  int64_t found = 0;
  for (int i = 0; i < HVAE_VECTOR_BYTES / 8; ++i) found |= x[i];
  return found != 0;
}

HVAE_FN Floats square_root(Floats x) {
  Floats y;
  for (int i = 0; i < Lanes<Floats>::count; ++i) y[i] = __builtin_sqrtf(x[i]);
  return y;
}
HVAE_FN Doubles square_root(Doubles x) {
  Doubles y;
  for (int i = 0; i < Lanes<Doubles>::count; ++i) y[i] = __builtin_sqrt(x[i]);
  return y;
}

#endif

template <class V>
HVAE_FN V load(const Real<V>* p) {
  V x;
  memcpy(&x, p, sizeof(V));
  return x;
}
template <class V>
HVAE_FN void store(Real<V>* p, V x) {
  memcpy(p, &x, sizeof(V));
}

template <class V>
HVAE_FN V magnitude(V x) {
  return bits<V>(bits<Word<V>>(x) & (~Word<V>{} >> 1));
}
template <class V>
HVAE_FN V smaller(V a, V b) {
  return select(a < b, a, b);
}
template <class V>
HVAE_FN V larger(V a, V b) {
  return select(a > b, a, b);
}

}  // namespace HVAE_TIER
}  // namespace hvae
