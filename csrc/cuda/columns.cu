// The op `columns` on the GPU.
#include "../torch/columns.h"
#include "columns.h"

namespace hvae {
namespace {

std::tuple<Tensor, Tensor> columns(const Tensor k, std::vector<double> orders, int64_t quantity) {
  Columns c(k, std::move(orders), quantity);
  const torch::stable::accelerator::DeviceGuard guard(k.get_device_index());
  with_type(k, [&]<class T>(T) {
    const auto a = c.arguments<T>();
    if (a.rows == 0) return;
    const ColumnsPlace<T> place = {a.rows, a.columns, a.k, a.columns, 1, a.value, a.slope};
    with_quantity(a.quantity, [&]<Quantity kQuantity>() {
      launch_columns<kQuantity>(
          place, [&](int64_t column) { return c.orders[column]; }, current_stream(k));
    });
    check_launch("hvae::columns");
  });
  return {c.value, c.slope};
}

}  // namespace
}  // namespace hvae

STABLE_TORCH_LIBRARY_IMPL(hvae, CUDA, m) { m.impl("columns", TORCH_BOX(&hvae::columns)); }
