// Products with matrices, a thread's part at a time.
#pragma once

#include <algorithm>
#include <vector>

#include "calls.h"

namespace qwen3vl {
namespace {

// Up to `MOST_BLOCKS` blocks of a matrix, unpacked where that is for many rows.
class Strip {
  public:
    Strip(const Kernels& kernels, const Matrix& matrix, const int* indices, int count, int rows)
        : kernels_(kernels), count_(count), format_(matrix.format), wide_(rows >= kernels.least_wide) {
        for (int b = 0; b < count; ++b) blocks_[b] = block_of(matrix, indices[b]);
        if (!wide_) return;
        thread_local std::vector<uint8_t> unpacked;
        const size_t size = size_t(matrix.group) * LANES;
        uint8_t* room = grown(unpacked, size * matrix.groups() * MOST_BLOCKS);
        for (int b = 0; b < count; ++b) {
            blocks_[b].unpacked = room;
            for (int g = 0; g < matrix.groups(); ++g, room += size)
                kernels.unpack(blocks_[b].codes(g), format_, size, room);
        }
    }

    // Calls emit(row, values [count * 16]) for each row from 0 on; they are the rows of x from `first_row` on.
    template <typename Emit>
    void multiply(const Activations& x, int first_row, int rows, const Emit& emit) const {
        alignas(64) float values[MOST_WIDE * MOST_BLOCKS * LANES];
        const int most = wide_ ? kernels_.wide_rows : MOST_ROWS;
        for (int row = 0; row < rows; row += most) {
            const int some = std::min(most, rows - row);
            if (wide_)
                kernels_.wide(blocks_, count_, x, first_row + row, some, values);
            else
                kernels_.tile(blocks_, count_, format_, x, first_row + row, some, values);
            for (int r = 0; r < some; ++r) emit(row + r, values + r * count_ * LANES);
        }
    }

  private:
    const Kernels& kernels_;
    Block blocks_[MOST_BLOCKS];
    int count_, format_;
    bool wide_;
};

// Rows of x, normalised where there is a norm, as bytes.
inline void quantize_rows(const Kernels& kernels, const float* x, int rows, int stride, const float* norm, float eps,
                          int columns, const Activations& to, const Team& team) {
    team.share(rows, 1, [&](int first, int last) {
        thread_local std::vector<float> normed;
        for (int row = first; row < last; ++row) {
            const float* from = x + size_t(stride) * row;
            if (norm) {
                float* room = grown(normed, columns);
                kernels.rms_norm(from, norm, eps, columns, room);
                from = room;
            }
            kernels.quantize(from, columns, to, row);
        }
    });
}

// Calls work(first row, count) for parts of the rows whose bytes stay in a core's cache while the outputs pass by.
template <typename Work>
void in_chunks(const Kernels& kernels, const Activations& x, int rows, const Work& work) {
    const int most = std::max(MOST_WIDE, kernels.kept_bytes / x.stride / MOST_WIDE * MOST_WIDE);
    for (int row = 0; row < rows; row += most) work(row, std::min(most, rows - row));
}

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

// Some blocks of y = x W^T; `emit(row, first output, count, values)` takes the results.
template <typename Emit>
void multiply(const Kernels& kernels, const Matrix& matrix, const Activations& x, int first_row, int rows,
              int first_block, int last_block, const Emit& emit) {
    in_chunks(kernels, x, rows, [&](int chunk, int some) {
        in_strips(first_block, last_block, MOST_BLOCKS, [&](int block, int count) {
            int indices[MOST_BLOCKS];
            for (int b = 0; b < count; ++b) indices[b] = block + b;
            const Strip strip(kernels, matrix, indices, count, some);
            Span spans[MOST_BLOCKS];
            const int number = spans_of(matrix, block, count, spans);
            strip.multiply(x, first_row + chunk, some, [&](int row, const float* values) {
                for (int s = 0; s < number; ++s)
                    emit(chunk + row, spans[s].output, spans[s].count, values + spans[s].lane);
            });
        });
    });
}

// Some blocks of silu(x G^T) * (x U^T), where G and U are the halves of a matrix: h is [rows, matrix.rows].
inline void multiply_swiglu(const Kernels& kernels, const Matrix& matrix, const Activations& x, int first_row,
                            int rows, int first_block, int last_block, float* h) {
    const int half = matrix.half_blocks();
    in_chunks(kernels, x, rows, [&](int chunk, int some) {
        for (int block = first_block; block < last_block; ++block) {
            const int indices[] = {block, half + block};
            const Strip strip(kernels, matrix, indices, 2, some);
            const int valid = std::min(LANES, matrix.rows - block * LANES);
            strip.multiply(x, first_row + chunk, some, [&](int row, const float* gate) {
                float* to = h + size_t(chunk + row) * matrix.rows + block * LANES;
                fetch_ahead(to + size_t(matrix.rows) * kernels.wide_rows, valid);
                kernels.swiglu(gate, gate + LANES, valid, to);
            });
        }
    });
}

}  // namespace
}  // namespace qwen3vl
