// The arguments of the op `numbers`: numbers of a stream, row by row.
#pragma once

#include <cstdint>

namespace hvae {

template <class T>
struct NumbersArguments {
  int64_t samples, rows, each;
  int64_t shell;       // index in the random stream
  bool normal;         // or uniform on (0, 1)
  const int64_t* rng;  // [4] key, step, first row, first sample
  T* out;              // [samples, rows, each]
};

}  // namespace hvae
