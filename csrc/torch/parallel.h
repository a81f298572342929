// The loops of the current CPU tier on torch's thread pool.
#pragma once

#include <torch/csrc/stable/ops.h>

#include "../cpu/tiers.h"

namespace hvae {

// grain: tasks that are worth another thread.
template <class Arguments>
void run(const Loop<Arguments>& loop, const Arguments& arguments, int64_t grain = 2) {
  torch::stable::parallel_for(0, loop.tasks(arguments), grain, [&](int64_t first, int64_t last) {
    loop.run(arguments, first, last);
  });
}

}  // namespace hvae
