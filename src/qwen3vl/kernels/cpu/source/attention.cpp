// Decoding attention: the keys of all sequences are cut into parts of like length, so that one long sequence keeps all
// threads busy, and the parts are joined at the end.
#include <omp.h>

#include <algorithm>
#include <cmath>
#include <vector>

#include "calls.h"

namespace qwen3vl {

constexpr int LEAST_PART = 256;  // keys; shorter parts cost more to join than they win

void heads_to_cache(const Kernels& kernels, const Cache& cache, const HeadsToCache& call, int threads) {
    const int size = cache.head_size, width = (call.heads + 2 * cache.kv_heads) * size;
#pragma omp parallel for num_threads(threads) schedule(static) if (call.tokens > 1)
    for (int t = 0; t < call.tokens; ++t) {
        const float* from = call.qkv + size_t(width) * t;
        const float* cosines = call.cosines + size_t(size / 2) * t;
        const float* sines = call.sines + size_t(size / 2) * t;
        for (int h = 0; h < call.heads; ++h)
            kernels.turn_head(from + h * size, call.query_norm, call.eps, cosines, sines, size,
                              call.queries + (size_t(t) * call.heads + h) * size);
        float turned[MOST_HEAD];
        for (int h = 0; h < cache.kv_heads; ++h) {
            const float* key = from + (call.heads + h) * size;
            kernels.turn_head(key, call.key_norm, call.eps, cosines, sines, size, turned);
            kernels.store_head(cache, true, call.slots[t], h, turned);
            kernels.store_head(cache, false, call.slots[t], h, key + cache.kv_heads * size);
        }
    }
}

void attention(const Kernels& kernels, const Cache& cache, const Attention& call, int threads) {
    const int size = cache.head_size, shared = call.heads / cache.kv_heads;
    struct Part {
        int sequence, head, first, last;
    };
    int64_t keys = 0;
    for (int s = 0; s < call.sequences; ++s) keys += call.lengths[s] * cache.kv_heads;
    const int64_t wanted = std::max<int64_t>(keys / (4 * threads), LEAST_PART);
    std::vector<Part> parts;
    std::vector<int> first_part;  // of each (sequence, head)
    for (int s = 0; s < call.sequences; ++s) {
        const int length = int(call.lengths[s]);
        const int count = int(std::max<int64_t>(1, length / wanted));
        for (int h = 0; h < cache.kv_heads; ++h) {
            first_part.push_back(int(parts.size()));
            for (int i = 0; i < count; ++i)
                parts.push_back({s, h, int(int64_t(length) * i / count), int(int64_t(length) * (i + 1) / count)});
        }
    }
    first_part.push_back(int(parts.size()));
    const int units = int(first_part.size()) - 1;
    const size_t each = size_t(shared) * (size + 2);
    std::vector<float> results(each * parts.size());
#pragma omp parallel num_threads(threads)
    {
#pragma omp for schedule(dynamic)
        for (int p = 0; p < int(parts.size()); ++p) {
            const Part& part = parts[p];
            float* out = results.data() + each * p;
            float* maximum = out + shared * size;
            for (int q = 0; q < shared; q += MOST_SHARED) {
                const int head = part.head * shared + q;
                kernels.attend(cache, call.tables + size_t(call.stride) * part.sequence, part.head,
                               call.queries + (size_t(part.sequence) * call.heads + head) * size,
                               std::min(MOST_SHARED, shared - q), part.first, part.last, call.scale, out + q * size,
                               maximum + q, maximum + shared + q);
            }
        }
#pragma omp for schedule(static)
        for (int unit = 0; unit < units; ++unit) {
            const int first = first_part[unit], last = first_part[unit + 1];
            for (int q = 0; q < shared; ++q) {
                float most = -INFINITY, total = 0;
                for (int p = first; p < last; ++p) most = std::max(most, results[each * p + shared * size + q]);
                float* y = call.y + (size_t(parts[first].sequence) * call.heads + parts[first].head * shared + q) * size;
                std::fill(y, y + size, 0.0f);
                for (int p = first; p < last; ++p) {
                    const float* part = results.data() + each * p;
                    const float factor = std::exp(part[shared * size + q] - most);
                    total += part[shared * size + shared + q] * factor;
                    for (int c = 0; c < size; ++c) y[c] += part[q * size + c] * factor;
                }
                for (int c = 0; c < size; ++c) y[c] /= total;
            }
        }
    }
}

}  // namespace qwen3vl
