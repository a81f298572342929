// The op `columns`: its schema, and the CPU.
#include "columns.h"

#include <torch/csrc/stable/library.h>

#include <tuple>

#include "parallel.h"

namespace hvae {
namespace {

std::tuple<Tensor, Tensor> columns(const Tensor k, std::vector<double> orders, int64_t quantity) {
  Columns c(k, std::move(orders), quantity);
  with_type(k, [&]<class T>(T) { run(current_tier().of<T>().columns, c.arguments<T>()); });
  return {c.value, c.slope};
}

}  // namespace
}  // namespace hvae

STABLE_TORCH_LIBRARY_FRAGMENT(hvae, m) {
  m.def("columns(Tensor k, float[] orders, int quantity) -> (Tensor, Tensor)");
}

STABLE_TORCH_LIBRARY_IMPL(hvae, CPU, m) { m.impl("columns", TORCH_BOX(&hvae::columns)); }
