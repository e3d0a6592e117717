// An LSTM's and a simple RNN's forward and backward pass on CPUs.
//
// One step of a few rows of the batch; a simple RNN has one gate, h = tanh(z), and no c:
//
//     z = bias + x_t kernel + h recurrent       [rows, 4 units]: gates i, f, n, o side by side
//     c = f c + i n,   h = o tanh(c)
//
// * The batch is cut into chunks. A chunk goes through all steps on one thread, and all but its
//   records stays in that core's caches.
// * Weights are packed once per call and thread into panels, laid out in memory in the order in
//   which products read them. A panel stays in the L1 cache for all rows of a chunk.
//
//     panels               one after the other, each [depth][up to MAX_N vectors]
//     row of z, dz, gates  | i | f | n | o | padding |   z_row floats
//     row of h, of c       | h | padding |               h_row floats
//     record of a chunk    | h 0 | h 1 | ... | h steps | c 0 | ... | c steps | gates 0 | ... |
//
//   Each box of a record is [rows][row]. Time 0 is the first state, gates t lead to time t + 1.
//
// * Rows are padded to an odd number of 64-byte lines. With an even one, as of 128 units, a panel
//   of dz would fall into few of the cache's sets.
// * Each element is one chain of operations in a fixed order, and partial gradients are summed in
//   slices that depend on the batch alone. So results do not depend on the number of threads, nor
//   on the width of the vectors where there is a fused multiply-add.

#ifndef LSTM_MNIST_KERNEL_H_
#define LSTM_MNIST_KERNEL_H_

#include <algorithm>
#include <atomic>
#include <vector>

#include "products.h"
#include "threads.h"

namespace {

// One chunk's step.

struct Sizes {
  long batch, steps, features, units, gates;

  long columns() const { return gates * units; }
  long h_row() const { return padded(units); }
  long z_row() const { return padded(columns() + 15); }  // a vector may begin in the last column
  long states() const { return gates > 1 ? 2 : 1; }
  // Floats recorded for one row of the batch.
  long record() const {
    return states() * (steps + 1) * h_row() + (gates > 1 ? steps * z_row() : 0);
  }
};

constexpr long MAX_ROWS = 25, FEW_ROWS = 8, FEW_CHUNKS = 4;

// Return the number of a batch's chunks: enough for a few threads, and small enough for caches.
inline long chunks(long batch) {
  const auto of_rows = [&](long rows) { return (batch + rows - 1) / rows; };
  return std::max(of_rows(MAX_ROWS), std::min(FEW_CHUNKS, of_rows(FEW_ROWS)));
}

struct Chunk {  // some rows of the batch
  const Sizes& sizes;
  const long start, rows;
  const bool recorded;  // else only two times are kept, alternately, and no gates
  float* const memory;

