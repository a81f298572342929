// Compiled for the host alone: nvcc knows the headers of csrc/math as device code.
#include "orders.h"

#include <map>

namespace hvae {

template <class T>
const PreparedOrder<T>& prepared_order(double nu) {
  constexpr std::size_t kept = 256;
  static thread_local std::map<double, Order<T>> orders;
  if (const auto found = orders.find(nu); found != orders.end()) return found->second;
  if (orders.size() >= kept) orders.clear();
  return orders.try_emplace(nu, nu).first->second;
}

template const PreparedOrder<float>& prepared_order(double nu);
template const PreparedOrder<double>& prepared_order(double nu);

}  // namespace hvae
