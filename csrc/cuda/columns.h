// Quantities of the concentration on the GPU, an order for every column.
#pragma once

#include "../arguments/sample.h"
#include "../math/vmf.h"
#include "device.h"
#include "fitted.h"
#include "orders.h"

namespace hvae {
namespace {

// Orders that travel with one launch: in double they take 24 of the 32 KiB that a kernel's
// parameters have since CUDA 12.1.
constexpr int kOrdersALaunch = 8;

template <class Order>
struct OrderTable {
  Order order[kOrdersALaunch];
  uint8_t order_of[kShellsALaunch];  // columns
  int32_t column[kShellsALaunch];
};

// Where the arguments are, and where the results [rows, columns] go.
template <class T>
struct ColumnsPlace {
  int64_t rows, columns;
  const T* k;
  int64_t k_row, k_column;
  T* value;
  T* slope;
};

constexpr int kRowsALane = 4;
constexpr int kRowsAWarp = kWarp * kRowsALane;

// What the warps of a launch work on: some rows of one column each.
__host__ __device__ inline int64_t pieces_of(int64_t rows, int count) {
  return (rows + kRowsAWarp - 1) / kRowsAWarp * count;
}

// The arguments of a warp's rows, those of one zone together: lanes side by side take one branch.
template <class T>
struct SortedRows {
  T k[kRowsAWarp];
  uint8_t row[kRowsAWarp];

  // Of the rows from `first` on; of those that there are not, 0. All lanes of a warp call it.
  __device__ void load(const ColumnsPlace<T>& a, int column, int64_t first, T cut) {
    const int lane = int(threadIdx.x % kWarp);
    const unsigned before = (1u << lane) - 1;
    int uniform = 0, series = kRowsAWarp;  // the places in between are free
    for (int i = 0; i < kRowsALane; ++i) {
      const int row_here = i * kWarp + lane;
      const int64_t at = first + row_here;
      const T argument = at < a.rows ? a.k[at * a.k_row + column * a.k_column] : T(0);
      const unsigned above = __ballot_sync(0xffffffffu, argument >= cut);
      const int to =
          argument >= cut ? uniform + __popc(above & before) : series - 1 - __popc(~above & before);
      k[to] = argument, row[to] = uint8_t(row_here);
      uniform += __popc(above), series -= __popc(~above);
    }
    __syncwarp();
  }
};

// A warp works on one column, so that all its lanes have one order.
template <Quantity kQuantity, class T>
__global__ void columns_kernel(ColumnsPlace<T> a,
                               const __grid_constant__ OrderTable<PreparedOrder<T>> table,
                               int count) {
  __shared__ SortedRows<T> of_warp[kThreads / kWarp];
  SortedRows<T>& sorted = of_warp[threadIdx.x / kWarp];
  const int64_t pieces = pieces_of(a.rows, count);
  for (int64_t piece = thread_index() / kWarp; piece < pieces; piece += thread_count() / kWarp) {
    const int index = int(piece % count), column = table.column[index];
    const int64_t first = piece / count * kRowsAWarp;
    const PreparedOrder<T>& order = table.order[table.order_of[index]];
    sorted.load(a, column, first, order.cut());
    for (int i = 0; i < kRowsALane; ++i) {
      const int place = i * kWarp + int(threadIdx.x % kWarp);
      const int64_t row = first + sorted.row[place];
      const auto result = evaluate<kQuantity>(order, sorted.k[place]);
      if (row >= a.rows) continue;
      a.value[row * a.columns + column] = result.value;
      a.slope[row * a.columns + column] = result.slope;
    }
    __syncwarp();
  }
}

constexpr int kFittedRowsALane = 4;
constexpr int kFittedRounds = 4;

// Lanes side by side work on columns side by side, so that memory is read and written whole; a lane
// keeps its column. groups: of terms that the launch's orders need.
template <Quantity kQuantity, class T>
__global__ void fitted_columns_kernel(ColumnsPlace<T> a,
                                      const __grid_constant__ OrderTable<FittedOrder> table,
                                      int count, int groups) {
  __shared__ FourTerms terms[2 * kFitGroups][kOrdersALaunch];
  for (int i = threadIdx.x; i < 2 * kFitGroups * kOrdersALaunch; i += kThreads) {
    const int group = i / kOrdersALaunch;
    const FittedOrder& order = table.order[i % kOrdersALaunch];
    terms[group][i % kOrdersALaunch] =
        group < kFitGroups ? order.value[group] : order.slope[group - kFitGroups];
  }
  __syncthreads();
  const int rows_a_pass = kThreads / count, lane_row = int(threadIdx.x) / count;
  if (lane_row >= rows_a_pass) return;
  const int column = table.column[threadIdx.x % count];
  const int which = table.order_of[threadIdx.x % count];
  const FittedOrder& order = table.order[which];
  const int64_t rows_a_block = int64_t(rows_a_pass) * kFittedRowsALane * kFittedRounds;
  int64_t row = blockIdx.x * rows_a_block + lane_row;
  const int64_t last = std::min(a.rows, (blockIdx.x + 1) * rows_a_block);
  for (; row < last; row += rows_a_pass * kFittedRowsALane) {
    T k[kFittedRowsALane], value[kFittedRowsALane], slope[kFittedRowsALane];
    HVAE_UNROLL
    for (int i = 0; i < kFittedRowsALane; ++i) {
      const int64_t here = row + i * rows_a_pass;
      k[i] = here < last ? a.k[here * a.k_row + column * a.k_column] : T(0);
    }
    fit_evaluate<kQuantity>(order, terms, which, groups, k, value, slope);
    HVAE_UNROLL
    for (int i = 0; i < kFittedRowsALane; ++i) {
      const int64_t here = row + i * rows_a_pass;
      if (here >= last) continue;
      a.value[here * a.columns + column] = value[i];
      a.slope[here * a.columns + column] = slope[i];
    }
  }
}

// The columns from `first` on whose order is prepared, as many as one launch takes. prepare(nu)
// points to an order, or to none for a column that is another launch's.
template <class Order>
struct Filled {
  OrderTable<Order> table;
  int64_t next;
  int count = 0, orders = 0;

