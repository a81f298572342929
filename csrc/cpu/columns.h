// Quantities of the concentration: an order for every column, or for every element.
#pragma once

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

// Calls work.template operator()<quantity>() for the quantity that is known only now.
template <class Work>
void with_quantity(int quantity, const Work& work) {
  switch (static_cast<Quantity>(quantity)) {
    case Quantity::kLogNorm:
      return work.template operator()<Quantity::kLogNorm>();
    case Quantity::kLogNormComplement:
      return work.template operator()<Quantity::kLogNormComplement>();
    case Quantity::kRatio:
      return work.template operator()<Quantity::kRatio>();
    case Quantity::kRatioComplement:
      return work.template operator()<Quantity::kRatioComplement>();
    case Quantity::kRatioSlope:
      return work.template operator()<Quantity::kRatioSlope>();
    case Quantity::kDivergence:
      return work.template operator()<Quantity::kDivergence>();
    case Quantity::kDivergenceSlope:
      return work.template operator()<Quantity::kDivergenceSlope>();
    case Quantity::kLogBessel:
      return work.template operator()<Quantity::kLogBessel>();
    default:
      return work.template operator()<Quantity::kLogBesselScaled>();
  }
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
