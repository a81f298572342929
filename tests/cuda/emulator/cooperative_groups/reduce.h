#pragma once

#include "../cooperative_groups.h"

namespace cooperative_groups {

template <class T>
struct plus {
  T operator()(T a, T b) const { return a + b; }
};

// As CUDA's details/coalesced_reduce.h: a butterfly, the furthest lanes first.
template <class Group, class T, class Op>
T reduce(const Group& group, T value, Op op) {
  for (unsigned bits = Group::num_threads() >> 1; bits > 0; bits >>= 1)
    value = op(value, group.shfl_xor(value, bits));
  return value;
}

}  // namespace cooperative_groups
