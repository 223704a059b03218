// The threads that run through the operations of one call side by side. Between two operations they wait for each other
// on their feet: a step has hundreds of them, and waking a thread takes longer than most.
#pragma once

#include <sched.h>

#include <algorithm>
#include <atomic>
#include <cstdint>
#include <vector>

namespace qwen3vl {

// What a thread and those that help it have taken of its part: units from the front in the low half, from the back in
// the high half.
struct alignas(64) Taken {
    std::atomic<uint64_t> units{0};
};

struct Meeting {
    explicit Meeting(int size) : taken(size) {}

    alignas(64) std::atomic<int> arrived{0};
    alignas(64) std::atomic<int> round{0};
    std::vector<Taken> taken;
};

class Team {
  public:
    Team(Meeting& meeting, int size, int index) : meeting_(meeting), size_(size), index_(index) {}

    // Returns when all threads have come here.
    void wait() const {
        const int round = meeting_.round.load(std::memory_order_relaxed);
        if (meeting_.arrived.fetch_add(1, std::memory_order_acq_rel) + 1 == size_) {
            meeting_.arrived.store(0, std::memory_order_relaxed);
            for (Taken& taken : meeting_.taken) taken.units.store(0, std::memory_order_relaxed);
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

    // Calls work(first, last) for parts of 0 .. units, multiples of `least`, until none is left. A thread goes through a
    // part of its own from front to back, so that what it reads is one stream; who has done that helps the others from
    // the back, so that all end at about the same time. One `share` between two `wait`s.
    template <typename Work>
    void share(int units, int least, const Work& work) const {
        const int pieces = (units + least - 1) / least;
        for (int i = 0; i < size_; ++i) {
            const int owner = (index_ + i) % size_;
            const int begin = int(int64_t(pieces) * owner / size_), end = int(int64_t(pieces) * (owner + 1) / size_);
            std::atomic<uint64_t>& taken = meeting_.taken[owner].units;
            uint64_t before = taken.load(std::memory_order_relaxed);
            for (;;) {
                const int front = begin + int(before & 0xffffffff), back = end - int(before >> 32);
                if (front >= back) break;
                const int some = size_ == 1 ? back - front : std::max(1, (back - front) / 4);
                const uint64_t after = before + (i ? uint64_t(some) << 32 : uint64_t(some));
                if (!taken.compare_exchange_weak(before, after, std::memory_order_relaxed)) continue;
                const int first = i ? back - some : front;
                work(first * least, std::min(units, (first + some) * least));
                before = taken.load(std::memory_order_relaxed);
            }
        }
    }

  private:
    static constexpr int PATIENCE = 300;  // pauses before others are let through, some 7 us

    Meeting& meeting_;
    int size_, index_;
};

}  // namespace qwen3vl
