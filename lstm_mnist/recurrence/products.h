// Vectors of the processor's width, tanh and gates of them, and matrix products.

#ifndef LSTM_MNIST_PRODUCTS_H_
#define LSTM_MNIST_PRODUCTS_H_

#include <cstring>
#include <type_traits>

#if defined(__x86_64__)
#include <immintrin.h>
#elif defined(__aarch64__)
#include <arm_neon.h>
#endif

namespace {

// Vectors.

constexpr int MAX_M = 6;  // MAX_M x MAX_N sums fit into the registers
#if defined(__AVX512F__)
constexpr int W = 16, MAX_N = 4;  // 32 registers
#elif defined(__AVX2__)
constexpr int W = 8, MAX_N = 2;  // 16
#elif defined(__aarch64__)
constexpr int W = 4, MAX_N = 4;  // 32
#else
constexpr int W = 4, MAX_N = 2;  // 16
#endif
typedef float V __attribute__((vector_size(4 * W)));
typedef float Unaligned __attribute__((vector_size(4 * W), aligned(4), may_alias));

#define INLINE inline __attribute__((always_inline))
#define UNROLL _Pragma("GCC unroll 8")

INLINE V load(const float* p) { return *reinterpret_cast<const Unaligned*>(p); }
INLINE void store(float* p, V v) { *reinterpret_cast<Unaligned*>(p) = v; }
INLINE V all(float x) { return x - V{}; }

// a b + c with one rounding. Left to the compiler, the bits would depend on what it contracts.
INLINE V fma(V a, V b, V c) {
#if defined(__AVX512F__)
  return V(_mm512_fmadd_ps(__m512(a), __m512(b), __m512(c)));
#elif defined(__FMA__)
  return V(_mm256_fmadd_ps(__m256(a), __m256(b), __m256(c)));
#elif defined(__aarch64__)
  return V(vfmaq_f32(float32x4_t(c), float32x4_t(a), float32x4_t(b)));
#else
  return a * b + c;
#endif
}

// Clip to [low, high]. NaN stays NaN.
INLINE V clip(V x, float low, float high) {
  // GCC makes two instructions of each comparison.
#if defined(__AVX512F__)
  constexpr __mmask16 ALL = 0xffff;  // of the forms without a mask, GCC 12 warns
  return V(_mm512_maskz_min_ps(ALL, __m512(all(high)),
                               _mm512_maskz_max_ps(ALL, __m512(all(low)), __m512(x))));
#elif defined(__AVX2__)
  return V(_mm256_min_ps(__m256(all(high)), _mm256_max_ps(__m256(all(low)), __m256(x))));
#else
  x = x < low ? all(low) : x;
  return x > high ? all(high) : x;
#endif
}

// tanh to a few units in the last place, by the rational approximation of Eigen and XLA.
// It is summed by halves: one long chain would leave the processor waiting.
INLINE V tanh(V x) {
  x = clip(x, -7.90531110763549805f, 7.90531110763549805f);
  V s = x * x, s2 = s * s, s4 = s2 * s2;
  V p0 = fma(s, all(6.37261928875436e-04f), all(4.89352455891786e-03f));
  V p1 = fma(s, all(5.12229709037114e-08f), all(1.48572235717979e-05f));
  V p2 = fma(s, all(2.00018790482477e-13f), all(-8.60467152213735e-11f));
  V q0 = fma(s, all(2.26843463243900e-03f), all(4.89352518554385e-03f));
  V q1 = fma(s, all(1.19825839466702e-06f), all(1.18534705686654e-04f));
  V p = fma(fma(s2, all(-2.76076847742355e-16f), p2), s4, fma(p1, s2, p0));
  return x * p / fma(q1, s2, q0);
}
INLINE V tanh_gradient(V y, V dy) { return dy * fma(-y, y, all(1)); }

enum Cell { SIMPLE, SIGMOID, HARD_SIGMOID };  // a simple RNN, and an LSTM with gates of that kind

template <int CELL>
INLINE V gate(V z) {
  if constexpr (CELL == SIGMOID) return fma(tanh(0.5f * z), all(0.5f), all(0.5f));
  return clip(fma(z, all(0.2f), all(0.5f)), 0, 1);
}
template <int CELL>
INLINE V gate_gradient(V y, V dy) {
  if constexpr (CELL == SIGMOID) return dy * (y * (1.0f - y));
  return ((y > 0) & (y < 1)) ? 0.2f * dy : V{};
}

// Products.

// Call body(size) with a size of 1 to MAX as a constant.
template <int MAX, class Body>
INLINE void with_constant(long size, Body body) {
  if (size == MAX) return body(std::integral_constant<int, MAX>{});
  if constexpr (MAX > 1) with_constant<MAX - 1>(size, body);
}

// Call body(start, size) for the fewest blocks of at most MAX, nearly equal; size is a constant.
template <int MAX, class Body>
INLINE void blocks(long total, Body body) {
  const long count = (total + MAX - 1) / MAX;
  for (long i = 0; i < count; ++i) {
    const long start = i * total / count, stop = (i + 1) * total / count;
    with_constant<MAX>(stop - start, [&](auto size) { body(start, size); });
  }
}

// Sums of products, in registers.
template <int M, int N>
struct Tile {
  V sum[M][N];

