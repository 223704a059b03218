// Decoding attention: the keys of all sequences are cut into parts of like length, so that one long sequence keeps all
// threads busy, and the parts are joined at the end. Heads of the same tokens, which lie together, follow each other.
#include <algorithm>
#include <cmath>
#include <vector>

#include "calls.h"

namespace qwen3vl {
namespace {

constexpr int PART = 512;  // keys, and up to as many more; shorter parts cost more to join and to begin than they win

int64_t parts_of(int64_t length) { return std::max<int64_t>(1, length / PART); }

struct Part {
    int sequence, head, first, last;
};

// Parts of a sequence lie together, [its parts, kv heads].
struct Parts {
    std::vector<Part> all;
    std::vector<int> starts;  // the first of each sequence

    void cut(const Attention& call) {
        all.clear(), starts.clear();
        for (int s = 0; s < call.sequences; ++s) {
            starts.push_back(int(all.size()));
            const int64_t length = call.lengths[s], count = parts_of(length);
            for (int64_t i = 0; i < count; ++i)
                for (int h = 0; h < call.cache.kv_heads; ++h)
                    all.push_back({s, h, int(length * i / count), int(length * (i + 1) / count)});
        }
        starts.push_back(int(all.size()));
    }
};

Stretch keys_of(const Attention& call, const Part& part) {
    return {call.tables + size_t(call.stride) * part.sequence, part.head, part.first, part.last};
}

// What a part finds for each query of its head: sums of values [shared, size], then maxima and sums of exponentials.
size_t part_floats(const Attention& call) {
    return size_t(call.heads / call.cache.kv_heads) * (call.cache.head_size + 2);
}

// Joins `count` parts of one key head, of which `results` has the first and every `stride` the next, to the output of its
// queries.
void join(const Attention& call, const Part& part, const float* results, int count, size_t stride) {
    const int size = call.cache.head_size, shared = call.heads / call.cache.kv_heads;
    for (int q = 0; q < shared; ++q) {
        float most = -INFINITY, total = 0;
        for (int p = 0; p < count; ++p) most = std::max(most, results[stride * p + shared * size + q]);
        float* y = call.y + (size_t(part.sequence) * call.heads + part.head * shared + q) * size;
        std::fill(y, y + size, 0.0f);
        for (int p = 0; p < count; ++p) {
            const float* from = results + stride * p;
            const float factor = std::exp(from[shared * size + q] - most);
            total += from[shared * size + shared + q] * factor;
            for (int c = 0; c < size; ++c) y[c] += from[q * size + c] * factor;
        }
        for (int c = 0; c < size; ++c) y[c] /= total;
    }
}

}  // namespace

void reserve(const Kernels&, const HeadsToCache&, Scratch&) {}

void run(const Kernels& kernels, const HeadsToCache& call, Scratch&, const Team& team) {
    const Cache& cache = call.cache;
    const int size = cache.head_size, heads = call.heads + cache.kv_heads;
    const size_t width = size_t(heads + cache.kv_heads) * size;
    team.share(call.tokens * heads, 1, [&](int first, int last) {
        for (int unit = first; unit < last; ++unit) {
            const int t = unit / heads, h = unit % heads;
            const float* from = call.qkv + width * t + size_t(h) * size;
            const float* cosines = call.cosines + size_t(size / 2) * t;
            const float* sines = call.sines + size_t(size / 2) * t;
            if (h < call.heads) {
                kernels.turn_head(from, call.query_norm, call.eps, cosines, sines, size,
                                  call.queries + (size_t(t) * call.heads + h) * size);
                continue;
            }
            float turned[MOST_HEAD];
            kernels.turn_head(from, call.key_norm, call.eps, cosines, sines, size, turned);
            kernels.store_head(cache, true, call.slots[t], h - call.heads, turned);
            kernels.store_head(cache, false, call.slots[t], h - call.heads, from + cache.kv_heads * size);
        }
    });
}

void reserve(const Kernels&, const Attention& call, Scratch& scratch) {
    int64_t parts = 0;
    for (int s = 0; s < call.sequences; ++s) parts += parts_of(call.lengths[s]);
    grown(scratch.rows, size_t(parts * call.cache.kv_heads) * part_floats(call));
}

void run(const Kernels& kernels, const Attention& call, Scratch& scratch, const Team& team) {
    thread_local Parts parts;
    parts.cut(call);  // each thread for itself, as in `experts`
    const int size = call.cache.head_size, kv_heads = call.cache.kv_heads, shared = call.heads / kv_heads;
    const int units = call.sequences * kv_heads, count = int(parts.all.size());
    const size_t each = part_floats(call);
    float* results = scratch.rows.data();
    team.share(count, 1, [&](int first, int last) {
        for (int p = first; p < last; ++p) {
            const Part& part = parts.all[p];
            const Stretch keys = keys_of(call, part), after = keys_of(call, parts.all[std::min(p + 1, count - 1)]);
            float* out = results + each * p;
            float* maximum = out + shared * size;
            for (int q = 0; q < shared; q += MOST_SHARED) {
                const int head = part.head * shared + q;
                kernels.attend(call.cache, keys, after,
                               call.queries + (size_t(part.sequence) * call.heads + head) * size,
                               std::min(MOST_SHARED, shared - q), call.scale, out + q * size, maximum + q,
                               maximum + shared + q);
            }
            if (count == units) join(call, part, out, 1, 0);
        }
    });
    if (count == units) return;
    team.wait();
    team.share(units, 1, [&](int first, int last) {
        for (int unit = first; unit < last; ++unit) {
            const int s = unit / kv_heads, start = parts.starts[s] + unit % kv_heads;
            join(call, parts.all[start], results + each * start, (parts.starts[s + 1] - parts.starts[s]) / kv_heads,
                 each * kv_heads);
        }
    });
}

}  // namespace qwen3vl
