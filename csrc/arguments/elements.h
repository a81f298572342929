// The arguments of the op `elements`: a quantity of quantity.h and its derivative, an order for
// every element.
#pragma once

#include <cstdint>

namespace hvae {

template <class T>
struct ElementsArguments {
  int quantity;
  int64_t count;
  const T* order;  // [count]
  const T* k;      // [count]
  T* value;        // [count]
  T* slope;        // [count]
};

}  // namespace hvae
