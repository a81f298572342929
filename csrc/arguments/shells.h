// The shells of a row, packed: columns offsets[i] .. offsets[i] + dims[i] belong to shell i.
#pragma once

#include <cstdint>

namespace hvae {

struct Shells {
  int count;
  int64_t width;           // sum of dims
  int64_t first;           // index of shell 0 in the random stream
  const int64_t* dims;     // [count], ambient dimensions
  const int64_t* offsets;  // [count]
};

}  // namespace hvae
