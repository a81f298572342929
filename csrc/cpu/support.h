// What every loop of a CPU tier stands on: its vectors, scratch memory, prepared orders.
//
// A lane is a draw, a row or an element, and every lane goes through the same vector code, the last
// incomplete vector too, padded. So a result depends on its place alone, not on threads or on where
// a chunk begins.
#pragma once

#include "../arguments/shells.h"
#include "../math/vmf.h"

namespace hvae {
inline namespace HVAE_TIER {

template <class T>
struct VectorOf;
template <>
struct VectorOf<float> {
  using type = Floats;
};
template <>
struct VectorOf<double> {
  using type = Doubles;
};
template <class T>
using Vector = typename VectorOf<T>::type;
template <class T>
constexpr int kLanes = Lanes<Vector<T>>::count;

constexpr int kAlignment = 64;
// Elements, draws or rows that a task takes; a multiple of every vector width.
constexpr int kElementsEach = 512;
constexpr int kDrawsEach = 64;

template <class V>
HVAE_FN Word<V> load_words(const Word<Real<V>>* p) {
  Word<V> w;
  memcpy(&w, p, sizeof(w));
  return w;
}

constexpr int64_t ceil_divide(int64_t a, int64_t b) { return (a + b - 1) / b; }
HVAE_FN int64_t least(int64_t a, int64_t b) { return a < b ? a : b; }

// The largest ambient dimension among the shells.
HVAE_FN int64_t widest_of(const Shells& shells) {
  int64_t widest = 0;
  for (int64_t i = 0; i < shells.count; ++i)
    widest = shells.dims[i] > widest ? shells.dims[i] : widest;
  return widest;
}

// Aligned memory. (No standard container here: its code would be shared by name with other tiers.)
template <class T>
class Scratch {
 public:
  explicit Scratch(int64_t count)
      : memory_(static_cast<T*>(aligned_alloc(
            kAlignment, ceil_divide(count * int64_t(sizeof(T)), kAlignment) * kAlignment))) {
    if (!memory_) abort();
  }
  ~Scratch() { free(memory_); }
  Scratch(const Scratch&) = delete;
  Scratch& operator=(const Scratch&) = delete;
  T* get() const { return memory_; }
  T& operator[](int64_t i) const { return memory_[i]; }

 private:
  T* memory_;
};

// The orders that this thread met last: preparing one takes microseconds, a model has a few.
template <class T>
const Order<T>& prepared(double nu) {
  constexpr int kept = 16;
  struct Entry {
    alignas(Order<T>) unsigned char storage[sizeof(Order<T>)];
    double nu = -1;
  };
  static thread_local Entry entries[kept];
  static thread_local int next = 0;
  for (Entry& entry : entries)
    if (entry.nu == nu) return *reinterpret_cast<Order<T>*>(entry.storage);
  Entry& entry = entries[next];
  next = (next + 1) % kept;
  entry.nu = nu;
  return *new (entry.storage) Order<T>(nu);
}

}  // namespace HVAE_TIER
}  // namespace hvae
