#define HVAE_NUMBER double
#define HVAE_LOOPS avx2_float64
#include "avx2.inc"
