// Orders prepared on the host for the kernels that evaluate many arguments of each.
#pragma once

#include "../math/bessel.h"

namespace hvae {

// Of order nu >= 0; remembered by the thread that asked.
template <class T>
const PreparedOrder<T>& prepared_order(double nu);

extern template const PreparedOrder<float>& prepared_order(double nu);
extern template const PreparedOrder<double>& prepared_order(double nu);

}  // namespace hvae
