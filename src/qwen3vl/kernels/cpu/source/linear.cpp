// Products with packed matrices: y = x W^T with what comes before (norm) and after (bias, residual, SwiGLU) in one pass.
//
// The threads are those of the OpenMP runtime that the process already has (torch's), so that two pools never compete
// for the cores.
#include <omp.h>

#include <algorithm>
#include <vector>

#include "calls.h"

namespace qwen3vl {
namespace {

constexpr int PANEL_ROWS = 32;  // from so many rows on, int4 codes are unpacked once and not once for each 8 rows

// Memory that a calling thread keeps between calls.
template <typename T>
T* scratch(std::vector<T>& kept, size_t count) {
    if (kept.size() < count) kept.resize(count);
    return kept.data();
}

struct Quantized {
    std::vector<int8_t> codes;
    std::vector<float> scales;
    std::vector<int32_t> sums;

    Activations room(int rows, int columns, int group) {
        const int groups = columns / group;
        return {scratch(codes, size_t(rows) * columns), scratch(scales, size_t(rows) * groups),
                scratch(sums, size_t(rows) * groups), columns, groups, group};
    }
};

thread_local Quantized of_input, of_hidden;
thread_local std::vector<float> hidden_rows;

void quantize_row(const Kernels& kernels, const Activations& to, int row, const float* x, int used) {
    kernels.quantize(x, used, to.columns, to.group, to.codes + size_t(row) * to.columns,
                     to.scales + size_t(row) * to.groups, to.sums + size_t(row) * to.groups);
}

// Normalises (where `norm` is given) and quantises rows; inside a parallel region.
void prepare(const Kernels& kernels, const float* x, int rows, size_t stride, int used, const float* norm, float eps,
             const Activations& to) {
    thread_local std::vector<float> normed;
#pragma omp for schedule(static)
    for (int row = 0; row < rows; ++row) {
        const float* from = x + stride * row;
        if (norm) {
            float* room = scratch(normed, used);
            kernels.rms_norm(from, norm, eps, used, room);
            from = room;
        }
        quantize_row(kernels, to, row, from, used);
    }
}

// Up to four blocks of a matrix for the tile kernel, unpacked first where many rows will use them.
struct Strip {
    Block blocks[4];
    int count, format;

