// The op `elements`, packed: a quantity of the concentration, an order for every element.
#pragma once

#include "../arguments/elements.h"
#include "../math/quantity.h"
#include "checks.h"
#include "tensors.h"

namespace hvae {

struct Elements {
  Tensor order, k, value, slope;
  int64_t quantity;

  Elements(const Tensor& given_order, const Tensor& given_k, int64_t given_quantity)
      : quantity(given_quantity) {
    constexpr const char* op = "hvae::elements";
    check_real(op, "k", given_k);
    check_like(op, "order", given_order, "k", given_k);
    STD_TORCH_CHECK(given_order.numel() == given_k.numel(), op,
                    ": order and k must have the same shape");
    STD_TORCH_CHECK(is_quantity(quantity), op, ": no quantity has number ", quantity);
    order = made_contiguous(given_order);
    k = made_contiguous(given_k);
    value = torch::stable::empty_like(k);
    slope = torch::stable::empty_like(k);
  }

  template <class T>
  ElementsArguments<T> arguments() const {
    return {.quantity = int(quantity),
            .count = k.numel(),
            .order = order.const_data_ptr<T>(),
            .k = k.const_data_ptr<T>(),
            .value = value.mutable_data_ptr<T>(),
            .slope = slope.mutable_data_ptr<T>()};
  }
};

}  // namespace hvae
