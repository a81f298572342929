// The arguments of the op `sample`, one draw of every shell of every row, and of its gradient.
#pragma once

#include <cstdint>

#include "shells.h"

namespace hvae {

template <class T>
struct SampleArguments {
  Shells shells;
  int64_t rows, samples;
  const int64_t* rng;  // [4] key, step, first row, first sample
  const T* raw;        // [rows, width], raw mean directions
  int64_t raw_stride;
  const T* k;  // [rows, count]
  int64_t k_row, k_column;
  T* mean;      // [rows, width], mean directions; scratch of the CPU
  T* z;         // [samples, rows, width]
  T* v;         // [samples, rows, count], 1 - cos theta
  T* theta;     // [samples, rows, count]
  T* kl;        // [rows, count]
  T* kl_slope;  // [rows, count]
};

// In the order of KAPPA_GRADIENTS (hvae/ops/sample.py).
enum class AngleGradient : int { kImplicit, kNaive };

template <class T>
struct SampleBackwardArguments {
  Shells shells;
  int64_t rows, samples;
  AngleGradient gradient;
  const int64_t* rng;
  const T* raw;
  int64_t raw_stride;
  const T* k;
  int64_t k_row, k_column;
  const T* theta;     // [samples, rows, count]
  const T* kl_slope;  // [rows, count]
  const T* grad_z;    // [samples, rows, width]
  const T* grad_kl;   // [rows, count]
  T* grad_raw;        // [rows, width]
  T* grad_k;          // [rows, count]
};

}  // namespace hvae
