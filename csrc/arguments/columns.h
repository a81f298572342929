// The arguments of the op `columns`: a quantity of quantity.h and its derivative, one order a
// column.
#pragma once

#include <cstdint>

namespace hvae {

template <class T>
struct ColumnsArguments {
  int quantity;
  int64_t rows, columns;
  const double* orders;  // [columns]
  const T* k;            // [rows, columns]
  T* value;              // [rows, columns]
  T* slope;              // [rows, columns]
};

}  // namespace hvae
