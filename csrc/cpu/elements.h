// Quantities of the concentration, an order for every element.
#pragma once

#include "../arguments/elements.h"
#include "support.h"

namespace hvae {
inline namespace HVAE_TIER {

template <class T>
int64_t elements_tasks(const ElementsArguments<T>& a) {
  return ceil_divide(a.count, kElementsEach);
}

template <class T>
void elements(const ElementsArguments<T>& a, int64_t first_task, int64_t last_task) {
  using V = Vector<T>;
  with_quantity(a.quantity, [&]<Quantity kQuantity>() {
    const int64_t end = least(last_task * kElementsEach, a.count);
    for (int64_t i = first_task * kElementsEach; i < end; i += kLanes<T>) {
      const int count = int(least(kLanes<T>, end - i));
      V order = splat<V>(0), k = splat<V>(0);
      memcpy(&order, a.order + i, count * sizeof(T));
      memcpy(&k, a.k + i, count * sizeof(T));
      auto outside = !(order >= T(0)) || order == infinity<V>();
      auto result = evaluate<kQuantity>(FreeOrder<V>(select(outside, splat<V>(0), order)), k);
      V value = select(outside, not_a_number<V>(), result.value);
      V slope = select(outside, not_a_number<V>(), result.slope);
      memcpy(a.value + i, &value, count * sizeof(T));
      memcpy(a.slope + i, &slope, count * sizeof(T));
    }
  });
}

}  // namespace HVAE_TIER
}  // namespace hvae
