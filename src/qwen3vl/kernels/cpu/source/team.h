// The threads that run through the operations of one call side by side. Between two operations they wait for each other
// on their feet: a step has hundreds of them, and waking a thread takes longer than most.
#pragma once

#include <sched.h>

#include <algorithm>
#include <atomic>

namespace qwen3vl {

struct Meeting {
    alignas(64) std::atomic<int> arrived{0};
    alignas(64) std::atomic<int> round{0};
    alignas(64) std::atomic<int> taken{0};
};

class Team {
  public:
    Team(Meeting& meeting, int size) : meeting_(meeting), size_(size) {}

    int size() const { return size_; }

    // Returns when all threads have come here.
    void wait() const {
        const int round = meeting_.round.load(std::memory_order_relaxed);
        if (meeting_.arrived.fetch_add(1, std::memory_order_acq_rel) + 1 == size_) {
            meeting_.arrived.store(0, std::memory_order_relaxed);
            meeting_.taken.store(0, std::memory_order_relaxed);
            meeting_.round.store(round + 1, std::memory_order_release);
            return;
        }
        for (int spins = 0; meeting_.round.load(std::memory_order_acquire) == round; ++spins) {
            if (spins < PATIENCE)
                __builtin_ia32_pause();
            else
                sched_yield();  // something else runs on a core: it may be what keeps the others
        }
    }

    // Calls work(first, last) for parts of 0 .. units, multiples of `least`, until none is left: who is free takes the
    // next, and they grow smaller, so that all end at about the same time. One `share` between two `wait`s.
    template <typename Work>
    void share(int units, int least, const Work& work) const {
        int first = meeting_.taken.load(std::memory_order_relaxed);
        while (first < units) {
            const int part = size_ == 1 ? units : (units - first) / (2 * size_) / least * least;
            const int last = std::min(units, first + std::max(part, least));
            if (!meeting_.taken.compare_exchange_weak(first, last, std::memory_order_relaxed)) continue;
            work(first, last);
            first = meeting_.taken.load(std::memory_order_relaxed);
        }
    }

  private:
    static constexpr int PATIENCE = 300;  // pauses before others are let through, some 7 us

    Meeting& meeting_;
    int size_;
};

}  // namespace qwen3vl
