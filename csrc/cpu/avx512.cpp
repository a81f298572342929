// The CPU kernels for x86-64-v4, 64 bytes a vector.
#if defined(__x86_64__)
#include <immintrin.h>

#include <cmath>
#include <cstdint>
#include <cstdlib>
#include <cstring>
#include <limits>

#define HVAE_TIER avx512
#define HVAE_VECTOR_BYTES 64
// Everything from the standard library is above, so that none of its inline functions is compiled
// for this tier.
#if defined(__clang__)
#pragma clang attribute push(__attribute__((target("arch=x86-64-v4"))), apply_to = function)
#else
#pragma GCC target("arch=x86-64-v4,prefer-vector-width=512")
#endif

#include "kernels.inc"

#if defined(__clang__)
#pragma clang attribute pop
#endif
#endif
