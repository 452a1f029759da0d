// A fixed number of threads that work through the indices of one batch at a time.
#pragma once

#include <atomic>
#include <cstddef>
#include <functional>

#include "core/status.hpp"

namespace veclip {

// The thread that calls for_each works too, as worker 0, so a pool of one starts no threads. Threads start on first
// use. A fork leaves the child without them: the pool notices and starts its own there.
class ThreadPool {
 public:
  using Work = std::function<void(std::size_t index, std::size_t worker)>;

  explicit ThreadPool(std::size_t threads) noexcept : threads_(threads < 1 ? 1 : threads) {}
  ~ThreadPool();
  ThreadPool(const ThreadPool&) = delete;
  ThreadPool& operator=(const ThreadPool&) = delete;

  std::size_t threads() const noexcept { return threads_; }

  // Calls work(index, worker) once for every index < n, worker < threads(); returns when all are done. Callers that
  // come at the same time wait for one another; work must not call for_each itself. If any call throws, the others
  // still run and the result is kOutOfMemory (the one thing our work may throw for).
  Status for_each(std::size_t n, const Work& work);

 private:
  struct Crew;
  Crew& crew();

  const std::size_t threads_;
  std::atomic<Crew*> crew_{nullptr};
};

}  // namespace veclip
