#define HVAE_NUMBER float
#define HVAE_LOOPS avx512_float32
#include "avx512.inc"