    Strip(const Kernels& kernels, const Matrix& matrix, const int* indices, int number, int rows)
        : count(number), format(matrix.format) {
        for (int b = 0; b < count; ++b) blocks[b] = block_of(matrix, indices[b]);
        if (matrix.format != INT4 || rows < PANEL_ROWS) return;
        thread_local std::vector<uint8_t> unpacked;
        const size_t size = matrix.code_bytes() * 2;
        uint8_t* room = scratch(unpacked, size * 4);
        format = INT8;
        for (int b = 0; b < count; ++b) {
            kernels.unpack(blocks[b].codes, matrix.code_bytes(), room + size * b);
            blocks[b].codes = room + size * b;
        }
    }
};

// How many blocks a tile takes at once: with few rows many streams keep the memory busy, with more rows their sums fill
// the registers.
int streams_for(int rows) { return rows <= 2 ? 4 : 2; }

// Calls work(first, count) over a thread's share of `units`, with counts of `most`, and 2 and 1 at the end.
template <typename Work>
void in_strips(int units, int most, int thread, int threads, const Work& work) {
    int unit = int(int64_t(units) * thread / threads);
    const int last = int(int64_t(units) * (thread + 1) / threads);
    while (unit < last) {
        int count = most;
        while (count > last - unit) count /= 2;
        work(unit, count);
        unit += count;
    }
}

// Where the outputs of a block stand, and how many of its lanes are real.
int first_output(const Matrix& matrix, int block) {
    const int half = block / matrix.half_blocks();
    return half * matrix.rows + (block - half * matrix.half_blocks()) * LANES;
}

int lanes(const Matrix& matrix, int block) {
    return std::min(LANES, matrix.rows - block % matrix.half_blocks() * LANES);
}

// A thread's share of y = x W^T; `emit(row, first output, lanes, values)` takes the results.
template <typename Emit>
void multiply(const Kernels& kernels, const Matrix& matrix, const Activations& x, int first_row, int rows, int thread,
              int threads, const Emit& emit) {
    float values[MOST_ROWS * 4 * LANES];
    in_strips(matrix.blocks(), streams_for(rows), thread, threads, [&](int block, int count) {
        int indices[4];
        for (int b = 0; b < count; ++b) indices[b] = block + b;
        const Strip strip(kernels, matrix, indices, count, rows);
        for (int row = 0; row < rows; row += MOST_ROWS) {
            const int some = std::min(MOST_ROWS, rows - row);
            kernels.tile(strip.blocks, count, strip.format, x, first_row + row, some, values);
            for (int r = 0; r < some; ++r)
                for (int b = 0; b < count; ++b)
                    emit(row + r, first_output(matrix, block + b), lanes(matrix, block + b),
                         values + (r * count + b) * LANES);
        }
    });
}

// A thread's share of silu(x G^T) * (x U^T), where G and U are the halves of a matrix: h is [rows, matrix.rows].
void multiply_swiglu(const Kernels& kernels, const Matrix& matrix, const Activations& x, int first_row, int rows,
                     int thread, int threads, float* h) {
    float values[MOST_ROWS * 4 * LANES];
    const int half = matrix.half_blocks();
    in_strips(half, streams_for(rows) / 2, thread, threads, [&](int block, int pairs) {
        int indices[4];
        for (int p = 0; p < pairs; ++p) {
            indices[p] = block + p;
            indices[pairs + p] = half + block + p;
        }
        const int count = 2 * pairs;
        const Strip strip(kernels, matrix, indices, count, rows);
        const int valid = std::min(pairs * LANES, matrix.rows - block * LANES);
        for (int row = 0; row < rows; row += MOST_ROWS) {
            const int some = std::min(MOST_ROWS, rows - row);
            kernels.tile(strip.blocks, count, strip.format, x, first_row + row, some, values);
            for (int r = 0; r < some; ++r) {
                const float* gate = values + r * count * LANES;
                kernels.swiglu(gate, gate + pairs * LANES, valid, h + size_t(row + r) * matrix.rows + block * LANES);
            }
        }
    });
}

}  // namespace

void linear(const Kernels& kernels, const Matrix& matrix, const Linear& call, int threads) {
    const Activations x = of_input.room(call.rows, matrix.padded_columns(), matrix.group);
    const size_t outputs = size_t(matrix.rows) * (call.swiglu ? 1 : matrix.halves);
#pragma omp parallel num_threads(threads)
    {
        const int thread = omp_get_thread_num(), team = omp_get_num_threads();
        prepare(kernels, call.x, call.rows, call.stride, matrix.columns, call.norm, call.eps, x);
        if (call.swiglu) {
            multiply_swiglu(kernels, matrix, x, 0, call.rows, thread, team, call.y);
        } else {
            multiply(kernels, matrix, x, 0, call.rows, thread, team,
                     [&](int row, int first, int count, const float* values) {
                         float* y = call.y + outputs * row + first;
                         const float* add = call.residual ? call.residual + outputs * row + first : nullptr;
                         for (int i = 0; i < count; ++i)
                             y[i] = values[i] + (call.bias ? call.bias[first + i] : 0.0f) + (add ? add[i] : 0.0f);
                     });
        }
    }
}

void experts(const Kernels& kernels, const Matrix& gate_up, const Matrix& down, const Experts& call, int threads) {
    // Pairs of token and expert, by expert: pair p is row p of the gathered activations.
    thread_local std::vector<int> starts, pair_token;
    thread_local std::vector<float> pair_weight;
    starts.assign(call.experts + 1, 0);
    const int all = call.tokens * call.top_k;
    for (int i = 0; i < all; ++i)
        if (call.indices[i] < call.experts) ++starts[call.indices[i] + 1];
    for (int e = 0; e < call.experts; ++e) starts[e + 1] += starts[e];
    const int pairs = starts[call.experts];
    scratch(pair_token, pairs), scratch(pair_weight, pairs);
    std::vector<int> next(starts.begin(), starts.end() - 1);
    for (int i = 0; i < all; ++i) {
        if (call.indices[i] >= call.experts) continue;
        const int pair = next[call.indices[i]]++;
        pair_token[pair] = i / call.top_k;
        pair_weight[pair] = call.weights[i];
    }
    const int hidden = gate_up.columns, inner = gate_up.rows;
    const Activations x = of_input.room(pairs, gate_up.padded_columns(), gate_up.group);
    const Activations h = of_hidden.room(pairs, down.padded_columns(), down.group);
    float* rows = scratch(hidden_rows, size_t(pairs) * inner);
    const int* first = starts.data();
    const int* token = pair_token.data();
    const float* weight = pair_weight.data();
    auto expert = [](const Matrix& matrix, int index) {
        Matrix one = matrix;
        one.data += matrix.bytes() * index;
        return one;
    };
#pragma omp parallel num_threads(threads)
    {
        const int thread = omp_get_thread_num(), team = omp_get_num_threads();
#pragma omp for schedule(static)
        for (int pair = 0; pair < pairs; ++pair)
            quantize_row(kernels, x, pair, call.x + size_t(hidden) * token[pair], hidden);
        for (int e = 0; e < call.experts; ++e)
            if (first[e + 1] > first[e])
                multiply_swiglu(kernels, expert(gate_up, e), x, first[e], first[e + 1] - first[e], thread, team,
                                rows + size_t(inner) * first[e]);
#pragma omp barrier
#pragma omp for schedule(static)
        for (int pair = 0; pair < pairs; ++pair) quantize_row(kernels, h, pair, rows + size_t(inner) * pair, inner);
        // Each thread owns a range of outputs for all experts, so that nothing is added by two.
        const int from = int(int64_t(down.blocks()) * thread / team) * LANES;
        const int to = std::min(hidden, int(int64_t(down.blocks()) * (thread + 1) / team) * LANES);
        for (int t = 0; t < call.tokens; ++t) {
            float* y = call.y + size_t(hidden) * t;
            if (!call.residual)
                std::fill(y + from, y + to, 0.0f);
            else if (call.residual != call.y)
                std::copy(call.residual + size_t(hidden) * t + from, call.residual + size_t(hidden) * t + to, y + from);
        }
        for (int e = 0; e < call.experts; ++e)
            if (first[e + 1] > first[e])
                multiply(kernels, expert(down, e), h, first[e], first[e + 1] - first[e], thread, team,
                         [&](int row, int output, int count, const float* values) {
                             const int pair = first[e] + row;
                             float* y = call.y + size_t(hidden) * token[pair] + output;
                             for (int i = 0; i < count; ++i) y[i] += weight[pair] * values[i];
                         });
    }
}

void choose(const Kernels& kernels, const Choice& call, int threads) {
    const int groups = call.columns / call.group;
#pragma omp parallel for num_threads(threads) schedule(static)
    for (int row = 0; row < call.rows; ++row)
        for (int g = 0; g < groups; ++g) {
            const size_t start = size_t(row) * call.columns + size_t(g) * call.group;
            call.scales[size_t(row) * groups + g] =
                kernels.choose_group(call.x + start, call.group, call.bits, call.tries, call.widest, call.narrowest,
                                     call.codes + start);
        }
}

}  // namespace qwen3vl
