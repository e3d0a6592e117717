// Runs the kernel over sizes that are no multiple of anything, in memory of exactly their size.
//
// Built with sanitizers, it ends at the first access beyond an array. Its output, a digest of all
// results, is the same for every number of threads, compiler and processor with fused sums.

#include <cstdio>
#include <cstdlib>
#include <cstring>

#include "../../lstm_mnist/recurrence/kernel.h"

namespace {

using Array = std::vector<float>;

// Numbers in [-1, 1) of a generator that is the same everywhere.
Array numbers(long count) {
  static uint32_t state = 1;
  Array array(count);
  for (float& number : array) {
    state = state * 1664525 + 1013904223;
    number = static_cast<float>(state >> 8) / (1 << 23) - 1;
  }
  return array;
}

uint64_t digest = 14695981039346656037u;  // FNV-1a
void add(const Array& array) {
  for (const float& number : array) {
    uint32_t bits;
    std::memcpy(&bits, &number, sizeof bits);
    for (int byte = 0; byte < 4; ++byte)
      digest = (digest ^ (bits >> 8 * byte & 255)) * 1099511628211u;
  }
}

// Return an array's values, or nothing if it has none.
float* values(Array& array) { return array.empty() ? nullptr : array.data(); }

template <int CELL>
void run(long batch, long units, long features, bool given, bool sequences, int threads) {
  static Pool& pool = *new Pool;  // its threads outlive static objects
  const Sizes s{batch, 3, features, units, CELL == SIMPLE ? 1 : 4};
  const long columns = s.columns(), states = batch * units, cells = CELL == SIMPLE ? 0 : states;
  const long steps = sequences ? batch * s.steps * units : 0, inputs = batch * s.steps * features;
  Array x = numbers(inputs), kernel = numbers(features * columns), bias = numbers(columns);
  Array recurrent = numbers(units * columns);
  for (float& weight : recurrent) weight /= units;
  Array first_h = numbers(given ? states : 0), first_c = numbers(given ? cells : 0);
  Array sequence(steps), h(states), c(cells), records(batch * s.record());
  const Weights weights{kernel.data(), recurrent.data(), bias.data()};
  const ConstStates first{values(first_h), values(first_c)};
  for (float* recorded : {static_cast<float*>(nullptr), records.data()}) {
    forward<CELL>(s, pool, threads, x.data(), weights, first, {h.data(), values(c)},
                  values(sequence), recorded);
    for (const Array* array : {&sequence, &h, &c}) add(*array);
  }
  Array d_sequence = numbers(steps), d_h = numbers(states), d_c = numbers(cells);
  Array d_kernel(kernel.size()), d_recurrent(recurrent.size()), d_bias(columns);
  Array d_first_h(first_h.size()), d_first_c(first_c.size()), d_x(given ? inputs : 0);
  backward<CELL>(s, pool, threads, x.data(), weights, records.data(), values(d_sequence),
                 {d_h.data(), values(d_c)},
                 {d_kernel.data(), d_recurrent.data(), d_bias.data(), values(d_x)},
                 {values(d_first_h), values(d_first_c)});
  for (const Array* array : {&d_kernel, &d_recurrent, &d_bias, &d_x, &d_first_h, &d_first_c})
    add(*array);
}

}  // namespace

int main(int, char** arguments) {
  const int threads = arguments[1] ? std::atoi(arguments[1]) : 1;
  for (long units : {1, 7, 100, 129})
    for (long batch : {1, 3, 100, 1001})
      for (long features : {1, 28})
        for (bool given : {false, true})
          for (bool sequences : {false, true}) {
            run<SIMPLE>(batch, units, features, given, sequences, threads);
            run<SIGMOID>(batch, units, features, given, sequences, threads);
            run<HARD_SIGMOID>(batch, units, features, given, sequences, threads);
          }
  std::printf("%016llx\n", static_cast<unsigned long long>(digest));
}
