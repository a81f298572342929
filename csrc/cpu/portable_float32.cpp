#define HVAE_NUMBER float
#define HVAE_LOOPS portable_float32
#include "portable.inc"
