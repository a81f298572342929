// The arguments of the op `scaled_sample`, a draw of every scaled shell of every row, and of its
// gradient.
#pragma once

#include "sample.h"

namespace hvae {

// In the order of SCALE_FRAMES (hvae/ops/scaled_sample.py).
enum class ScaleFrame : int { kMean, kFixed };

// b: twice the logarithms of the scales, less their mean over the shell if `centred`.
template <class T>
struct RawScales {
  ScaleFrame frame;
  bool centred;
  const T* b;  // [rows, width]
  int64_t stride;
};

template <class T>
struct ScaledSampleArguments {
  SampleArguments<T> x;  // the draw before it is stretched; its z and kl are those of the stretched
  RawScales<T> raw;
  T* scale;           // [rows, width], s; scratch of the CPU
  T* scale_less_one;  // [rows, width], s - 1; scratch of the CPU
  T* stretch;         // [samples, rows, count], m log |A x|
  T* volume;          // [rows, count], log |A|
};

template <class T>
struct ScaledSampleBackwardArguments {
  SampleBackwardArguments<T> x;
  RawScales<T> raw;
  T* grad_b;  // [rows, width]
};

}  // namespace hvae
