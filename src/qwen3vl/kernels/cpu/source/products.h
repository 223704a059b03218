// Products with packed matrices, a thread's part at a time.
#pragma once

#include <algorithm>
#include <vector>

#include "calls.h"

namespace qwen3vl {
namespace {

constexpr int PANEL_ROWS = 32;  // from so many rows on, int4 codes are unpacked once and not once for each 8 rows

[[maybe_unused]] void quantize_row(const Kernels& kernels, const Activations& to, int row, const float* x, int used) {
    kernels.quantize(x, used, to.columns, to.group, to.codes + size_t(row) * to.columns,
                     to.scales + size_t(row) * to.groups, to.sums + size_t(row) * to.groups);
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
        uint8_t* room = grown(unpacked, size * 4);
        format = INT8;
        for (int b = 0; b < count; ++b) {
            kernels.unpack(blocks[b].codes, matrix.code_bytes(), room + size * b);
            blocks[b].codes = room + size * b;
        }
    }
};

// How many blocks a tile takes at once: with few rows many streams keep the memory busy, with more rows their sums fill
// the registers.
inline int streams_for(int rows) { return rows <= 2 ? 4 : 2; }

// Calls work(unit, count) over first .. last, with counts of `most`, and smaller ones at the end.
template <typename Work>
void in_strips(int first, int last, int most, const Work& work) {
    while (first < last) {
        int count = most;
        while (count > last - first) count /= 2;
        work(first, count);
        first += count;
    }
}

// Where the outputs of a block stand, and how many of its lanes are real.
inline int first_output(const Matrix& matrix, int block) {
    const int half = block / matrix.half_blocks();
    return half * matrix.rows + (block - half * matrix.half_blocks()) * LANES;
}

inline int lanes(const Matrix& matrix, int block) {
    return std::min(LANES, matrix.rows - block % matrix.half_blocks() * LANES);
}

// Some blocks of y = x W^T; `emit(row, first output, lanes, values)` takes the results.
template <typename Emit>
void multiply(const Kernels& kernels, const Matrix& matrix, const Activations& x, int first_row, int rows,
              int first_block, int last_block, const Emit& emit) {
    float values[MOST_ROWS * 4 * LANES];
    in_strips(first_block, last_block, streams_for(rows), [&](int block, int count) {
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

// Some blocks of silu(x G^T) * (x U^T), where G and U are the halves of a matrix: h is [rows, matrix.rows].
inline void multiply_swiglu(const Kernels& kernels, const Matrix& matrix, const Activations& x, int first_row,
                            int rows, int first_block, int last_block, float* h) {
    float values[MOST_ROWS * 4 * LANES];
    const int half = matrix.half_blocks();
    in_strips(first_block, last_block, streams_for(rows) / 2, [&](int block, int pairs) {
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
}  // namespace qwen3vl
