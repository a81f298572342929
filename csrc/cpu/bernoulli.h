// The log-likelihood of Bernoulli pixels, and its gradient in the logits.
#pragma once

#include "../arguments/bernoulli.h"
#include "support.h"

namespace hvae {
inline namespace HVAE_TIER {

// count lanes at p, the others 0.
template <class V>
HVAE_FN V load_part(const Real<V>* p, int count) {
  if (count == Lanes<V>::count) return load<V>(p);
  V x = splat<V>(0);
  memcpy(&x, p, count * sizeof(Real<V>));
  return x;
}
template <class V>
HVAE_FN V load_part(const uint8_t* p, int count) {
  if (count == Lanes<V>::count) return from_bytes(p, V{});
  V x = splat<V>(0);
  for (int i = 0; i < count; ++i) x[i] = Real<V>(p[i]);
  return x;
}

// The softplus of many logits, summed: softplus(l) = max(l, 0) + log1p(e), e = exp(-|l|), and one
// logarithm serves many pixels. P = (1 + e_1) (1 + e_2) ... - 1 is kept instead of the product,
// P <- P + e + P e, whose terms are positive: no small e is lost beside 1. Every factor is at most
// 2, so kFactors of them stay within the range.
template <class V>
constexpr int kFactors = is_single<V> ? 64 : 512;

template <class T, class X>
T bernoulli_row(const T* logits, const X* x, int64_t pixels) {
  using V = Vector<T>;
  V sum = splat<V>(0), excess = splat<V>(0);
  int factors = 0;
  for (int64_t j = 0; j < pixels; j += kLanes<T>) {
    const int count = int(least(kLanes<T>, pixels - j));
    const V l = load_part<V>(logits + j, count);
    V e = exp_of_minus(l);
    if (count < kLanes<T>)
      for (int i = count; i < kLanes<T>; ++i) e[i] = 0;
    sum = sum + (load_part<V>(x + j, count) * l - larger(l, splat<V>(0)));
    excess = excess + (e + excess * e);
    if (++factors == kFactors<V>) {
      sum = sum - log1p(excess);
      excess = splat<V>(0);
      factors = 0;
    }
  }
  sum = sum - log1p(excess);
  double total = 0;
  for (int i = 0; i < kLanes<T>; ++i) total += sum[i];
  return T(total);
}

// A task is a row.
template <class T>
int64_t bernoulli_tasks(const BernoulliArguments<T>& a) {
  return a.rows;
}

template <class T>
void bernoulli(const BernoulliArguments<T>& a, int64_t first_row, int64_t last_row) {
  for (int64_t row = first_row; row < last_row; ++row) {
    const T* logits = a.logits + row * a.pixels;
    const int64_t image = row % a.images * a.pixels;
    a.out[row] = a.x ? bernoulli_row(logits, a.x + image, a.pixels)
                     : bernoulli_row(logits, a.x_byte + image, a.pixels);
  }
}

// x - sigmoid(l), times the gradient of the row.
template <class T, class X>
void bernoulli_row_backward(T grad, const T* logits, const X* x, int64_t pixels, T* out) {
  using V = Vector<T>;
  for (int64_t j = 0; j < pixels; j += kLanes<T>) {
    const int count = int(least(kLanes<T>, pixels - j));
    const V l = load_part<V>(logits + j, count);
    const V e = exp_of_minus(l);
    const V sigmoid = select(l >= T(0), splat<V>(1), e) / (e + T(1));
    const V g = grad * (load_part<V>(x + j, count) - sigmoid);
    memcpy(out + j, &g, count * sizeof(T));
  }
}

template <class T>
void bernoulli_backward(const BernoulliArguments<T>& a, int64_t first_row, int64_t last_row) {
  for (int64_t row = first_row; row < last_row; ++row) {
    const int64_t at = row * a.pixels, image = row % a.images * a.pixels;
    if (a.x) {
      bernoulli_row_backward(a.grad[row], a.logits + at, a.x + image, a.pixels, a.out + at);
    } else {
      bernoulli_row_backward(a.grad[row], a.logits + at, a.x_byte + image, a.pixels, a.out + at);
    }
  }
}

}  // namespace HVAE_TIER
}  // namespace hvae
