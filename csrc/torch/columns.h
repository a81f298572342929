// The op `columns`, packed: a quantity of the concentration, one order a column.
#pragma once

#include <vector>

#include "../arguments/columns.h"
#include "../math/quantity.h"
#include "checks.h"
#include "tensors.h"

namespace hvae {

struct Columns {
  Tensor k, value, slope;
  std::vector<double> orders;
  int64_t quantity;

  Columns(const Tensor& given_k, std::vector<double> given_orders, int64_t given_quantity)
      : orders(std::move(given_orders)), quantity(given_quantity) {
    constexpr const char* op = "hvae::columns";
    check_real(op, "k", given_k);
    STD_TORCH_CHECK(given_k.dim() >= 1 && given_k.size(given_k.dim() - 1) == int64_t(orders.size()),
                    op, ": the last dimension of k must have one element an order");
    STD_TORCH_CHECK(is_quantity(quantity), op, ": no quantity has number ", quantity);
    k = made_contiguous(given_k);
    value = torch::stable::empty_like(k);
    slope = torch::stable::empty_like(k);
  }

  template <class T>
  ColumnsArguments<T> arguments() const {
    const int64_t columns = int64_t(orders.size());
    return {.quantity = int(quantity),
            .rows = columns ? k.numel() / columns : 0,
            .columns = columns,
            .orders = orders.data(),
            .k = k.const_data_ptr<T>(),
            .value = value.mutable_data_ptr<T>(),
            .slope = slope.mutable_data_ptr<T>()};
  }
};

}  // namespace hvae
