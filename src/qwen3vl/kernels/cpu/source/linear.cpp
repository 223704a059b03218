// y = x W^T for a packed matrix, with what comes before (norm) and after (bias, residual, SwiGLU) in one pass.
#include "products.h"

namespace qwen3vl {

void reserve(const Linear& call, Scratch& scratch) {
    scratch.input.reserve(call.rows, call.matrix.padded_columns(), call.matrix.group);
}

void run(const Kernels& kernels, const Linear& call, Scratch& scratch, const Team& team) {
    const Matrix& matrix = call.matrix;
    const Activations x = scratch.input.view(call.rows, matrix.padded_columns(), matrix.group);
    quantize_rows(kernels, call.x, call.rows, call.stride, call.norm, call.eps, matrix.columns, x, team);
    team.wait();
    if (call.swiglu) {
        team.share(matrix.half_blocks(), 1, [&](int first, int last) {
            multiply_swiglu(kernels, matrix, x, 0, call.rows, first, last, call.y);
        });
        return;
    }
    const size_t outputs = size_t(matrix.rows) * matrix.halves;
    team.share(matrix.blocks(), MOST_BLOCKS, [&](int first, int last) {
        multiply(kernels, matrix, x, 0, call.rows, first, last,
                 [&](int row, int output, int count, const float* values) {
                     const size_t place = outputs * row + output;
                     fetch_ahead(call.y + place + outputs * kernels.wide_rows, count);
                     if (call.residual) fetch_ahead(call.residual + place + outputs * kernels.wide_rows, count);
                     kernels.store_sum(values, call.bias ? call.bias + output : nullptr,
                                       call.residual ? call.residual + place : nullptr, count, call.y + place);
                 });
    });
}

}  // namespace qwen3vl
