// Logits from a matrix of two planes. A token is drawn among the largest, so only those are worth eight bits a weight:
// all rows are read to four, and then the other four of the blocks that hold the largest.
#include <algorithm>
#include <numeric>

#include "products.h"

namespace qwen3vl {
namespace {

// The numbers of the `count` blocks with the largest maxima, in the order of the matrix.
void choose_blocks(const float* maxima, int blocks, int count, int* order) {
    std::iota(order, order + blocks, 0);
    std::nth_element(order, order + count, order + blocks,
                     [&](int a, int b) { return maxima[a] != maxima[b] ? maxima[a] > maxima[b] : a < b; });
    std::sort(order, order + count);
}

}  // namespace

void reserve(const Kernels&, const Head& call, Scratch& scratch) {
    scratch.input.view(call.rows, call.high, NEVER, false);
    grown(scratch.rows, size_t(call.rows) * call.high.blocks());
    grown(scratch.chosen, size_t(call.rows) * call.high.blocks());
}

void run(const Kernels& kernels, const Head& call, Scratch& scratch, const Team& team) {
    const Matrix &high = call.high, &low = call.low;
    const int blocks = high.blocks(), outputs = high.rows;
    const Activations x = scratch.input.view(call.rows, high, NEVER, false);
    float* maxima = scratch.rows.data();  // [rows, blocks]
    int* chosen = scratch.chosen.data();  // [rows, blocks], of which the first `refined`
    take_rows(kernels, call.x, call.rows, high.columns, call.norm, call.eps, high.columns, x, team);
    team.wait();
    team.share(blocks, MOST_BLOCKS, [&](int first, int last) {
        multiply(kernels, high, x, 0, call.rows, first, last, [&](int row, int output, int count, const float* values) {
            float* y = call.y + size_t(outputs) * row + output;
            for (int i = 0; i < count; i += LANES)
                maxima[size_t(blocks) * row + (output + i) / LANES] =
                    kernels.store_largest(values + i, std::min(LANES, count - i), y + i);
        });
    });
    team.wait();
    team.share(call.rows, 1, [&](int first, int last) {
        for (int row = first; row < last; ++row)
            choose_blocks(maxima + size_t(blocks) * row, blocks, call.refined, chosen + size_t(blocks) * row);
    });
    team.wait();
    team.share(call.rows * call.refined, 1, [&](int first, int last) {
        for (int unit = first; unit < last; ++unit) {
            const int row = unit / call.refined, block = chosen[size_t(blocks) * row + unit % call.refined];
            const Block from = block_of(low, block);
            alignas(64) float values[LANES];
            kernels.tile(&from, 1, low.format, x, row, 1, values);
            float* y = call.y + size_t(outputs) * row + block * LANES;
            const int count = std::min(LANES, outputs - block * LANES);
            for (int i = 0; i < count; ++i) y[i] += values[i];
        }
    });
}

}  // namespace qwen3vl
