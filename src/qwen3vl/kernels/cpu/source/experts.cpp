// Mixture of experts: the router's choice, and the chosen experts' feed-forward networks.
#include <cmath>

#include "products.h"

namespace qwen3vl {
namespace {

// The experts with a token's largest logits, largest first; the exponentials of those that it uses sum to 1.
void choose_experts(const Route& call, const float* logits, int active, float* weights, int64_t* indices) {
    std::fill(weights, weights + call.top_k, 0.0f);
    std::fill(indices, indices + call.top_k, call.experts);
    for (int e = 0, count = 0; e < call.experts; ++e) {
        if (count == active && !(logits[e] > logits[indices[active - 1]])) continue;
        int place = std::min(count, active - 1);
        for (; place > 0 && logits[e] > logits[indices[place - 1]]; --place) indices[place] = indices[place - 1];
        indices[place] = e;
        count = std::min(count + 1, active);
    }
    float sum = 0;
    for (int k = 0; k < active; ++k) sum += weights[k] = std::exp(logits[indices[k]] - logits[indices[0]]);
    for (int k = 0; k < active; ++k) weights[k] /= sum;
}

// Pairs of token and expert, by expert: pair p is row p of the gathered activations. An expert's first row is that of a tile
// where it has many.
struct Pairs {
    std::vector<int> starts, counts;  // of each expert's pairs
    std::vector<int> used;            // experts that have any
    std::vector<int> token, expert;   // of each row; -1: of none
    std::vector<float> weight;
    int rows = 0;

    void gather(const Experts& call, int least_wide) {
        const int all = call.tokens * call.top_k;
        counts.assign(call.experts, 0), starts.resize(call.experts);
        for (int i = 0; i < all; ++i)
            if (call.indices[i] < call.experts) ++counts[call.indices[i]];
        used.clear();
        rows = 0;
        for (int e = 0; e < call.experts; ++e) {
            if (counts[e]) used.push_back(e);
            if (counts[e] >= least_wide) rows = round_up(rows, WHOLE_ROWS);
            starts[e] = rows;
            rows += counts[e];
        }
        token.assign(rows, -1), expert.resize(rows), weight.resize(rows);
        for (int i = 0; i < all; ++i) {
            if (call.indices[i] >= call.experts) continue;
            const int e = int(call.indices[i]), pair = starts[e]++;
            token[pair] = i / call.top_k;
            expert[pair] = e;
            weight[pair] = call.weights[i];
        }
        for (const int e : used) starts[e] -= counts[e];
    }
    int first(int expert) const { return starts[expert]; }
    int count(int expert) const { return counts[expert]; }

