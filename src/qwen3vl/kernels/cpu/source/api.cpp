// The plain C interface that Python loads.
#include "calls.h"

using namespace qwen3vl;

namespace qwen3vl {

const Kernels* kernels_of(int level) {
#if defined(__x86_64__)
    if (level == AVX512 && __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") &&
        __builtin_cpu_supports("avx512vl") && __builtin_cpu_supports("avx512dq") &&
        __builtin_cpu_supports("avx512vnni"))
        return avx512_kernels();
    if (level == AVX2 && __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma") &&
        __builtin_cpu_supports("f16c"))
        return avx2_kernels();
#endif
    return nullptr;
}

}  // namespace qwen3vl

#pragma GCC visibility push(default)
extern "C" {

// The best level that this processor has.
int qwen3vl_best_level() {
    for (int level = AVX512; level > NONE; --level)
        if (kernels_of(level)) return level;
    return NONE;
}

// Each returns 0, or 1 where the processor lacks the level.
int qwen3vl_linear(int level, int threads, const Matrix* matrix, const Linear* call) {
    const Kernels* kernels = kernels_of(level);
    if (!kernels) return 1;
    linear(*kernels, *matrix, *call, threads);
    return 0;
}

int qwen3vl_experts(int level, int threads, const Matrix* gate_up, const Matrix* down, const Experts* call) {
    const Kernels* kernels = kernels_of(level);
    if (!kernels) return 1;
    experts(*kernels, *gate_up, *down, *call, threads);
    return 0;
}

int qwen3vl_heads_to_cache(int level, int threads, const Cache* cache, const HeadsToCache* call) {
    const Kernels* kernels = kernels_of(level);
    if (!kernels) return 1;
    heads_to_cache(*kernels, *cache, *call, threads);
    return 0;
}

int qwen3vl_attention(int level, int threads, const Cache* cache, const Attention* call) {
    const Kernels* kernels = kernels_of(level);
    if (!kernels) return 1;
    attention(*kernels, *cache, *call, threads);
    return 0;
}

int qwen3vl_choose(int level, int threads, const Choice* call) {
    const Kernels* kernels = kernels_of(level);
    if (!kernels) return 1;
    choose(*kernels, *call, threads);
    return 0;
}

}
#pragma GCC visibility pop
