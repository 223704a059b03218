// y = x W^T for a packed matrix, with what comes before (norm) and after (bias, residual, SwiGLU) in one pass.
#include "products.h"

namespace qwen3vl {

void reserve(const Linear& call, Scratch& scratch) {
    scratch.input.reserve(call.rows, call.matrix.padded_columns(), call.matrix.group);
}

void run(const Kernels& kernels, const Linear& call, Scratch& scratch, const Team& team) {
    const Matrix& matrix = call.matrix;
    const Activations x = scratch.input.view(matrix.padded_columns(), matrix.group);
    team.share(call.rows, 1, [&](int first, int last) {
        thread_local std::vector<float> normed;
        for (int row = first; row < last; ++row) {
            const float* from = call.x + size_t(call.stride) * row;
            if (call.norm) {
                float* room = grown(normed, matrix.columns);
                kernels.rms_norm(from, call.norm, call.eps, matrix.columns, room);
                from = room;
            }
            quantize_row(kernels, x, row, from, matrix.columns);
        }
    });
    team.wait();
    const int streams = streams_for(call.rows);
    if (call.swiglu) {
        team.share(matrix.half_blocks(), streams / 2, [&](int first, int last) {
            multiply_swiglu(kernels, matrix, x, 0, call.rows, first, last, call.y);
        });
        return;
    }
    const size_t outputs = size_t(matrix.rows) * matrix.halves;
    team.share(matrix.blocks(), streams, [&](int first, int last) {
        multiply(kernels, matrix, x, 0, call.rows, first, last,
                 [&](int row, int output, int count, const float* values) {
                     float* y = call.y + outputs * row + output;
                     const float* add = call.residual ? call.residual + outputs * row + output : nullptr;
                     for (int i = 0; i < count; ++i)
                         y[i] = values[i] + (call.bias ? call.bias[output + i] : 0.0f) + (add ? add[i] : 0.0f);
                 });
    });
}

}  // namespace qwen3vl
