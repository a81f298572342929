// The arguments of every kernel, without a torch type: what the tensor code hands to the CPU tiers
// and to the GPU.
//
// Shells are packed: columns offsets[i] .. offsets[i] + dims[i] of a row belong to shell i, dims[i]
// its ambient dimension.
#pragma once

#include <cstdint>

namespace hvae {

struct Shells {
  int count;
  int64_t width;           // sum of dims
  const int64_t* dims;     // [count]
  const int64_t* offsets;  // [count]
};

// A quantity of vmf.h and its derivative, one order a column.
template <class T>
struct ColumnsArguments {
  int quantity;
  int64_t rows, columns;
  const double* orders;  // [columns]
  const T* k;            // [rows, columns]
  T* value;
  T* slope;
};

// The same with an order for every element.
template <class T>
struct ElementsArguments {
  int quantity;
  int64_t count;
  const T* order;
  const T* k;
  T* value;
  T* slope;
};

// One draw of every shell of every row: normalise, sample, diverge.
template <class T>
struct SampleArguments {
  Shells shells;
  int64_t rows, samples;
  const int64_t* rng;  // [4] key, step, first row, first sample
  const T* head;       // [rows, width], raw mean directions
  int64_t head_stride;
  const T* k;  // [rows, count]
  int64_t k_row, k_column;
  T* mean;      // [rows, width], mean directions
  T* z;         // [samples, rows, width]
  T* v;         // [samples, rows, count], 1 - cos theta
  T* theta;     // [samples, rows, count]
  T* kl;        // [rows, count]
  T* kl_slope;  // [rows, count]
};

enum class AngleGradient : int { kImplicit, kNaive };

template <class T>
struct SampleBackwardArguments {
  Shells shells;
  int64_t rows, samples;
  AngleGradient gradient;
  const int64_t* rng;
  const T* head;
  int64_t head_stride;
  const T* k;
  int64_t k_row, k_column;
  const T* theta;     // [samples, rows, count]
  const T* kl_slope;  // [rows, count]
  const T* grad_z;    // [samples, rows, width]
  const T* grad_kl;   // [rows, count]
  T* grad_head;       // [rows, width]
  T* grad_k;          // [rows, count]
};

// sum_j x_j l_j - softplus(l_j) over the pixels of a row; logits row i belongs to image i mod
// images.
template <class T>
struct BernoulliArguments {
  int64_t rows, images, pixels;
  const T* logits;        // [rows, pixels]
  const T* x;             // [images, pixels], or
  const uint8_t* x_byte;  // [images, pixels], the other null
  const T* grad;          // [rows], backward only
  T* out;                 // [rows], backward: [rows, pixels]
};

// Numbers of a stream, row by row: [samples, rows, each].
template <class T>
struct NumbersArguments {
  int64_t samples, rows, each;
  int shell;
  bool normal;  // or uniform on (0, 1)
  const int64_t* rng;
  T* out;
};

// A tier of the CPU kernels. A task is a unit of work whose bits do not depend on how tasks are
// spread over threads.
template <class T>
struct CpuKernels {
  int64_t (*columns_tasks)(const ColumnsArguments<T>&);
  void (*columns)(const ColumnsArguments<T>&, int64_t first_task, int64_t last_task);
  int64_t (*elements_tasks)(const ElementsArguments<T>&);
  void (*elements)(const ElementsArguments<T>&, int64_t first_task, int64_t last_task);
  int64_t (*prepare_tasks)(const SampleArguments<T>&);
  void (*prepare)(const SampleArguments<T>&, int64_t first_task, int64_t last_task);
  int64_t (*draw_tasks)(const SampleArguments<T>&);
  void (*draw)(const SampleArguments<T>&, int64_t first_task, int64_t last_task);
  int64_t (*sample_backward_tasks)(const SampleBackwardArguments<T>&);
  void (*sample_backward)(const SampleBackwardArguments<T>&, int64_t first_task, int64_t last_task);
  void (*bernoulli)(const BernoulliArguments<T>&, int64_t first_row, int64_t last_row);
  void (*bernoulli_backward)(const BernoulliArguments<T>&, int64_t first_row, int64_t last_row);
  int64_t (*numbers_tasks)(const NumbersArguments<T>&);
  void (*numbers)(const NumbersArguments<T>&, int64_t first_task, int64_t last_task);
};

struct CpuTier {
  const char* name;
  CpuKernels<float> single;
  CpuKernels<double> twice;

  template <class T>
  const CpuKernels<T>& of() const {
    if constexpr (sizeof(T) == 4) {
      return single;
    } else {
      return twice;
    }
  }
};

}  // namespace hvae
