// The plain C interface that Python loads.
//
// The threads are those of the OpenMP runtime that the process already has (torch's), so that two pools never compete
// for the cores.
#include <omp.h>

#include <new>

#include "calls.h"

using namespace qwen3vl;

namespace qwen3vl {

const Kernels* kernels_of(int level) {
#if defined(__x86_64__)
    const bool avx512 = __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") &&
                        __builtin_cpu_supports("avx512vl") && __builtin_cpu_supports("avx512dq") &&
                        __builtin_cpu_supports("avx512vnni");
    if (level == AMX && avx512) return amx_kernels();
    if (level == AVX512 && avx512) return avx512_kernels();
    if (level == AVX2 && __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma") &&
        __builtin_cpu_supports("f16c"))
        return avx2_kernels();
#endif
    return nullptr;
}

namespace {

template <typename Do>
void with_call(const Operation& operation, const Do& act) {
    switch (operation.kind) {
        case LINEAR: return act(*static_cast<const Linear*>(operation.call));
        case ROUTE: return act(*static_cast<const Route*>(operation.call));
        case EXPERTS: return act(*static_cast<const Experts*>(operation.call));
        case HEADS_TO_CACHE: return act(*static_cast<const HeadsToCache*>(operation.call));
        case ATTENTION: return act(*static_cast<const Attention*>(operation.call));
        case MANY_ATTENTION: return act(*static_cast<const ManyAttention*>(operation.call));
        case HEAD: return act(*static_cast<const Head*>(operation.call));
        case PICTURE_ATTENTION: return act(*static_cast<const PictureAttention*>(operation.call));
        case LOOKUP: return act(*static_cast<const Lookup*>(operation.call));
    }
}

}  // namespace
}  // namespace qwen3vl

#pragma GCC visibility push(default)
extern "C" {

// The best level that this processor has.
int qwen3vl_best_level() {
    for (int level = AMX; level > NONE; --level)
        if (kernels_of(level)) return level;
    return NONE;
}

// Whether a level has products of bfloat16 here.
int qwen3vl_multiplies_bfloat16(int level) {
    const Kernels* kernels = kernels_of(level);
    return kernels && kernels->attend_picture;
}

// Runs operations one after the other. Returns 0, 1 where the processor lacks the level, or 2 where memory runs out.
int qwen3vl_run(int level, int threads, const Operation* operations, int count) {
    const Kernels* kernels = kernels_of(level);
    if (!kernels) return 1;
    thread_local Scratch kept;
    Scratch& scratch = kept;  // the calling thread's, for all of them
    try {
        for (int i = 0; i < count; ++i)
            with_call(operations[i], [&](const auto& call) { reserve(*kernels, call, scratch); });
    } catch (const std::bad_alloc&) {
        return 2;
    }
    Meeting meeting(threads);
#pragma omp parallel num_threads(threads)
    {
        const Team team(meeting, omp_get_num_threads(), omp_get_thread_num());
        for (int i = 0; i < count; ++i) {
            with_call(operations[i], [&](const auto& call) { run(*kernels, call, scratch, team); });
            team.wait();
        }
    }
    return 0;
}

int qwen3vl_choose(int level, int threads, const Choice* choice) {
    const Kernels* kernels = kernels_of(level);
    if (!kernels) return 1;
    const Choice& call = *choice;
    const int groups = call.columns / call.group;
#pragma omp parallel for num_threads(threads) schedule(static)
    for (int row = 0; row < call.rows; ++row)
        for (int g = 0; g < groups; ++g) {
            const size_t start = size_t(row) * call.columns + size_t(g) * call.group;
            call.scales[size_t(row) * groups + g] =
                kernels->choose_group(call, call.x + start, call.codes + start);
        }
    return 0;
}

}
#pragma GCC visibility pop
