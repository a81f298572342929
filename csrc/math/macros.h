// The one place that looks at the compiler: how a function is marked so that the same header serves
// the CPU, lane by lane or in vectors, and the GPU.
#pragma once

#include <cmath>
#include <cstdint>
#include <cstring>
#include <limits>

// Every translation unit compiles the headers into a namespace of its own instruction-set tier:
// were an inline function shared by name, the linker could keep the copy that an older machine
// cannot run.
#ifndef HVAE_TIER
#define HVAE_TIER portable
#endif

#ifdef __CUDACC__
#define HVAE_FN __device__ __forceinline__
#define HVAE_CONSTANT static __device__ constexpr
#define HVAE_UNROLL _Pragma("unroll")
#else
#define HVAE_FN inline __attribute__((always_inline))
#define HVAE_CONSTANT static constexpr
#define HVAE_UNROLL _Pragma("GCC unroll 32")
#endif
