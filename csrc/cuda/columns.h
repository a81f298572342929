// Quantities of the concentration on the GPU, an order for every column.
#pragma once

#include "../arguments/sample.h"
#include "../math/vmf.h"
#include "device.h"
#include "orders.h"

namespace hvae {
namespace {

// Orders that travel with one launch: in double they take 24 of the 32 KiB that a kernel's
// parameters have since CUDA 12.1.
constexpr int kOrdersALaunch = 8;

template <class T>
struct OrderTable {
  PreparedOrder<T> order[kOrdersALaunch];
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
__global__ void columns_kernel(ColumnsPlace<T> a, const __grid_constant__ OrderTable<T> table,
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

// The columns of some orders, as many as one launch takes from `first` on; returns the next one.
template <class T, class OrderOf>
int64_t fill_table(int64_t first, int64_t columns, const OrderOf& order_of, OrderTable<T>& table) {
  double orders[kOrdersALaunch];
  int known = 0;
  int64_t at = first;
  for (; at < columns && at - first < kShellsALaunch; ++at) {
    const double nu = order_of(at);
    const int found = int(std::find(orders, orders + known, nu) - orders);
    if (found == kOrdersALaunch) break;
    if (found == known) {
      orders[known] = nu;
      table.order[known++] = prepared_order<T>(nu);
    }
    table.order_of[at - first] = uint8_t(found);
    table.column[at - first] = int32_t(at);
  }
  return at;
}

// order_of(column): its order nu.
template <Quantity kQuantity, class T, class OrderOf>
void launch_columns(const ColumnsPlace<T>& a, const OrderOf& order_of, cudaStream_t queue) {
  OrderTable<T> table;
  for (int64_t first = 0, next = 0; first < a.columns; first = next) {
    next = fill_table(first, a.columns, order_of, table);
    const int count = int(next - first);
    const int64_t pieces = pieces_of(a.rows, count);
    columns_kernel<kQuantity, T>
        <<<blocks_for(pieces * kWarp), kThreads, 0, queue>>>(a, table, count);
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
