#define HVAE_NUMBER float
#define HVAE_LOOPS avx2_float32
#include "avx2.inc"
