// One draw of every shell of every row: mean directions, divergences, angles, tangents, z.
#pragma once

#include "../arguments/sample.h"
#include "tangent.h"

namespace hvae {
inline namespace HVAE_TIER {

template <class T>
int64_t prepare_tasks(const SampleArguments<T>& a) {
  return ceil_divide(a.rows, kDrawsEach) * a.shells.count;
}

// Mean directions and divergences, once a row.
template <class T>
void prepare(const SampleArguments<T>& a, int64_t first_task, int64_t last_task) {
  using V = Vector<T>;
  for (int64_t task = first_task; task < last_task; ++task) {
    const int64_t shell = task % a.shells.count;
    const int64_t m = a.shells.dims[shell], offset = a.shells.offsets[shell];
    const int64_t end = least((task / a.shells.count + 1) * kDrawsEach, a.rows);
    const Order<T>& order = prepared<T>(double(m) / 2 - 1);
    Scratch<T> mu(m * kLanes<T>);
    for (int64_t row = task / a.shells.count * kDrawsEach; row < end; row += kLanes<T>) {
      const int count = int(least(kLanes<T>, end - row));
      rows_to_lanes(a.raw + row * a.raw_stride + offset, a.raw_stride, m, count, mu.get());
      normalise<V>(mu.get(), m);
      lanes_to_rows(mu.get(), m, count, a.mean + row * a.shells.width + offset, a.shells.width);
      V k = splat<V>(1);
      for (int i = 0; i < count; ++i) k[i] = a.k[(row + i) * a.k_row + shell * a.k_column];
      auto kl = evaluate<Quantity::kDivergence>(order, k);
      for (int i = 0; i < count; ++i) {
        a.kl[(row + i) * a.shells.count + shell] = kl.value[i];
        a.kl_slope[(row + i) * a.shells.count + shell] = kl.slope[i];
      }
    }
  }
}

// The counter words of up to kDrawsEach draws of one shell.
template <class T>
struct Draws {
  using W = Word<T>;
  static constexpr int most = kDrawsEach + 16;
  alignas(kAlignment) T k[most];
  alignas(kAlignment) W row[most];
  alignas(kAlignment) W sample[most];
  int16_t place[most];
  int count = 0;

  HVAE_FN void add(T concentration, W r, W s, int at) {
    k[count] = concentration, row[count] = r, sample[count] = s, place[count] = int16_t(at);
    ++count;
  }
  // Lanes beyond the last draw work on a harmless one.
  HVAE_FN void pad() {
    for (int i = count; i < count + kLanes<T>; ++i) k[i] = 1, row[i] = 0, sample[i] = 0;
  }
};

// eps and 1 - eps of every draw by Wood's scheme or one like it: passes over those that are still
// refused.
template <template <class> class Scheme, class T>
void propose_all(const Stream& stream, uint32_t base, int64_t m, Draws<T>& pending, T* eps,
                 T* rest) {
  using V = Vector<T>;
  using W = Word<V>;
  for (uint32_t attempt = 0; pending.count > 0; ++attempt) {
    pending.pad();
    const int count = pending.count;
    pending.count = 0;
    for (int i = 0; i < count; i += kLanes<T>) {
      const W row = load_words<V>(pending.row + i), sample = load_words<V>(pending.sample + i);
      W n[3];
      proposal_integers<V>(stream, row, sample, base, attempt, n);
      const Scheme<V> scheme(load<V>(pending.k + i), T(m));
      const Proposal<V> p = scheme.propose(n[0], n[1]);
      const auto refused = scheme.refused(p, n[2]);
      const int lanes = int(least(kLanes<T>, count - i));
      for (int lane = 0; lane < lanes; ++lane) {
        const int at = pending.place[i + lane];
        eps[at] = p.eps[lane], rest[at] = p.one_minus_eps[lane];
        if (refused[lane]) {
          // pending.count <= i + lane: the list is rewritten behind the reader, whose lanes are in
          // registers.
          pending.add(pending.k[i + lane], pending.row[i + lane], pending.sample[i + lane], at);
        }
      }
    }
  }
}

template <class T>
int64_t draw_tasks(const SampleArguments<T>& a) {
  return ceil_divide(a.rows * a.samples, kDrawsEach) * a.shells.count;
}

// Some draws of one shell in lanes, before they become points.
template <class T>
struct DrawnLanes {
  int64_t shell, m, offset;
  int64_t first;        // number of the first of them; they follow each other
  int count;            // how many of the lanes are draws
  const int64_t* rows;  // [count]
  const T* mu;          // [m][lanes]
  T* t;                 // [m][lanes], unit tangents
  Vector<T> cosine, sine;
};

// The draws of tasks: v and theta, and then point(lanes) of every vector of them.
template <class T, class Point>
HVAE_FN void draw_lanes(const SampleArguments<T>& a, int64_t first_task, int64_t last_task,
                        const Point& point) {
  using V = Vector<T>;
  using W = Word<V>;
  constexpr int lanes = kLanes<T>;
  const Stream stream(a.rng);
  const int64_t shells = a.shells.count;
  const int64_t widest = widest_of(a.shells);
  Scratch<T> mu(widest * lanes), t(widest * lanes);
  Draws<T> draws, pending;
  int64_t rows[kDrawsEach];
  alignas(kAlignment) T eps[Draws<T>::most], rest[Draws<T>::most], sine[Draws<T>::most],
      v[Draws<T>::most], theta[Draws<T>::most];
  for (int64_t task = first_task; task < last_task; ++task) {
    const int64_t shell = task % shells, m = a.shells.dims[shell], offset = a.shells.offsets[shell];
    const int64_t first = task / shells * kDrawsEach;
    const int count = int(least(kDrawsEach, a.rows * a.samples - first));
    const uint32_t base = first_block(a.shells.first + shell);
    draws.count = 0;
    int64_t row = first % a.rows, sample = first / a.rows;
    for (int i = 0; i < count; ++i) {
      rows[i] = row;
      draws.add(a.k[row * a.k_row + shell * a.k_column], Word<T>(uint32_t(stream.row + row)),
                Word<T>(uint32_t(stream.sample + sample)), i);
      if (++row == a.rows) row = 0, ++sample;
    }
    draws.pad();
    if (m != 3) {
      pending = draws;
      propose_all<Wood>(stream, base, m, pending, eps, rest);
      for (int i = count; i < count + lanes; ++i) eps[i] = rest[i] = T(0.5);
    }
    for (int i = 0; i < count; i += lanes) {
      const V k = load<V>(draws.k + i);
      const W row = load_words<V>(draws.row + i), sample = load_words<V>(draws.sample + i);
      const Angle<V> angle =
          m == 3 ? angle_on_sphere<V>(k, integer<V>(block_at<V>(stream, row, sample, base), 0))
                 : Wood<V>(k, T(m)).angle({load<V>(eps + i), load<V>(rest + i)});
      store<V>(theta + i, angle.theta);
      store<V>(v + i, angle.v);
      store<V>(sine + i, angle.sine);
    }
    for (int i = 0; i < count; i += lanes) {
      const int here = int(least(lanes, count - i));
      chosen_rows_to_lanes(a.mean + offset, a.shells.width, rows + i, m, here, mu.get());
      tangent<V>(stream, base, load_words<V>(draws.row + i), load_words<V>(draws.sample + i),
                 mu.get(), m, t.get());
      point(DrawnLanes<T>{shell, m, offset, first + i, here, rows + i, mu.get(), t.get(),
                          T(1) - load<V>(v + i), load<V>(sine + i)});
      for (int lane = 0; lane < here; ++lane) {
        a.v[(first + i + lane) * shells + shell] = v[i + lane];
        a.theta[(first + i + lane) * shells + shell] = theta[i + lane];
      }
    }
  }
}

template <class T>
void draw(const SampleArguments<T>& a, int64_t first_task, int64_t last_task) {
  using V = Vector<T>;
  constexpr int lanes = kLanes<T>;
  draw_lanes(a, first_task, last_task, [&](const DrawnLanes<T>& d) {
    for (int64_t j = 0; j < d.m; ++j) {
      T* at = d.t + j * lanes;
      store<V>(at, d.cosine * load<V>(d.mu + j * lanes) + d.sine * load<V>(at));
    }
    lanes_to_rows(d.t, d.m, d.count, a.z + d.first * a.shells.width + d.offset, a.shells.width);
  });
}

}  // namespace HVAE_TIER
}  // namespace hvae
