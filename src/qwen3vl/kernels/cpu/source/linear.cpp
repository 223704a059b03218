// y = x W^T, with what comes before (norm) and after (bias, residual, SwiGLU) in one pass.
#include "products.h"

namespace qwen3vl {
namespace {

// x: `Activations` for a packed matrix, `Rows` for one of floats.
template <typename X>
void multiply_all(const Kernels& kernels, const Linear& call, const X& x, const Team& team) {
    const Matrix& matrix = call.matrix;
    const int least = call.rows >= kernels.least_wide ? 2 * MOST_BLOCKS : MOST_BLOCKS;
    if (call.swiglu) {
        team.share(matrix.half_blocks(), least / 2, [&](int first, int last) {
            multiply_swiglu(kernels, matrix, x, 0, call.rows, first, last, call.y);
        });
        return;
    }
    const size_t outputs = size_t(matrix.rows) * matrix.halves;
    team.share(matrix.blocks(), least, [&](int first, int last) {
        multiply(kernels, matrix, x, 0, call.rows, first, last,
                 [&](int row, int output, int count, const float* values) {
                     const size_t place = outputs * row + output;
                     fetch_ahead(call.y + place + outputs * MOST_ROWS, count);
                     if (call.residual) fetch_ahead(call.residual + place + outputs * MOST_ROWS, count);
                     kernels.store_sum(values, call.bias ? call.bias + output : nullptr,
                                       call.residual ? call.residual + place : nullptr, count, call.y + place);
                 });
    });
}

}  // namespace

void reserve(const Kernels& kernels, const Linear& call, Scratch& scratch) {
    if (call.matrix.format != FLOAT32)
        scratch.input.view(call.rows, call.matrix, kernels.least_wide, true);
    else if (call.norm)
        grown(scratch.normed, size_t(call.rows) * call.matrix.columns);
}

void run(const Kernels& kernels, const Linear& call, Scratch& scratch, const Team& team) {
    const Matrix& matrix = call.matrix;
    if (matrix.format != FLOAT32) {
        const Activations x = scratch.input.view(call.rows, matrix, kernels.least_wide, true);
        take_rows(kernels, call.x, call.rows, call.stride, call.norm, call.eps, matrix.columns, x, team);
        team.wait();
        return multiply_all(kernels, call, x, team);
    }
    thread_local Rows rows;
    rows.resize(call.rows);
    float* normed = scratch.normed.data();
    for (int row = 0; row < call.rows; ++row)
        rows[row] = call.norm ? normed + size_t(matrix.columns) * row : call.x + size_t(call.stride) * row;
    if (call.norm) {
        team.share(call.rows, 1, [&](int first, int last) {
            for (int row = first; row < last; ++row)
                kernels.rms_norm(call.x + size_t(call.stride) * row, call.norm, call.eps, matrix.columns,
                                 normed + size_t(matrix.columns) * row);
        });
        team.wait();
    }
    multiply_all(kernels, call, rows, team);
}

}  // namespace qwen3vl
