// kernel<<<grid, block>>>(arguments) of a kernel that g++ compiled.
#pragma once

#include "cuda.h"

namespace emulator {

constexpr std::size_t kParameterBytes = 32764;  // CUDA 12.1 or later, compute capability 7.0

template <class... P>
struct Launcher {
  void (*kernel)(P...);
  dim3 grid, block;

  template <class... A>
  void operator()(A&&... arguments) const {
    static_assert((0 + ... + sizeof(P)) <= kParameterBytes);
    std::tuple<P...> held(static_cast<P>(std::forward<A>(arguments))...);
    run_grid(grid, block, [&] { std::apply(kernel, held); });
  }
};

template <class... P, class... Rest>
Launcher<P...> configure(void (*kernel)(P...), dim3 grid, dim3 block, Rest&&...) {
  return {kernel, grid, block};
}

}  // namespace emulator
