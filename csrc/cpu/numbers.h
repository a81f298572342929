// Uniform and normal numbers of a stream.
#pragma once

#include "../arguments/numbers.h"
#include "../math/philox.h"
#include "support.h"

namespace hvae {
inline namespace HVAE_TIER {

template <class T>
int64_t numbers_tasks(const NumbersArguments<T>& a) {
  return ceil_divide(a.samples * a.rows * ceil_divide(a.each, kNumbersEach<T>), kElementsEach);
}

template <class T>
void numbers(const NumbersArguments<T>& a, int64_t first_task, int64_t last_task) {
  using V = Vector<T>;
  using W = Word<V>;
  constexpr int lanes = kLanes<T>, in_block = kNumbersEach<T>;
  const Stream stream(a.rng);
  const int64_t blocks = ceil_divide(a.each, in_block);
  const int64_t end = least(last_task * kElementsEach, a.samples * a.rows * blocks);
  int64_t item = first_task * kElementsEach;
  int64_t block = item % blocks, row = item / blocks % a.rows, sample = item / blocks / a.rows;
  for (; item < end; item += lanes) {
    const int count = int(least(lanes, end - item));
    Word<T> c0[lanes] = {}, c1[lanes] = {}, c2[lanes] = {};
    T* to[lanes];
    int many[lanes];
    for (int i = 0; i < count; ++i) {
      c0[i] = uint32_t(stream.row + row), c1[i] = uint32_t(stream.sample + sample);
      c2[i] = first_block(a.shell) + uint32_t(block);
      to[i] = a.out + (sample * a.rows + row) * a.each + block * in_block;
      many[i] = int(least(in_block, a.each - block * in_block));
      if (++block == blocks) {
        block = 0;
        if (++row == a.rows) row = 0, ++sample;
      }
    }
    const auto words = philox<W>(load_words<V>(c0), load_words<V>(c1), load_words<V>(c2),
                                 W{} + stream.step, stream.key_low, stream.key_high);
    V x[4];
    if (a.normal) {
      normals<V>(words, x);
    } else {
      uniforms<V>(words, x);
    }
    for (int i = 0; i < count; ++i)
      for (int j = 0; j < many[i]; ++j) to[i][j] = x[j][i];
  }
}

}  // namespace HVAE_TIER
}  // namespace hvae
