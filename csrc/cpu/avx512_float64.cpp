#define HVAE_NUMBER double
#define HVAE_LOOPS avx512_float64
#include "avx512.inc"
