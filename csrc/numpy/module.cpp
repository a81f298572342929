// The scalar mathematics over NumPy arrays: each function in each zone by name, the cutoffs, and
// the random stream.
//
// The order is free in every element, so this is also the form that the GPU runs, tested without
// one.
#include "draws.h"
#include "elementary.h"
#include "quantities.h"

PYBIND11_MODULE(_math, module) {
  module.doc() =
      "The scalar mathematics of the kernels over NumPy arrays. Arrays broadcast; float32 arrays "
      "are computed in float32, everything else in float64. Orders are nu = m/2 - 1, m the ambient "
      "dimension.";
  hvae::bind_quantities(module);
  hvae::bind_draws(module);
  hvae::bind_elementary(module);
}
