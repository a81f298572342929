// The arguments of the op `bernoulli`, sum_j x_j l_j - softplus(l_j) over the pixels of a row, and
// of its gradient. Row i of the logits belongs to image i mod images.
#pragma once

#include <cstdint>

namespace hvae {

template <class T>
struct BernoulliArguments {
  int64_t rows, images, pixels;
  const T* logits;        // [rows, pixels]
  const T* x;             // [images, pixels], or
  const uint8_t* x_byte;  // [images, pixels], the other null
  const T* grad;          // [rows], backward only
  T* out;                 // [rows], backward: [rows, pixels]
};

}  // namespace hvae