  INLINE void read(const float* from, long row) {
    UNROLL for (int m = 0; m < M; ++m) UNROLL for (int n = 0; n < N; ++n) sum[m][n] =
        load(from + m * row + n * W);
  }
  INLINE void write(float* to, long row) const {
    UNROLL for (int m = 0; m < M; ++m) UNROLL for (int n = 0; n < N; ++n)
        store(to + m * row + n * W, sum[m][n]);
  }
  // Add a b; a is [M, depth], b [depth, N vectors].
  INLINE void add(long depth, const float* a, long a_row, long a_column, const float* b,
                  long b_row) {
    for (long k = 0; k < depth; ++k, a += a_column, b += b_row) {
      V columns[N];
      UNROLL for (int n = 0; n < N; ++n) columns[n] = load(b + n * W);
      UNROLL for (int m = 0; m < M; ++m) {
        const V factor = all(a[m * a_row]);
        UNROLL for (int n = 0; n < N; ++n) sum[m][n] = fma(factor, columns[n], sum[m][n]);
      }
    }
  }
};

inline long vectors(long columns) { return (columns + W - 1) / W; }
inline long padded(long columns) { return ((columns + 15) / 16 | 1) * 16; }

// Pack a matrix of any strides as rows `first` to `first + rows` of panels [depth, columns].
void pack(float* panels, long depth, long first, long rows, long columns, const float* source,
          long row, long column) {
  blocks<MAX_N>(vectors(columns), [&](long v, auto n) {
    float* to = panels + v * W * depth + first * n * W;
    for (long k = 0; k < rows; ++k)
      for (long c = v * W; c < (v + n) * W; ++c)
        *to++ = c < columns ? source[k * row + c * column] : 0;
  });
}

struct Factor {  // of a product with panels: [rows, depth]
  const float* values;
  long row, depth;
};

// out = start + [factors, side by side] panels; start is a row as wide as the panels.
template <int COUNT>
void product(float* out, long out_row, long rows, long columns, const Factor (&factors)[COUNT],
             const float* panels, long panels_depth, const float* start) {
  blocks<MAX_N>(vectors(columns), [&](long v, auto n) {
    blocks<MAX_M>(rows, [&](long r, auto m) {
      Tile<m, n> tile;
      tile.read(start + v * W, 0);
      const float* panel = panels + v * W * panels_depth;
      for (const Factor& factor : factors) {
        tile.add(factor.depth, factor.values + r * factor.row, factor.row, 1, panel, n * W);
        panel += factor.depth * n * W;
      }
      tile.write(out + r * out_row + v * W, out_row);
    });
  });
}

// out [heights, columns] += a^T b, summed over `count` steps; a is [depth, heights], b [depth,
// columns]. If it is the `first` sum, out is taken for zeros.
void add_products(bool first, float* out, long out_row, long heights, long columns, long count,
                  long depth, const float* a, long a_row, long a_step, const float* b, long b_row,
                  long b_step) {
  blocks<MAX_N>(vectors(columns), [&](long v, auto n) {
    blocks<MAX_M>(heights, [&](long h, auto m) {
      Tile<m, n> tile{};
      if (!first) tile.read(out + h * out_row + v * W, out_row);
      for (long step = 0; step < count; ++step)
        tile.add(depth, a + step * a_step + h, 1, a_row, b + step * b_step + v * W, b_row);
      tile.write(out + h * out_row + v * W, out_row);
    });
  });
}

void copy_rows(float* to, long to_row, const float* from, long from_row, long rows, long columns) {
  for (long r = 0; r < rows; ++r)
    std::memcpy(to + r * to_row, from + r * from_row, columns * sizeof(float));
}

}  // namespace

#endif  // LSTM_MNIST_PRODUCTS_H_
