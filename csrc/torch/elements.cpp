// The op `elements`: its schema, and the CPU.
#include "elements.h"

#include <torch/csrc/stable/library.h>

#include <tuple>

#include "parallel.h"

namespace hvae {
namespace {

std::tuple<Tensor, Tensor> elements(const Tensor order, const Tensor k, int64_t quantity) {
  Elements e(order, k, quantity);
  with_type(k, [&]<class T>(T) { run(current_tier().of<T>().elements, e.arguments<T>()); });
  return {e.value, e.slope};
}

}  // namespace
}  // namespace hvae

STABLE_TORCH_LIBRARY_FRAGMENT(hvae, m) {
  m.def("elements(Tensor order, Tensor k, int quantity) -> (Tensor, Tensor)");
}

STABLE_TORCH_LIBRARY_IMPL(hvae, CPU, m) { m.impl("elements", TORCH_BOX(&hvae::elements)); }
