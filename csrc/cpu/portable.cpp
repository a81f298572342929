// The CPU kernels for any machine, 16 bytes a vector.
#include <cmath>
#include <cstdint>
#include <cstdlib>
#include <cstring>
#include <limits>
#if defined(__x86_64__)
#include <immintrin.h>
#endif

#define HVAE_TIER portable
#define HVAE_VECTOR_BYTES 16

#include "kernels.inc"
