// Quantities of the concentration, an order for every column.
#pragma once

#include "../arguments/columns.h"
#include "support.h"

namespace hvae {
inline namespace HVAE_TIER {

template <Quantity kQuantity, bool kUniform, class T>
void evaluate_run(const Order<T>& order, const T* k, T* value, T* slope, int count) {
  using V = Vector<T>;
  for (int i = 0; i < count; i += kLanes<T>) {
    auto result = evaluate_zone<kQuantity, kUniform>(order, load<V>(k + i));
    store<V>(value + i, result.value);
    store<V>(slope + i, result.slope);
  }
}

// count arguments of one order, in any order: those of the uniform zone are brought to the front
// and those of the series to the back, every argument being written at both ends, which needs no
// branch. k may be read up to a whole vector beyond count, value and slope written as far.
template <Quantity kQuantity, class T>
void evaluate_mixed(const Order<T>& order, const T* k, T* value, T* slope, int count) {
  constexpr int most = kElementsEach + 2 * kLanes<T>;
  const T cut = order.cut();
  int uniform = 0, series = 0;
  for (int i = 0; i < count; ++i) uniform += k[i] >= cut;
  if (uniform == count) return evaluate_run<kQuantity, true>(order, k, value, slope, count);
  if (uniform == 0) return evaluate_run<kQuantity, false>(order, k, value, slope, count);
  alignas(kAlignment) T arguments[most], values[most], slopes[most];
  int16_t place[most];
  const int end = count + kLanes<T>;
  uniform = 0;
  for (int i = 0; i < count; ++i) {
    const int back = end - 1 - series;
    arguments[uniform] = arguments[back] = k[i];
    place[uniform] = place[back] = int16_t(i);
    const int high = k[i] >= cut;
    uniform += high;
    series += 1 - high;
  }
  const int first_series = end - series;
  for (int i = 0; i < kLanes<T>; ++i) arguments[uniform + i] = cut, arguments[end + i] = 0;
  evaluate_run<kQuantity, true>(order, arguments, values, slopes, uniform);
  evaluate_run<kQuantity, false>(order, arguments + first_series, values + first_series,
                                 slopes + first_series, series);
  for (int i = 0; i < uniform; ++i) value[place[i]] = values[i], slope[place[i]] = slopes[i];
  for (int i = first_series; i < end; ++i) value[place[i]] = values[i], slope[place[i]] = slopes[i];
}

// count arguments, stride apart.
template <Quantity kQuantity, class T>
void evaluate_column(const Order<T>& order, const T* k, T* value, T* slope, int count,
                     int64_t stride) {
  constexpr int most = kElementsEach + kLanes<T>;
  alignas(kAlignment) T arguments[most], values[most], slopes[most];
  if (stride == 1) {
    memcpy(arguments, k, count * sizeof(T));
  } else {
    for (int i = 0; i < count; ++i) arguments[i] = k[i * stride];
  }
  for (int i = 0; i < kLanes<T>; ++i) arguments[count + i] = arguments[0];
  evaluate_mixed<kQuantity>(order, arguments, values, slopes, count);
  if (stride == 1) {
    memcpy(value, values, count * sizeof(T));
    memcpy(slope, slopes, count * sizeof(T));
  } else {
    for (int i = 0; i < count; ++i) value[i * stride] = values[i], slope[i * stride] = slopes[i];
  }
}

template <class T>
int64_t columns_tasks(const ColumnsArguments<T>& a) {
  return ceil_divide(a.rows, kElementsEach) * a.columns;
}

template <class T>
void columns(const ColumnsArguments<T>& a, int64_t first_task, int64_t last_task) {
  with_quantity(a.quantity, [&]<Quantity kQuantity>() {
    for (int64_t task = first_task; task < last_task; ++task) {
      const int64_t column = task % a.columns;
      const int64_t row = task / a.columns * kElementsEach;
      const int64_t at = row * a.columns + column;
      const int count = int(least(kElementsEach, a.rows - row));
      evaluate_column<kQuantity>(prepared<T>(a.orders[column]), a.k + at, a.value + at,
                                 a.slope + at, count, a.columns);
    }
  });
}

}  // namespace HVAE_TIER
}  // namespace hvae
