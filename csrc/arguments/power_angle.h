// The arguments of the op `power_angle`, angles of draws of the Power Spherical distribution, and of
// `power_angle_slope`, their derivatives in the concentration.
#pragma once

#include <cstdint>

namespace hvae {

template <class T>
struct PowerAngleArguments {
  int64_t rows, samples, m;
  int64_t shell;       // index in the random stream; theta alone
  const int64_t* rng;  // [4] key, step, first row, first sample; theta alone
  const T* k;          // [rows]
  T* theta;            // [samples, rows]
  T* slope;            // [samples, rows], dtheta/dk; slope alone
};

}  // namespace hvae
