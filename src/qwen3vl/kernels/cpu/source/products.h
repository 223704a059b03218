// Products with matrices, a thread's part at a time.
#pragma once

#include <algorithm>
#include <numeric>
#include <vector>

#include "calls.h"

namespace qwen3vl {
namespace {

// A row of activations as the products want it that it is for.
inline void take_row(const Kernels& kernels, const float* x, int used, const Activations& to, int row, bool tiles) {
    if (tiles)
        kernels.round_row(x, used, to.columns, to.tiles, row);
    else
        kernels.quantize(x, used, to, row);
}

// Rows of x, normalised where there is a norm.
inline void take_rows(const Kernels& kernels, const float* x, int rows, int stride, const float* norm, float eps,
                      int columns, const Activations& to, const Team& team) {
    const bool tiles = to.in_tiles(rows, kernels.least_wide);
    team.share(rows, 1, [&](int first, int last) {
        thread_local std::vector<float> normed;
        for (int row = first; row < last; ++row) {
            const float* from = x + size_t(stride) * row;
            if (norm) {
                float* room = grown(normed, columns);
                kernels.rms_norm(from, norm, eps, columns, room);
                from = room;
            }
            take_row(kernels, from, columns, to, row, tiles);
        }
    });
}

// Calls work(unit, count) over first .. last, with counts of `most` and what is left at the end.
template <typename Work>
void in_strips(int first, int last, int most, const Work& work) {
    for (; first < last; first += most) work(first, std::min(most, last - first));
}

// Calls emit(row, values [count * 16]) for each row of the products with some blocks, up to `MOST_BLOCKS`; rows are those
// of x from `first_row` on. Of rows in tiles up to `WIDE_ROWS`, which `first_row` is the first of a tile of, and up to
// `WIDE_BLOCKS`.
template <typename Emit>
void multiply_blocks(const Kernels& kernels, const Matrix& matrix, const int* indices, int count, const Activations& x,
                     bool tiles, int first_row, int rows, const Emit& emit) {
    if (tiles) {
        thread_local std::vector<float> room;
        float* values = grown_aligned(room, size_t(WIDE_ROWS) * WIDE_BLOCKS * LANES);
        kernels.wide(matrix, indices, count, x.tiles + size_t(first_row) * x.columns, rows, values);
        for (int row = 0; row < rows; ++row) emit(row, values + size_t(row) * count * LANES);
        return;
    }
    Block blocks[MOST_BLOCKS];
    for (int b = 0; b < count; ++b) blocks[b] = block_of(matrix, indices[b]);
    alignas(64) float values[MOST_ROWS * MOST_BLOCKS * LANES];
    for (int row = 0; row < rows; row += MOST_ROWS) {
        const int some = std::min(MOST_ROWS, rows - row);
        kernels.tile(blocks, count, matrix.format, x, first_row + row, some, values);
        for (int r = 0; r < some; ++r) emit(row + r, values + r * count * LANES);
    }
}

// Numbers that the rows after the next ones need: they stand far apart, so that the processor does not foresee them.
inline void fetch_ahead(const float* from, int count) {
    for (int i = 0; i < count; i += LANES) __builtin_prefetch(from + i);
}

// Outputs next to each other, and where they are among the lanes of some blocks.
struct Span {
    int output, count, lane;
};

// What `count` blocks from `block` on hold. The last block of a half may have lanes that are nobody's.
inline int spans_of(const Matrix& matrix, int block, int count, Span* spans) {
    int number = 0;
    for (int b = 0; b < count; ++b) {
        const int half = (block + b) / matrix.half_blocks(), first = (block + b) % matrix.half_blocks() * LANES;
        const int output = half * matrix.rows + first, lanes = std::min(LANES, matrix.rows - first);
        if (number && output == spans[number - 1].output + (b * LANES - spans[number - 1].lane))
            spans[number - 1].count += lanes;
        else
            spans[number++] = {output, lanes, b * LANES};
    }
    return number;
}

// Rows of floats, each anywhere.
using Rows = std::vector<const float*>;

// The same calls for a matrix of floats: a block is 16 rows of it, or what is left of a half.
template <typename Emit>
void multiply(const Kernels& kernels, const Matrix& matrix, const Rows& x, int first_row, int rows, int first_block,
              int last_block, const Emit& emit) {
    alignas(64) float values[MOST_ROWS * LANES];
    for (int block = first_block; block < last_block; ++block) {
        Span span;
        spans_of(matrix, block, 1, &span);
        for (int row = 0; row < rows; row += MOST_ROWS) {
            const int some = std::min(MOST_ROWS, rows - row);
            kernels.dots(matrix.row(span.output), matrix.columns, span.count, &x[first_row + row], some, values);
            for (int r = 0; r < some; ++r) emit(row + r, span.output, span.count, values + r * LANES);
        }
    }
}

inline void multiply_swiglu(const Kernels& kernels, const Matrix& matrix, const Rows& x, int first_row, int rows,
                            int first_block, int last_block, float* h) {
    alignas(64) float gate[MOST_ROWS * LANES], up[MOST_ROWS * LANES];
    for (int block = first_block; block < last_block; ++block) {
        const int output = block * LANES, valid = std::min(LANES, matrix.rows - output);
        for (int row = 0; row < rows; row += MOST_ROWS) {
            const int some = std::min(MOST_ROWS, rows - row);
            const float* const* from = &x[first_row + row];
            kernels.dots(matrix.row(output), matrix.columns, valid, from, some, gate);
            kernels.dots(matrix.row(matrix.rows + output), matrix.columns, valid, from, some, up);
            for (int r = 0; r < some; ++r)
                kernels.swiglu(gate + r * LANES, up + r * LANES, valid,
                               h + size_t(row + r) * matrix.rows + output);
        }
    }
}

// Calls work(first row, rows, first block, blocks) for all pairs of some rows and some blocks. Rows in tiles come in pieces of
// about one size, which are whole tiles: blocks are unpacked for each.
template <typename Work>
void in_pieces(bool tiles, int rows, int first_block, int last_block, int most_blocks, const Work& work) {
    const int whole = (rows + WHOLE_ROWS - 1) / WHOLE_ROWS, pieces = tiles ? (rows + WIDE_ROWS - 1) / WIDE_ROWS : 1;
    for (int piece = 0; piece < pieces; ++piece) {
        const int row = whole * piece / pieces * WHOLE_ROWS, end = whole * (piece + 1) / pieces * WHOLE_ROWS;
        in_strips(first_block, last_block, most_blocks,
                  [&](int block, int count) { work(row, std::min(rows, end) - row, block, count); });
    }
}

// Some blocks of y = x W^T; `emit(row, first output, count, values)` takes the results.
template <typename Emit>
void multiply(const Kernels& kernels, const Matrix& matrix, const Activations& x, int first_row, int rows,
              int first_block, int last_block, const Emit& emit) {
    const bool tiles = x.in_tiles(rows, kernels.least_wide);
    const int most = tiles ? WIDE_BLOCKS : MOST_BLOCKS;
    in_pieces(tiles, rows, first_block, last_block, most, [&](int piece, int some, int block, int count) {
        int indices[WIDE_BLOCKS];
        std::iota(indices, indices + count, block);
        Span spans[WIDE_BLOCKS];
        const int number = spans_of(matrix, block, count, spans);
        multiply_blocks(kernels, matrix, indices, count, x, tiles, first_row + piece, some,
                        [&](int row, const float* values) {
                            for (int s = 0; s < number; ++s)
                                emit(piece + row, spans[s].output, spans[s].count, values + spans[s].lane);
                        });
    });
}

// Some blocks of silu(x G^T) * (x U^T), where G and U are the halves of a matrix: h is [rows, matrix.rows].
inline void multiply_swiglu(const Kernels& kernels, const Matrix& matrix, const Activations& x, int first_row,
                            int rows, int first_block, int last_block, float* h) {
    const int half = matrix.half_blocks();
    const bool tiles = x.in_tiles(rows, kernels.least_wide);
    const int most = (tiles ? WIDE_BLOCKS : MOST_BLOCKS) / 2;
    in_pieces(tiles, rows, first_block, last_block, most, [&](int piece, int some, int block, int count) {
        int indices[WIDE_BLOCKS];
        std::iota(indices, indices + count, block);
        std::iota(indices + count, indices + 2 * count, half + block);
        const int valid = std::min(count * LANES, matrix.rows - block * LANES);
        multiply_blocks(kernels, matrix, indices, 2 * count, x, tiles, first_row + piece, some,
                        [&](int row, const float* gate) {
                            float* to = h + size_t(piece + row) * matrix.rows + block * LANES;
                            fetch_ahead(to + size_t(matrix.rows) * MOST_ROWS, valid);
                            kernels.swiglu(gate, gate + count * LANES, valid, to);
                        });
    });
}

}  // namespace
}  // namespace qwen3vl
