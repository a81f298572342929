// Quantities of the concentration on the GPU: every thread has an order of its own.
#include "../math/vmf.h"
#include "../torch/columns.h"
#include "device.h"

namespace hvae {
namespace {

struct OrderTable {
  double nu[kShellsALaunch];
};

template <Quantity kQuantity, class T>
__global__ void columns_kernel(ColumnsArguments<T> a, OrderTable orders, int64_t first,
                               int64_t count) {
  for (int64_t i = thread_index(); i < a.rows * count; i += thread_count()) {
    const int64_t at = i / count * a.columns + first + i % count;
    const auto result = evaluate<kQuantity>(FreeOrder<T>(T(orders.nu[i % count])), a.k[at]);
    a.value[at] = result.value;
    a.slope[at] = result.slope;
  }
}

std::tuple<Tensor, Tensor> columns(const Tensor k, std::vector<double> orders, int64_t quantity) {
  Columns c(k, std::move(orders), quantity);
  const torch::stable::accelerator::DeviceGuard guard(k.get_device_index());
  with_type(k, [&]<class T>(T) {
    const auto a = c.arguments<T>();
    if (a.rows == 0) return;
    for (int64_t first = 0; first < a.columns; first += kShellsALaunch) {
      const int64_t count = std::min<int64_t>(kShellsALaunch, a.columns - first);
      OrderTable table{};
      std::copy_n(c.orders.data() + first, count, table.nu);
      with_quantity(a.quantity, [&]<Quantity kQuantity>() {
        columns_kernel<kQuantity, T>
            <<<blocks_for(a.rows * count), kThreads, 0, current_stream(k)>>>(a, table, first,
                                                                             count);
      });
    }
    check_launch("hvae::columns");
  });
  return {c.value, c.slope};
}

}  // namespace
}  // namespace hvae

STABLE_TORCH_LIBRARY_IMPL(hvae, CUDA, m) { m.impl("columns", TORCH_BOX(&hvae::columns)); }
