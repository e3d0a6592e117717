// Threads that wait for work, and the memory that they work in.

#ifndef LSTM_MNIST_THREADS_H_
#define LSTM_MNIST_THREADS_H_

#include <atomic>
#include <chrono>
#include <condition_variable>
#include <cstdint>
#include <functional>
#include <mutex>
#include <thread>
#include <vector>

#if defined(__x86_64__)
#include <immintrin.h>
#endif

namespace {

// Makes underflow give 0, in every thread alike and as in TensorFlow's own: subnormal numbers are
// slow, and bits must not depend on the thread.
class FlushDenormals {
 public:
  FlushDenormals() { set(before_ | FLUSH); }
  ~FlushDenormals() { set(before_); }

 private:
#if defined(__x86_64__)
  static constexpr unsigned FLUSH = 0x8040;  // of results and of operands
  static unsigned get() { return _mm_getcsr(); }
  static void set(unsigned value) { _mm_setcsr(value); }
  const unsigned before_ = get();
#elif defined(__aarch64__)
  static constexpr uint64_t FLUSH = uint64_t{1} << 24;
  static uint64_t get() {
    uint64_t value;
    asm volatile("mrs %0, fpcr" : "=r"(value));
    return value;
  }
  static void set(uint64_t value) { asm volatile("msr fpcr, %0" : : "r"(value)); }
  const uint64_t before_ = get();
#else
  static constexpr int FLUSH = 0;
  static void set(int) {}
  const int before_ = 0;
#endif
};

// All threads of the process, and their memory; both are kept until it ends.
class Pool {
 public:
  std::mutex turn;  // held by whoever uses the pool

  // Call body(thread) for threads 0 to `threads` - 1, the caller being thread 0.
  void run(int threads, const std::function<void(int)>& body) {
    {
      const std::lock_guard<std::mutex> lock(mutex_);
      for (; workers_ < threads - 1; ++workers_)
        std::thread(&Pool::work, this, workers_ + 1, round_.load()).detach();
      body_ = &body;
      threads_ = threads;
      unfinished_ = workers_;
      ++round_;
    }
    begin_.notify_all();
    call(body, 0);
    wait(end_, [this] { return unfinished_ == 0; });
  }

  // Return the buffers `first` to `first + count` - 1, of at least `floats` floats each. They hold
  // what an earlier call left.
  std::vector<float*> buffers(long count, long floats, long first = 0) {
    constexpr uintptr_t LINE = 64;
    std::vector<float*> aligned;
    if (static_cast<long>(memory_.size()) < first + count) memory_.resize(first + count);
    for (long number = first; number < first + count; ++number) {
      std::vector<float>& buffer = memory_[number];
      const size_t size = floats + LINE / sizeof(float);
      if (buffer.size() < size) buffer = std::vector<float>(size);
      const auto address = reinterpret_cast<uintptr_t>(buffer.data());
      aligned.push_back(reinterpret_cast<float*>((address + LINE - 1) / LINE * LINE));
    }
    return aligned;
  }

 private:
  static void call(const std::function<void(int)>& body, int thread) {
    const FlushDenormals flush;
    body(thread);
  }

  void work(int thread, long round) {
    for (;; ++round) {
      wait(begin_, [&] { return round_ != round; });
      if (thread < threads_) call(*body_, thread);
      if (--unfinished_) continue;
      const std::lock_guard<std::mutex> lock(mutex_);  // or the caller could miss the notification
      end_.notify_one();
    }
  }

  // Spin at first: a sleeping thread wakes late, and a step is short.
  template <class Ready>
  void wait(std::condition_variable& news, Ready ready) {
    constexpr auto AWAKE = std::chrono::microseconds(200);
    const auto until = std::chrono::steady_clock::now() + AWAKE;
    while (std::chrono::steady_clock::now() < until) {
      if (ready()) return;
      std::this_thread::yield();
    }
    std::unique_lock<std::mutex> lock(mutex_);
    news.wait(lock, ready);
  }

  std::mutex mutex_;
  std::condition_variable begin_, end_;
  const std::function<void(int)>* body_ = nullptr;
  int workers_ = 0, threads_ = 0;
  std::atomic<int> unfinished_{0};
  std::atomic<long> round_{0};
  std::vector<std::vector<float>> memory_;
};

}  // namespace

#endif  // LSTM_MNIST_THREADS_H_
