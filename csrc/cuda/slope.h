// The derivative of a draw's angle in the concentration on the GPU.
#pragma once

#include "../arguments/sample.h"
#include "../math/implicit.h"
#include "../math/vmf.h"
#include "layout.h"

namespace hvae {
namespace {

// Lanes of a tile share the nodes of the quadrature. kl_slope: dKL/dk, which stands for 1 - A.
template <class T, class L>
__device__ T angle_slope(const Tile<L>& tile, AngleGradient gradient, int m, T theta, T sine, T k,
                         T kl_slope) {
  if (gradient == AngleGradient::kNaive) return naive_slope<T>(T(m), sine, k);
  const ImplicitAngle<T> angle(T(m), theta, k, one_minus_A_from_slope<T>(T(m), k, kl_slope));
  const T range = angle.extent();
  const T part = angle.partial(range, int(tile.thread_rank()), L::lanes);
  return angle.finish(range, sum_over<L>(tile, part));
}

}  // namespace
}  // namespace hvae
