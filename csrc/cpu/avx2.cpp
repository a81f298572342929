// The CPU kernels for x86-64-v3, 32 bytes a vector.
#if defined(__x86_64__)
#include <immintrin.h>

#include <cmath>
#include <cstdint>
#include <cstdlib>
#include <cstring>
#include <limits>

#define HVAE_TIER avx2
#define HVAE_VECTOR_BYTES 32
// Everything from the standard library is above, so that none of its inline functions is compiled
// for this tier.
#if defined(__clang__)
#pragma clang attribute push(__attribute__((target("arch=x86-64-v3"))), apply_to = function)
#else
#pragma GCC target("arch=x86-64-v3")
#endif

#include "kernels.inc"

#if defined(__clang__)
#pragma clang attribute pop
#endif
#endif
