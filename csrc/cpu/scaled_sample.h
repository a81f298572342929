// A draw of every scaled shell of every row: that of its von Mises-Fisher shell, stretched, with the
// logarithms of the stretching and the divergence.
#pragma once

#include "sample.h"
#include "scales.h"

namespace hvae {
inline namespace HVAE_TIER {

template <class T>
int64_t scaled_prepare_tasks(const ScaledSampleArguments<T>& a) {
  return prepare_tasks(a.x);
}

// Mean directions, divergences before the stretching, scales and log |A|, once a row.
template <class T>
void scaled_prepare(const ScaledSampleArguments<T>& a, int64_t first_task, int64_t last_task) {
  using V = Vector<T>;
  constexpr int lanes = kLanes<T>;
  prepare(a.x, first_task, last_task);
  const Shells& shells = a.x.shells;
  const int64_t widest = widest_of(shells), width = shells.width;
  Scratch<T> mu(widest * lanes), l(widest * lanes), s(widest * lanes), less_one(widest * lanes);
  for (int64_t task = first_task; task < last_task; ++task) {
    const int64_t shell = task % shells.count;
    const int64_t m = shells.dims[shell], offset = shells.offsets[shell];
    const int64_t end = least((task / shells.count + 1) * kDrawsEach, a.x.rows);
    for (int64_t row = task / shells.count * kDrawsEach; row < end; row += lanes) {
      const int count = int(least(lanes, end - row));
      const int64_t at = row * width + offset;
      log_scales(a.raw, row, offset, m, count, l.get());
      for (int64_t j = 0; j < m; ++j) {
        const V x = load<V>(l.get() + j * lanes);
        store<V>(s.get() + j * lanes, exp(x));
        store<V>(less_one.get() + j * lanes, expm1(x));
      }
      lanes_to_rows(s.get(), m, count, a.scale + at, width);
      lanes_to_rows(less_one.get(), m, count, a.scale_less_one + at, width);
      V volume = sum_of<V>(m, [&](int64_t j) { return load<V>(l.get() + j * lanes); });
      if (a.raw.frame == ScaleFrame::kMean) {
        rows_to_lanes(a.x.mean + at, width, m, count, mu.get());
        const auto share = [&](int64_t j) {
          const V x = load<V>(mu.get() + j * lanes);
          return x * x / load<V>(s.get() + j * lanes);
        };
        const V sum = sum_of<V>(m, share), sum_less_one = -sum_of<V>(m, [&](int64_t j) {
                                             return share(j) * load<V>(less_one.get() + j * lanes);
                                           });
        volume = volume + log_of_sum(sum_less_one, sum);
      }
      for (int i = 0; i < count; ++i) a.volume[(row + i) * shells.count + shell] = volume[i];
    }
  }
}

template <class T>
int64_t scaled_draw_tasks(const ScaledSampleArguments<T>& a) {
  return draw_tasks(a.x);
}

template <class T>
void scaled_draw(const ScaledSampleArguments<T>& a, int64_t first_task, int64_t last_task) {
  using V = Vector<T>;
  constexpr int lanes = kLanes<T>;
  const int64_t widest = widest_of(a.x.shells), width = a.x.shells.width;
  Scratch<T> s_lanes(widest * lanes), less_lanes(widest * lanes), y_lanes(widest * lanes);
  T *s = s_lanes.get(), *less_one = less_lanes.get(), *y = y_lanes.get();
  draw_lanes(a.x, first_task, last_task, [&](const DrawnLanes<T>& d) {
    const int64_t m = d.m;
    chosen_rows_to_lanes(a.scale + d.offset, width, d.rows, m, d.count, s);
    chosen_rows_to_lanes(a.scale_less_one + d.offset, width, d.rows, m, d.count, less_one);
    V growth;  // |A x|^2 - 1
    if (a.raw.frame == ScaleFrame::kMean) {
      for (int64_t j = 0; j < m; ++j) store<V>(y + j * lanes, load<V>(d.t + j * lanes));
      stretch_tangent<V>(s, d.mu, m, y);
      growth = d.sine * d.sine * sum_of<V>(m, [&](int64_t j) {
                 const V t = load<V>(d.t + j * lanes), change = load<V>(y + j * lanes) - t;
                 return T(2) * load<V>(less_one + j * lanes) * t * t + change * change;
               });
      for (int64_t j = 0; j < m; ++j)
        store<V>(y + j * lanes,
                 d.cosine * load<V>(d.mu + j * lanes) + d.sine * load<V>(y + j * lanes));
    } else {
      for (int64_t j = 0; j < m; ++j)
        store<V>(y + j * lanes,
                 d.cosine * load<V>(d.mu + j * lanes) + d.sine * load<V>(d.t + j * lanes));
      growth = sum_of<V>(m, [&](int64_t j) {
        const V x = load<V>(y + j * lanes), less = load<V>(less_one + j * lanes);
        return x * x * (less * (less + T(2)));
      });
      for (int64_t j = 0; j < m; ++j)
        store<V>(y + j * lanes, load<V>(s + j * lanes) * load<V>(y + j * lanes));
    }
    const V square = dot<V>(y, y, m), inverse = T(1) / square_root(square);
    for (int64_t j = 0; j < m; ++j) store<V>(y + j * lanes, load<V>(y + j * lanes) * inverse);
    lanes_to_rows(y, m, d.count, a.x.z + d.first * width + d.offset, width);
    const V stretch = T(0.5) * T(m) * log_of_sum(growth, square);
    for (int i = 0; i < d.count; ++i)
      a.stretch[(d.first + i) * a.x.shells.count + d.shell] = stretch[i];
  });
}

template <class T>
int64_t scaled_finish_tasks(const ScaledSampleArguments<T>& a) {
  return ceil_divide(a.x.rows * a.x.shells.count, kElementsEach);
}

// KL = that before the stretching + the mean of m log |A x| - log |A|.
template <class T>
void scaled_finish(const ScaledSampleArguments<T>& a, int64_t first_task, int64_t last_task) {
  const int64_t each = a.x.rows * a.x.shells.count;
  const int64_t end = least(last_task * kElementsEach, each);
  for (int64_t i = first_task * kElementsEach; i < end; ++i) {
    double sum = 0;
    for (int64_t sample = 0; sample < a.x.samples; ++sample) sum += a.stretch[sample * each + i];
    a.x.kl[i] = a.x.kl[i] + (T(sum / double(a.x.samples)) - a.volume[i]);
  }
}

}  // namespace HVAE_TIER
}  // namespace hvae
