#include "core/thread_pool.hpp"

#include <pthread.h>

#include <condition_variable>
#include <cstdint>
#include <exception>
#include <mutex>
#include <thread>
#include <vector>

namespace veclip {

namespace {

std::atomic<std::uint64_t> fork_generation{0};

// Counted by the child's fork handler rather than told by getpid(): process ids are reused.
std::uint64_t current_generation() {
  static const int registered =
      pthread_atfork(nullptr, nullptr, [] { fork_generation.fetch_add(1, std::memory_order_relaxed); });
  static_cast<void>(registered);
  return fork_generation.load(std::memory_order_relaxed);
}

struct Job {
  const ThreadPool::Work& work;
  const std::size_t n;
  std::atomic<std::size_t> next{0};
  std::atomic<bool> failed{false};

  void run(std::size_t worker) noexcept {
    for (std::size_t i = next.fetch_add(1); i < n; i = next.fetch_add(1)) {
      try {
        work(i, worker);
      } catch (...) {
        failed = true;
      }
    }
  }
};

}  // namespace

struct ThreadPool::Crew {
  explicit Crew(std::uint64_t born) : generation(born) {}

  const std::uint64_t generation;
  std::mutex one_caller;
  std::mutex mutex;  // guards all below
  std::condition_variable wake;
  std::condition_variable idle;
  Job* job = nullptr;
  std::uint64_t job_number = 0;
  std::size_t busy = 0;
  bool stop = false;
  std::vector<std::thread> helpers;

  // Fewer helpers than asked for is no failure: the caller works too.
  void start(std::size_t count) {
    try {
      helpers.reserve(count);
      while (helpers.size() < count) {
        const std::size_t worker = helpers.size() + 1;
        helpers.emplace_back([this, worker] { serve(worker); });
      }
    } catch (const std::exception&) {
    }
  }

  void serve(std::size_t worker) {
    std::uint64_t seen = 0;
    std::unique_lock lock(mutex);
    while (true) {
      wake.wait(lock, [&] { return stop || (job != nullptr && job_number != seen); });
      if (stop) return;
      seen = job_number;
      Job* const mine = job;
      ++busy;
      lock.unlock();
      mine->run(worker);
      lock.lock();
      if (--busy == 0) idle.notify_one();
    }
  }

  void run(Job& todo) {
    {
      const std::lock_guard lock(mutex);
      job = &todo;
      ++job_number;
    }
    wake.notify_all();
    todo.run(0);
    std::unique_lock lock(mutex);
    job = nullptr;  // a helper that wakes only now must not touch the finished job
    idle.wait(lock, [&] { return busy == 0; });
  }

  void dismiss() {
    {
      const std::lock_guard lock(mutex);
      stop = true;
    }
    wake.notify_all();
    for (std::thread& helper : helpers) helper.join();
  }
};

// A crew from before a fork is leaked: its threads do not exist here and its mutexes may be locked for ever.
ThreadPool::Crew& ThreadPool::crew() {
  const std::uint64_t now = current_generation();
  Crew* known = crew_.load();
  if (known != nullptr && known->generation == now) return *known;
  Crew* fresh = new Crew(now);
  if (!crew_.compare_exchange_strong(known, fresh)) {
    delete fresh;
    return *known;
  }
  const std::lock_guard lock(fresh->one_caller);
  fresh->start(threads_ - 1);
  return *fresh;
}

Status ThreadPool::for_each(std::size_t n, const Work& work) {
  Job job{.work = work, .n = n};
  if (threads_ == 1 || n < 2) {
    job.run(0);
  } else {
    Crew& mine = crew();
    const std::lock_guard lock(mine.one_caller);
    mine.run(job);
  }
  return job.failed ? Status::kOutOfMemory : Status::kOk;
}

ThreadPool::~ThreadPool() {
  Crew* const last = crew_.load();
  if (last == nullptr || last->generation != current_generation()) return;
  last->dismiss();
  delete last;
}

}  // namespace veclip