    static int most_rows(const Experts& call, int least_wide) {
        const int all = call.tokens * call.top_k;
        return all + (WHOLE_ROWS - 1) * std::min(call.experts, all / least_wide);
    }
};

Matrix one_of(const Matrix& matrix, int index) {
    Matrix one = matrix;
    one.data += matrix.bytes() * index;
    return one;
}

// The first product of each pair and its SwiGLU: rows is [pairs, inner]. x: `Activations` for packed experts, `Rows` for
// those of floats, a row for each pair.
template <typename X>
void gate_and_up(const Kernels& kernels, const Experts& call, const Pairs& pairs, const X& x, float* rows,
                 const Team& team) {
    const int blocks = call.gate_up.half_blocks(), inner = call.gate_up.rows;
    team.share(int(pairs.used.size()) * blocks, 2, [&](int first, int last) {
        while (first < last) {  // a part may reach over several experts
            const int expert = pairs.used[first / blocks], from = first % blocks;
            const int to = std::min(blocks, from + last - first), row = pairs.first(expert);
            multiply_swiglu(kernels, one_of(call.gate_up, expert), x, row, pairs.count(expert), from, to,
                            rows + size_t(inner) * row);
            first += to - from;
        }
    });
}

// The second product, its weighted sums, and the residual. A part is a range of outputs for all experts, so that nothing
// is added by two.
template <typename X>
void down(const Kernels& kernels, const Experts& call, const Pairs& pairs, const X& h, const Team& team) {
    const int hidden = call.gate_up.columns;
    team.share(call.down.blocks(), 4, [&](int first, int last) {
        const int from = first * LANES, to = std::min(hidden, last * LANES);
        for (int t = 0; t < call.tokens; ++t) {
            float* y = call.y + size_t(hidden) * t;
            if (!call.residual)
                std::fill(y + from, y + to, 0.0f);
            else if (call.residual != call.y)
                std::copy(call.residual + size_t(hidden) * t + from, call.residual + size_t(hidden) * t + to, y + from);
        }
        for (const int expert : pairs.used)
            multiply(kernels, one_of(call.down, expert), h, pairs.first(expert), pairs.count(expert), first, last,
                     [&](int row, int output, int count, const float* values) {
                         const int pair = pairs.first(expert) + row;
                         kernels.add_weighted(values, pairs.weight[pair], count,
                                              call.y + size_t(hidden) * pairs.token[pair] + output);
                     });
    });
}

}  // namespace

void reserve(const Kernels&, const Route& call, Scratch& scratch) { grown(scratch.rows, size_t(call.tokens) * call.experts); }

void run(const Kernels& kernels, const Route& call, Scratch& scratch, const Team& team) {
    const size_t hidden = call.hidden, experts = call.experts;
    float* logits = scratch.rows.data();
    team.share(call.tokens, 1, [&](int first, int last) {
        for (int t = first; t < last; ++t)
            kernels.rms_norm(call.x + hidden * t, call.norm, call.eps, call.hidden, call.normed + hidden * t);
    });
    team.wait();
    team.share(call.experts, 4, [&](int first, int last) {
        for (int e = first; e < last; ++e)
            for (int t = 0; t < call.tokens; ++t)
                logits[experts * t + e] = kernels.dot(call.normed + hidden * t, call.router + hidden * e, call.hidden);
    });
    team.wait();
    team.share(call.tokens, 1, [&](int first, int last) {
        for (int t = first; t < last; ++t)
            choose_experts(call, logits + experts * t, int(call.active[t]), call.weights + size_t(call.top_k) * t,
                           call.indices + size_t(call.top_k) * t);
    });
}

// Rows from which on an expert's products take tiles.
int least_wide_of(const Kernels& kernels, const Experts& call) {
    return call.gate_up.format == FLOAT32 ? NEVER : kernels.least_wide;
}

void reserve(const Kernels& kernels, const Experts& call, Scratch& scratch) {
    const int least = least_wide_of(kernels, call), rows = Pairs::most_rows(call, least);
    grown(scratch.rows, size_t(rows) * call.gate_up.rows);
    if (call.gate_up.format == FLOAT32) return;
    scratch.input.view(rows, call.gate_up, least, false);
    scratch.hidden.view(rows, call.down, least, false);
}

void run(const Kernels& kernels, const Experts& call, Scratch& scratch, const Team& team) {
    const int least = least_wide_of(kernels, call);
    thread_local Pairs pairs;
    pairs.gather(call, least);  // each thread for itself: it is short, and nobody needs to wait for it
    const int hidden = call.gate_up.columns, inner = call.gate_up.rows, all = pairs.rows;
    float* rows = scratch.rows.data();
    if (call.gate_up.format == FLOAT32) {
        thread_local Rows x, h;
        x.resize(all), h.resize(all);
        for (int pair = 0; pair < all; ++pair) {
            x[pair] = call.x + size_t(hidden) * pairs.token[pair];
            h[pair] = rows + size_t(inner) * pair;
        }
        gate_and_up(kernels, call, pairs, x, rows, team);
        team.wait();
        return down(kernels, call, pairs, h, team);
    }
    const Activations x = scratch.input.view(all, call.gate_up, least, false);
    const Activations h = scratch.hidden.view(all, call.down, least, false);
    const auto take = [&](const Activations& to, int columns, const auto& row_of) {
        team.share(all, 1, [&](int first, int last) {
            for (int pair = first; pair < last; ++pair)
                if (pairs.token[pair] >= 0)
                    take_row(kernels, row_of(pair), columns, to, pair,
                             to.in_tiles(pairs.count(pairs.expert[pair]), least));
        });
        team.wait();
    };
    take(x, hidden, [&](int pair) { return call.x + size_t(hidden) * pairs.token[pair]; });
    gate_and_up(kernels, call, pairs, x, rows, team);
    team.wait();
    take(h, inner, [&](int pair) { return rows + size_t(inner) * pair; });
    down(kernels, call, pairs, h, team);
}

}  // namespace qwen3vl