  template <class OrderOf, class Prepare>
  Filled(int64_t first, int64_t columns, const OrderOf& order_of, const Prepare& prepare)
      : next(first) {
    double known[kOrdersALaunch];
    for (; next < columns && count < kShellsALaunch; ++next) {
      const double nu = order_of(next);
      const int found = int(std::find(known, known + orders, nu) - known);
      if (found == orders) {
        const Order* order = prepare(nu);
        if (order == nullptr) continue;
        if (orders == kOrdersALaunch) return;
        known[orders] = nu;
        table.order[orders++] = *order;
      }
      table.order_of[count] = uint8_t(found);
      table.column[count++] = int32_t(next);
    }
  }
};

// Of the columns that have a fit.
template <Quantity kQuantity, class OrderOf>
void launch_fitted_columns(const ColumnsPlace<float>& a, const OrderOf& order_of,
                           cudaStream_t queue) {
  const auto fitted = [](double nu) { return fitted_order(kQuantity, nu); };
  for (int64_t next = 0; next < a.columns;) {
    const Filled<FittedOrder> filled(next, a.columns, order_of, fitted);
    next = filled.next;
    if (filled.count == 0) continue;
    int groups = 1;
    for (int i = 0; i < filled.orders; ++i) groups = std::max(groups, filled.table.order[i].groups);
    const int64_t rows_a_lane = kFittedRowsALane * kFittedRounds;
    const int64_t rows_a_block = kThreads / filled.count * rows_a_lane;
    const auto blocks = unsigned((a.rows + rows_a_block - 1) / rows_a_block);
    fitted_columns_kernel<kQuantity, float>
        <<<blocks, kThreads, 0, queue>>>(a, filled.table, filled.count, groups);
  }
}

// order_of(column): its order nu.
template <Quantity kQuantity, class T, class OrderOf>
void launch_columns(const ColumnsPlace<T>& a, const OrderOf& order_of, cudaStream_t queue) {
  constexpr bool fits = std::is_same_v<T, float> && has_fit(kQuantity);
  if constexpr (fits) launch_fitted_columns<kQuantity>(a, order_of, queue);
  const auto prepared = [](double nu) -> const PreparedOrder<T>* {
    return fits && fitted_order(kQuantity, nu) ? nullptr : &prepared_order<T>(nu);
  };
  for (int64_t next = 0; next < a.columns;) {
    const Filled<PreparedOrder<T>> filled(next, a.columns, order_of, prepared);
    next = filled.next;
    if (filled.count == 0) continue;
    const int64_t pieces = pieces_of(a.rows, filled.count);
    columns_kernel<kQuantity, T>
        <<<blocks_for(pieces * kWarp), kThreads, 0, queue>>>(a, filled.table, filled.count);
  }
}

// The divergences of a draw's shells and their slopes: a launch of their own, since a lane of a tile
// that evaluates one keeps the others waiting.
template <class T>
void launch_divergences(const SampleArguments<T>& a, cudaStream_t queue) {
  const ColumnsPlace<T> place = {a.rows,     a.shells.count, a.k,       a.k_row,
                                 a.k_column, a.kl,           a.kl_slope};
  launch_columns<Quantity::kDivergence>(
      place, [&](int64_t shell) { return double(a.shells.dims[shell]) / 2 - 1; }, queue);
}

}  // namespace
}  // namespace hvae
