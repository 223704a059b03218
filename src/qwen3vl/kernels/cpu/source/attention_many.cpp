// Attention of prompts: the tokens of all sequences are cut into tiles of queries, which threads take one after the other.
#include <algorithm>
#include <vector>

#include "calls.h"

namespace qwen3vl {
namespace {

struct Unit {
    int sequence, head, first, tokens;  // key head; tokens of the sequence
};

// Heads that share a key head are looked at together, this many at most.
int heads_of(const ManyAttention& call) { return std::min(MOST_SHARED, call.heads / call.cache.kv_heads); }

struct Units {
    std::vector<Unit> all;

    void cut(const ManyAttention& call) {
        all.clear();
        const int most = QUERIES / heads_of(call);
        for (int s = 0; s < call.sequences; ++s) {
            const int tokens = int(call.starts[s + 1] - call.starts[s]), count = (tokens + most - 1) / most;
            // From both ends in turn: later tokens see more keys, and parts of a row should be of like length.
            for (int i = 0; i < count; ++i) {
                const int first = (i % 2 ? count - 1 - i / 2 : i / 2) * most;
                for (int h = 0; h < call.cache.kv_heads; ++h)
                    all.push_back({s, h, first, std::min(most, tokens - first)});
            }
        }
    }
};

}  // namespace

void reserve(const Kernels&, const ManyAttention&, Scratch&) {}

void run(const Kernels& kernels, const ManyAttention& call, Scratch&, const Team& team) {
    thread_local Units units;
    units.cut(call);  // each thread for itself, as in `experts`
    const int size = call.cache.head_size, shared = call.heads / call.cache.kv_heads, most = heads_of(call);
    const size_t stride = size_t(call.heads) * size;
    const bool bfloat16 = call.cache.format != FLOAT32 && kernels.attend_many_bfloat16;
    const auto attend = bfloat16 ? kernels.attend_many_bfloat16 : kernels.attend_many;
    team.share(int(units.all.size()), 1, [&](int first, int last) {
        thread_local std::vector<float> room;
        for (int u = first; u < last; ++u) {
            const Unit& unit = units.all[u];
            const int64_t token = call.starts[unit.sequence] + unit.first;
            const int64_t before = call.lengths[unit.sequence] - call.starts[unit.sequence + 1] + token;
            for (int h = 0; h < shared; h += most) {
                const size_t place = stride * token + size_t(unit.head * shared + h) * size;
                const Queries some{call.queries + place, call.y + place, stride,
                                   unit.tokens, std::min(most, shared - h), int(before)};
                attend(call.cache, call.tables + size_t(call.stride) * unit.sequence, unit.head, some, call.scale,
                       grown_aligned(room, many_floats(size)));
            }
        }
    });
}

}  // namespace qwen3vl
