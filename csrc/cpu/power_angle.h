// Angles of draws of the Power Spherical distribution, and their derivatives.
#pragma once

#include "../arguments/power_angle.h"
#include "../math/power_angle.h"
#include "sample.h"

namespace hvae {
inline namespace HVAE_TIER {

template <class T>
int64_t power_angle_tasks(const PowerAngleArguments<T>& a) {
  return ceil_divide(a.rows * a.samples, kDrawsEach);
}

template <class T>
void power_angle(const PowerAngleArguments<T>& a, int64_t first_task, int64_t last_task) {
  using V = Vector<T>;
  const Stream stream(a.rng);
  const uint32_t base = first_block(a.shell);
  Draws<T> draws, pending;
  alignas(kAlignment) T eps[Draws<T>::most], rest[Draws<T>::most];
  for (int64_t task = first_task; task < last_task; ++task) {
    const int64_t first = task * kDrawsEach;
    const int count = int(least(kDrawsEach, a.rows * a.samples - first));
    draws.count = 0;
    int64_t row = first % a.rows, sample = first / a.rows;
    for (int i = 0; i < count; ++i) {
      draws.add(a.k[row], Word<T>(uint32_t(stream.row + row)),
                Word<T>(uint32_t(stream.sample + sample)), i);
      if (++row == a.rows) row = 0, ++sample;
    }
    draws.pad();
    pending = draws;
    propose_all<PowerAngle>(stream, base, a.m, pending, eps, rest);
    for (int i = count; i < count + kLanes<T>; ++i) eps[i] = rest[i] = T(0.5);
    for (int i = 0; i < count; i += kLanes<T>) {
      const PowerAngle<V> scheme(load<V>(draws.k + i), T(a.m));
      const V theta = scheme.angle({load<V>(eps + i), load<V>(rest + i)}).theta;
      memcpy(a.theta + first + i, &theta, least(kLanes<T>, count - i) * sizeof(T));
    }
  }
}

template <class T>
void power_angle_slopes(const PowerAngleArguments<T>& a, int64_t first_task, int64_t last_task) {
  using V = Vector<T>;
  const int64_t end = least(last_task * kDrawsEach, a.rows * a.samples);
  for (int64_t i = first_task * kDrawsEach; i < end; i += kLanes<T>) {
    const int count = int(least(kLanes<T>, end - i));
    V theta = splat<V>(1), k = splat<V>(1);
    memcpy(&theta, a.theta + i, count * sizeof(T));
    for (int lane = 0; lane < count; ++lane) k[lane] = a.k[(i + lane) % a.rows];
    const V slope = power_angle_slope<V>(T(a.m), theta, k);
    memcpy(a.slope + i, &slope, count * sizeof(T));
  }
}

}  // namespace HVAE_TIER
}  // namespace hvae
