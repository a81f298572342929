// Quantities of the concentration on the GPU: every thread has an order of its own.
#include "../vmf.h"
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

template <Quantity kQuantity, class T>
__global__ void elements_kernel(ElementsArguments<T> a) {
  for (int64_t i = thread_index(); i < a.count; i += thread_count()) {
    const T nu = a.order[i];
    const bool inside = nu >= T(0) && nu < infinity<T>();
    const auto result = evaluate<kQuantity>(FreeOrder<T>(inside ? nu : T(0)), a.k[i]);
    a.value[i] = inside ? result.value : not_a_number<T>();
    a.slope[i] = inside ? result.slope : not_a_number<T>();
  }
}

template <int kQuantity = 0, class Work>
void with_quantity(int64_t quantity, const Work& work) {
  if constexpr (kQuantity < int(Quantity::kCount)) {
    if (quantity == kQuantity) {
      work.template operator()<static_cast<Quantity>(kQuantity)>();
    } else {
      with_quantity<kQuantity + 1>(quantity, work);
    }
  } else {
    STD_TORCH_CHECK(false, "hvae: no quantity has number ", quantity);
  }
}

std::tuple<Tensor, Tensor> columns(const Tensor k, std::vector<double> orders, int64_t quantity) {
  const torch::stable::accelerator::DeviceGuard guard(k.get_device_index());
  Columns c(k, std::move(orders), quantity);
  with_type(k, [&]<class T>(T) {
    const auto a = c.arguments<T>();
    if (a.rows == 0) return;
    for (int64_t first = 0; first < a.columns; first += kShellsALaunch) {
      const int64_t count = std::min<int64_t>(kShellsALaunch, a.columns - first);
      OrderTable table{};
      std::copy_n(c.orders.data() + first, count, table.nu);
      with_quantity(quantity, [&]<Quantity kQuantity>() {
        columns_kernel<kQuantity, T>
            <<<blocks_for(a.rows * count), kThreads, 0, current_stream(k)>>>(a, table, first,
                                                                             count);
      });
    }
    check_launch("hvae::columns");
  });
  return {c.value, c.slope};
}

std::tuple<Tensor, Tensor> elements(const Tensor order, const Tensor k, int64_t quantity) {
  const torch::stable::accelerator::DeviceGuard guard(k.get_device_index());
  Elements e(order, k, quantity);
  with_type(k, [&]<class T>(T) {
    const auto a = e.arguments<T>();
    if (a.count == 0) return;
    with_quantity(quantity, [&]<Quantity kQuantity>() {
      elements_kernel<kQuantity, T><<<blocks_for(a.count), kThreads, 0, current_stream(k)>>>(a);
    });
    check_launch("hvae::elements");
  });
  return {e.value, e.slope};
}

}  // namespace
}  // namespace hvae

STABLE_TORCH_LIBRARY_IMPL(hvae, CUDA, m) {
  m.impl("columns", TORCH_BOX(&hvae::columns));
  m.impl("elements", TORCH_BOX(&hvae::elements));
}