  // A chunk lies in the batch's records if there are any, else in a thread's memory.
  Chunk(const Sizes& sizes, long number, float* memory, float* records)
      : sizes(sizes),
        start(number * sizes.batch / chunks(sizes.batch)),
        rows((number + 1) * sizes.batch / chunks(sizes.batch) - start),
        recorded(records),
        memory(records ? records + start * sizes.record() : memory) {}
  long time(long t) const { return (recorded ? t : t % 2) * rows * sizes.h_row(); }
  long times() const { return (recorded ? sizes.steps + 1 : 2) * rows * sizes.h_row(); }
  float* h(long t) const { return memory + time(t); }
  float* c(long t) const { return memory + times() + time(t); }
  float* gates(long t) const { return memory + 2 * times() + t * rows * sizes.z_row(); }
};

// Call body(u) for every vector of a row of units, the last one first: what it writes beyond its
// gate's last unit is then overwritten by the next gate's first units.
template <class Body>
INLINE void each_vector(long units, Body body) {
  for (long u = (vectors(units) - 1) * W; u >= 0; u -= W) body(u);
}

// Compute the states of time t + 1 from z [rows, columns] and the states of time t.
template <int CELL>
void activate(const Chunk& chunk, long t, const float* z) {
  const long units = chunk.sizes.units, h_row = chunk.sizes.h_row(), z_row = chunk.sizes.z_row();
  for (long r = 0; r < chunk.rows; ++r, z += z_row) {
    float* h = chunk.h(t + 1) + r * h_row;
    if constexpr (CELL == SIMPLE) {
      each_vector(units, [&](long u) { store(h + u, tanh(load(z + u))); });
    } else {
      const float* c_before = chunk.c(t) + r * h_row;
      float* c_after = chunk.c(t + 1) + r * h_row;
      float* gates = chunk.recorded ? chunk.gates(t) + r * z_row : nullptr;
      each_vector(units, [&](long u) {
        const V i = gate<CELL>(load(z + u)), f = gate<CELL>(load(z + units + u));
        const V n = tanh(load(z + 2 * units + u)), o = gate<CELL>(load(z + 3 * units + u));
        const V c = fma(f, load(c_before + u), i * n);
        store(c_after + u, c);
        store(h + u, o * tanh(c));
        if (gates) {
          store(gates + u, i);
          store(gates + units + u, f);
          store(gates + 2 * units + u, n);
          store(gates + 3 * units + u, o);
        }
      });
    }
  }
}

// Compute dz [rows, columns], and dc of time t, from dh and dc [rows, units] of time t + 1.
template <int CELL>
void deactivate(const Chunk& chunk, long t, const float* dh, float* dc, float* dz) {
  const long units = chunk.sizes.units, h_row = chunk.sizes.h_row(), z_row = chunk.sizes.z_row();
  for (long r = 0; r < chunk.rows; ++r, dh += h_row, dc += h_row, dz += z_row) {
    if constexpr (CELL == SIMPLE) {
      const float* h = chunk.h(t + 1) + r * h_row;
      each_vector(units, [&](long u) { store(dz + u, tanh_gradient(load(h + u), load(dh + u))); });
    } else {
      const float *c_before = chunk.c(t) + r * h_row, *c_after = chunk.c(t + 1) + r * h_row;
      const float* gates = chunk.gates(t) + r * z_row;
      each_vector(units, [&](long u) {
        const V i = load(gates + u), f = load(gates + units + u);
        const V n = load(gates + 2 * units + u), o = load(gates + 3 * units + u);
        const V y = tanh(load(c_after + u)), d_h = load(dh + u);  // recomputed: cheaper than stored
        const V d_c = load(dc + u) + tanh_gradient(y, d_h * o);
        store(dz + u, gate_gradient<CELL>(i, d_c * n));
        store(dz + units + u, gate_gradient<CELL>(f, d_c * load(c_before + u)));
        store(dz + 2 * units + u, tanh_gradient(n, d_c * i));
        store(dz + 3 * units + u, gate_gradient<CELL>(o, d_h * y));
        store(dc + u, d_c * f);
      });
    }
  }
}

// The passes. Arrays have no padding.

struct Weights {
  const float *kernel, *recurrent, *bias;  // [features, columns], [units, columns], [columns]
};
struct States {  // [batch, units], c for an LSTM; null: zeros, or not asked for
  float *h, *c;
};
struct ConstStates {
  const float *h, *c;
};

void read_state(float* to, long to_row, const float* from, long rows, long units) {
  if (from) return copy_rows(to, to_row, from, units, rows, units);
  std::fill_n(to, rows * to_row, 0.0f);
}

// Run all steps. sequence [batch, steps, units], the outputs of every step, and records may be
// null.
template <int CELL>
void forward(const Sizes& s, Pool& pool, int threads, const float* x, const Weights& weights,
             const ConstStates& first, const States& last, float* sequence, float* records) {
  const long units = s.units, columns = s.columns(), width = vectors(columns) * W;
  const long h_row = s.h_row(), z_row = s.z_row(), x_row = s.steps * s.features;
  const long depth = s.features + units;
  const std::vector<float*> buffers =
      pool.buffers(threads, (depth + 1) * width + MAX_ROWS * (z_row + 2 * s.states() * h_row));
  std::atomic<long> next{0};
  pool.run(threads, [&](int thread) {
    float *panels = buffers[thread], *bias = panels + depth * width, *z = bias + width;
    pack(panels, depth, 0, s.features, columns, weights.kernel, columns, 1);
    pack(panels, depth, s.features, units, columns, weights.recurrent, columns, 1);
    pack(bias, 1, 0, 1, columns, weights.bias, 0, 1);
    for (long number; (number = next++) < chunks(s.batch);) {
      const Chunk chunk(s, number, z + MAX_ROWS * z_row, records);
      const long rows = chunk.rows, states = chunk.start * units;
      read_state(chunk.h(0), h_row, first.h ? first.h + states : nullptr, rows, units);
      if (CELL != SIMPLE)
        read_state(chunk.c(0), h_row, first.c ? first.c + states : nullptr, rows, units);
      for (long t = 0; t < s.steps; ++t) {
        const Factor x_t{x + chunk.start * x_row + t * s.features, x_row, s.features};
        const Factor h{chunk.h(t), h_row, t || first.h ? units : 0};
        product<2>(z, z_row, rows, columns, {x_t, h}, panels, depth, bias);
        activate<CELL>(chunk, t, z);
        if (sequence)
          copy_rows(sequence + (chunk.start * s.steps + t) * units, s.steps * units, chunk.h(t + 1),
                    h_row, rows, units);
      }
      copy_rows(last.h + states, units, chunk.h(s.steps), h_row, rows, units);
      if (CELL != SIMPLE) copy_rows(last.c + states, units, chunk.c(s.steps), h_row, rows, units);
    }
  });
}

struct Gradients {
  float *kernel, *recurrent, *bias, *x;  // x: [batch, steps, features], or null
};

constexpr long MAX_SLICES = 8, STEPS_A_PRODUCT = 4;

// Go back through all steps: compute the gradients of what `forward` took from d_sequence, which
// may be null, and the gradients of the last states.
template <int CELL>
void backward(const Sizes& s, Pool& pool, int threads, const float* x, const Weights& weights,
              float* records, const float* d_sequence, const ConstStates& d_last,
              const Gradients& d, const States& d_first) {
  const long columns = s.columns(), units = s.units, features = s.features;
  const long h_row = s.h_row(), z_row = s.z_row(), x_row = s.steps * features;
  const long width = vectors(columns) * W, heights = features + units + 1;
  const long h_width = vectors(units) * W, x_width = vectors(features) * W;
  const long count = chunks(s.batch), slices = std::min(count, MAX_SLICES);
  const std::vector<float*> buffers =
      pool.buffers(threads, (columns + 1) * (h_width + x_width) +
                                MAX_ROWS * (2 * h_row + STEPS_A_PRODUCT * z_row + x_width));
  const std::vector<float*> sums = pool.buffers(slices, heights * width, threads);
  std::atomic<long> next{0};
  pool.run(threads, [&](int thread) {
    float *recurrent = buffers[thread], *kernel = recurrent + columns * h_width;
    float *zeros = kernel + columns * x_width, *dh = zeros + h_width + x_width;
    float *dc = dh + MAX_ROWS * h_row, *dx = dc + MAX_ROWS * h_row, *dz = dx + MAX_ROWS * x_width;
    std::fill_n(zeros, h_width + x_width, 0.0f);
    pack(recurrent, columns, 0, columns, units, weights.recurrent, 1, columns);
    if (d.x) pack(kernel, columns, 0, columns, features, weights.kernel, 1, columns);
    for (long slice; (slice = next++) < slices;) {
      float* sum = sums[slice];
      const long begin = slice * count / slices;
      for (long number = begin; number < (slice + 1) * count / slices; ++number) {
        const Chunk chunk(s, number, nullptr, records);
        const long rows = chunk.rows, start = chunk.start, states = start * units;
        read_state(dh, h_row, d_last.h + states, rows, units);
        if (CELL != SIMPLE) read_state(dc, h_row, d_last.c + states, rows, units);
        for (long t = s.steps - 1; t >= 0; --t) {
          if (d_sequence)
            for (long r = 0; r < rows; ++r)
              for (long u = 0; u < units; ++u)
                dh[r * h_row + u] += d_sequence[((start + r) * s.steps + t) * units + u];
          float* dz_t = dz + t % STEPS_A_PRODUCT * rows * z_row;
          deactivate<CELL>(chunk, t, dh, dc, dz_t);
          const Factor factor{dz_t, z_row, columns};
          if (t || d_first.h)
            product<1>(dh, h_row, rows, units, {factor}, recurrent, columns, zeros);
          if (d.x) {
            product<1>(dx, x_width, rows, features, {factor}, kernel, columns, zeros);
            copy_rows(d.x + start * x_row + t * features, x_row, dx, x_width, rows, features);
          }
          if (t % STEPS_A_PRODUCT) continue;
          const long steps = std::min(STEPS_A_PRODUCT, s.steps - t), dz_step = rows * z_row;
          const long skipped = t || d_first.h ? 0 : 1;  // a first state of zeros adds nothing
          const bool first_sum = number == begin && t + steps == s.steps;
          const float one = 1;
          add_products(first_sum, sum, width, features, columns, steps, rows,
                       x + start * x_row + t * features, x_row, features, dz, z_row, dz_step);
          add_products(first_sum, sum + features * width, width, units, columns, steps - skipped,
                       rows, chunk.h(t + skipped), h_row, rows * h_row, dz + skipped * dz_step,
                       z_row, dz_step);
          add_products(first_sum, sum + (heights - 1) * width, width, 1, columns, steps, rows, &one,
                       0, 0, dz, z_row, dz_step);
        }
        if (!d_first.h) continue;
        copy_rows(d_first.h + states, units, dh, h_row, rows, units);
        if (CELL != SIMPLE) copy_rows(d_first.c + states, units, dc, h_row, rows, units);
      }
    }
  });
  next = 0;
  pool.run(threads, [&](int) {
    for (long row; (row = next++) < heights;) {
      float* to = row < features           ? d.kernel + row * columns
                  : row < features + units ? d.recurrent + (row - features) * columns
                                           : d.bias;
      std::fill_n(to, columns, 0.0f);
      for (const float* sum : sums)
        for (long column = 0; column < columns; ++column) to[column] += sum[row * width + column];
    }
  });
}

}  // namespace

#endif  // LSTM_MNIST_KERNEL_H_
