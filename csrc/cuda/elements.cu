// Quantities of the concentration on the GPU, an order for every element.
#include "../math/vmf.h"
#include "../torch/elements.h"
#include "device.h"

namespace hvae {
namespace {

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

std::tuple<Tensor, Tensor> elements(const Tensor order, const Tensor k, int64_t quantity) {
  Elements e(order, k, quantity);
  const torch::stable::accelerator::DeviceGuard guard(k.get_device_index());
  with_type(k, [&]<class T>(T) {
    const auto a = e.arguments<T>();
    if (a.count == 0) return;
    with_quantity(a.quantity, [&]<Quantity kQuantity>() {
      elements_kernel<kQuantity, T><<<blocks_for(a.count), kThreads, 0, current_stream(k)>>>(a);
    });
    check_launch("hvae::elements");
  });
  return {e.value, e.slope};
}

}  // namespace
}  // namespace hvae

STABLE_TORCH_LIBRARY_IMPL(hvae, CUDA, m) { m.impl("elements", TORCH_BOX(&hvae::elements)); }
