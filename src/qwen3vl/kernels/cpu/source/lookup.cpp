// Rows of a matrix, packed or not: the embeddings of a step's tokens.
#include <immintrin.h>

#include <algorithm>
#include <cmath>
#include <cstring>

#include "calls.h"

namespace qwen3vl {
namespace {

// Every level has the instruction.
__attribute__((target("f16c"))) float of_half(uint16_t bits) { return _cvtsh_ss(bits); }

float of_bfloat16(uint16_t bits) {
    const uint32_t word = uint32_t(bits) << 16;
    float value;
    std::memcpy(&value, &word, sizeof(value));
    return value;
}

void add_packed(const Matrix& matrix, int64_t row, float* y) {
    const Block block = block_of(matrix, int(row / LANES));
    const int lane = int(row % LANES);
    for (int g = 0; g < matrix.groups(); ++g) {
        const uint8_t* codes = block.codes(g) + 4 * lane;
        const float scale = of_half(block.scales(g)[lane]);
        const int first = g * matrix.group, count = std::min(matrix.group, matrix.columns - first);
        if (matrix.format == INT8) {
            for (int k = 0; k < count; ++k) y[first + k] += float(codes[k / 4 * 64 + k % 4] - 128) * scale;
        } else {
            for (int k = 0; k < count; ++k)
                y[first + k] += float((codes[k / 8 * 64 + k % 4] >> k % 8 / 4 * 4 & 15) - 8) * scale;
        }
    }
}

void look_up(const Lookup& call, int64_t row, float* y) {
    const Matrix& matrix = call.high;
    const int columns = matrix.columns;
    if (row < 0 || row >= matrix.rows) {
        std::fill(y, y + columns, NAN);
    } else if (matrix.format == FLOAT32) {
        std::copy_n(matrix.row(int(row)), columns, y);
    } else if (matrix.format == BFLOAT16) {
        const uint16_t* from = reinterpret_cast<const uint16_t*>(matrix.data) + size_t(columns) * row;
        std::transform(from, from + columns, y, of_bfloat16);
    } else {
        std::fill(y, y + columns, 0.0f);
        add_packed(matrix, row, y);
        if (call.low.data) add_packed(call.low, row, y);
    }
}

}  // namespace

void reserve(const Kernels&, const Lookup&, Scratch&) {}

void run(const Kernels&, const Lookup& call, Scratch&, const Team& team) {
    team.share(call.count, 1, [&](int first, int last) {
        for (int i = first; i < last; ++i) look_up(call, call.indices[i], call.y + size_t(call.high.columns) * i);
    });
}

}  // namespace qwen3vl
