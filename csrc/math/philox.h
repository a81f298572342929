// The random stream: Philox4x32-10 (Salmon, Moraes, Dror, Shaw, SC 2011), and how its words become
// numbers.
//
// Key: 64 bits. Counter: (row, sample, shell * 2^16 + block, step). A word lane holds 32 bits; in
// the 64-bit lanes that go with double the upper half is zero.
#pragma once

#include "counter.h"
#include "elementary.h"

namespace hvae {
inline namespace HVAE_TIER {

HVAE_FN void multiply_wide(uint32_t a, uint32_t m, uint32_t& high, uint32_t& low) {
  const uint64_t product = uint64_t(a) * m;
  high = uint32_t(product >> 32);
  low = uint32_t(product);
}
HVAE_FN void multiply_wide(uint64_t a, uint32_t m, uint64_t& high, uint64_t& low) {
  const uint64_t product = a * m;
  high = product >> 32;
  low = product & 0xffffffffu;
}

#if defined(HVAE_VECTOR_BYTES) && !defined(__CUDACC__)
// The product of the low halves of 64-bit lanes. Compilers make a full 64-bit multiplication of the
// plain expression, three times as slow.
HVAE_FN Words64 multiply_halves(Words64 a, Words64 b) {
#if defined(__x86_64__) && HVAE_VECTOR_BYTES == 64
  return bits<Words64>(_mm512_mul_epu32(bits<__m512i>(a), bits<__m512i>(b)));
#elif defined(__x86_64__) && HVAE_VECTOR_BYTES == 32
  return bits<Words64>(_mm256_mul_epu32(bits<__m256i>(a), bits<__m256i>(b)));
#elif defined(__x86_64__) && HVAE_VECTOR_BYTES == 16
  return bits<Words64>(_mm_mul_epu32(bits<__m128i>(a), bits<__m128i>(b)));
#else
  return (a & 0xffffffffu) * (b & 0xffffffffu);
#endif
}
HVAE_FN void multiply_wide(Words64 a, uint32_t m, Words64& high, Words64& low) {
  const Words64 product = multiply_halves(a, Words64{} + m);
  high = product >> 32;
  low = product & 0xffffffffu;
}
HVAE_FN void multiply_wide(Words32 a, uint32_t m, Words32& high, Words32& low) {
  const Words64 multiplier = Words64{} + m;
  const Words64 even = multiply_halves(bits<Words64>(a), multiplier);
  const Words64 odd = multiply_halves(bits<Words64>(a) >> 32, multiplier);
  const uint64_t lower = 0xffffffffu;
  low = bits<Words32>((even & lower) | (odd << 32));
  high = bits<Words32>((even >> 32) | (odd & ~lower));
}
#endif

template <class W>
struct WordBlock {
  W w[4];
};

// Where a stream stands: what the int64 tensor [4] (key, step, row, sample) of every random op
// holds.
struct Stream {
  uint32_t key_low, key_high, step, row, sample;

  HVAE_FN explicit Stream(const int64_t* rng)
      : key_low(uint32_t(uint64_t(rng[0]))),
        key_high(uint32_t(uint64_t(rng[0]) >> 32)),
        step(uint32_t(rng[1])),
        row(uint32_t(rng[2])),
        sample(uint32_t(rng[3])) {}
};

template <class W>
HVAE_FN WordBlock<W> philox(W c0, W c1, W c2, W c3, uint32_t k0, uint32_t k1) {
  HVAE_UNROLL
  for (int round = 0; round < 10; ++round) {
    W high0, low0, high1, low1;
    multiply_wide(c0, 0xD2511F53u, high0, low0);
    multiply_wide(c2, 0xCD9E8D57u, high1, low1);
    c0 = high1 ^ c1 ^ k0;
    c1 = low1;
    c2 = high0 ^ c3 ^ k1;
    c3 = low0;
    k0 += 0x9E3779B9u;
    k1 += 0xBB67AE85u;
  }
  return {{c0, c1, c2, c3}};
}

// The first block of a shell of the row.
HVAE_FN uint32_t first_block(int64_t shell) { return uint32_t(shell) * kBlocksPerShell; }

// The words at a block of the row and the sample.
template <class V>
HVAE_FN WordBlock<Word<V>> block_at(const Stream& stream, Word<V> row, Word<V> sample,
                                    uint32_t block) {
  using W = Word<V>;
  return philox<W>(row, sample, W{} + block, W{} + stream.step, stream.key_low, stream.key_high);
}

// A random integer of kBits<V> bits: 31 of one word (float) or 52 of two (double).
template <class V>
constexpr int kBits = is_single<V> ? 31 : 52;
template <class V>
constexpr int kWordsEach = is_single<V> ? 1 : 2;

// Random integers, and so uniform or normal numbers, of a block.
template <class V>
constexpr int kNumbersEach = 4 / kWordsEach<V>;

// The i-th integer of a block.
template <class V>
HVAE_FN Word<V> integer(const WordBlock<Word<V>>& block, int i) {
  if constexpr (is_single<V>) {
    return block.w[i] >> 1;
  } else {
    return (block.w[2 * i] << 20) | (block.w[2 * i + 1] >> 12);
  }
}

HVAE_FN float from_signed(uint32_t n, float) { return float(int32_t(n)); }
HVAE_FN double from_signed(uint64_t n, double) {
  return bits<double>(n + 0x4338000000000000u) - 0x1.8p52;
}
#if defined(HVAE_VECTOR_BYTES) && !defined(__CUDACC__)
HVAE_FN Floats from_signed(Words32 n, Floats) {
  return __builtin_convertvector(bits<Ints32>(n), Floats);
}
HVAE_FN Doubles from_signed(Words64 n, Doubles) {
  return bits<Doubles>(n + uint64_t(0x4338000000000000u)) - 0x1.8p52;
}
#endif

// n + 1/2, where n takes 52 bits without a sign and so has no room for the shift that from_signed
// makes.
template <class V>
HVAE_FN V plus_half(Word<V> n) {
  using R = Real<V>;
  if constexpr (is_single<V>) {
    return from_signed(n, V{}) + R(0.5);
  } else {
    return (bits<V>(n | 0x4330000000000000u) - R(0x1p52)) + R(0.5);
  }
}

// (n + 1/2) 2^-B: never 0, so that its logarithm is finite; 1 only by rounding to float.
template <class V>
HVAE_FN V open_uniform(Word<V> n) {
  using R = Real<V>;
  constexpr R unit = is_single<V> ? R(0x1p-31) : R(0x1p-52);
  return plus_half<V>(n) * unit;
}

// 1 - open_uniform(n), from the integer: as exact near 1 as near 0.
template <class V>
HVAE_FN V open_complement(Word<V> n) {
  constexpr auto all = (Word<Real<V>>(1) << kBits<V>)-1;
  return open_uniform<V>(all - n);
}

// Sine and cosine of 2 pi open_uniform(n): the quarter turn comes off the integer, so small sines
// keep their digits.
template <class V>
HVAE_FN void sine_cosine_turn(Word<V> n, V& sine, V& cosine) {
  using R = Real<V>;
  constexpr int B = kBits<V>;
  Word<V> quadrant = (n + (Word<R>(1) << (B - 3))) >> (B - 2);
  Word<V> rest = n - (quadrant << (B - 2));
  constexpr R unit = R(6.28318530717958647693L) * (is_single<V> ? R(0x1p-31) : R(0x1p-52));
  V s, c;
  sine_cosine_small((from_signed(rest, V{}) + R(0.5)) * unit, s, c);
  auto swap = (quadrant & 1) != 0;
  constexpr int top = sizeof(R) * 8 - 1;
  sine = bits<V>(bits<Word<V>>(select(swap, c, s)) ^ ((quadrant >> 1) << top));
  cosine = bits<V>(bits<Word<V>>(select(swap, s, c)) ^ (((quadrant + 1) >> 1) << top));
}

// The normal numbers of a block, by Box and Muller (1958).
template <class V>
HVAE_FN void normals(const WordBlock<Word<V>>& block, V* out) {
  using R = Real<V>;
  HVAE_UNROLL
  for (int pair = 0; pair < kNumbersEach<V> / 2; ++pair) {
    V radius = square_root(R(-2) * log_positive(open_uniform<V>(integer<V>(block, 2 * pair))));
    V s, c;
    sine_cosine_turn<V>(integer<V>(block, 2 * pair + 1), s, c);
    out[2 * pair] = radius * c;
    out[2 * pair + 1] = radius * s;
  }
}

// The uniform numbers of a block, in (0, 1).
template <class V>
HVAE_FN void uniforms(const WordBlock<Word<V>>& block, V* out) {
  HVAE_UNROLL
  for (int i = 0; i < kNumbersEach<V>; ++i) out[i] = open_uniform<V>(integer<V>(block, i));
}

}  // namespace HVAE_TIER
}  // namespace hvae
