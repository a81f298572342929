#define HVAE_NUMBER double
#define HVAE_LOOPS portable_float64
#include "portable.inc"
