// The operations, as Python asks for them. All numbers are float32, all matrices row after row.
#pragma once

#include "matrix.h"

namespace qwen3vl {

struct Linear {
    const float* x;         // [rows, stride]
    int32_t rows;
    int32_t stride;
    const float* norm;      // [columns] or null: x is used as it is
    float eps;
    const float* bias;      // [outputs] or null
    const float* residual;  // like y, or null; may be y itself
    int32_t swiglu;         // 1: y = silu(first half) * second half
    float* y;               // [rows, outputs]
};

struct Experts {
    const float* x;  // [tokens, hidden]
    int32_t tokens;
    int32_t top_k;
    int32_t experts;
    const float* weights;    // [tokens, top_k]
    const int64_t* indices;  // [tokens, top_k]; `experts` or more: dropped
    const float* residual;   // [tokens, hidden] or null; may be y itself
    float* y;                // [tokens, hidden]
};

struct HeadsToCache {
    const float* qkv;  // [tokens, (heads + 2 * kv heads) * head size]
    int32_t tokens;
    int32_t heads;
    const float* query_norm;  // [head size]
    const float* key_norm;
    float eps;
    const float* cosines;  // [tokens, head size / 2]
    const float* sines;
    const int64_t* slots;  // [tokens] block * block size + offset
    float* queries;        // [tokens, heads, head size]
};

struct Attention {
    const float* queries;  // [sequences, heads, head size]
    int32_t sequences;
    int32_t heads;
    const int64_t* tables;  // [sequences, stride]
    int32_t stride;
    float scale;
    const int64_t* lengths;  // [sequences] keys of each
    float* y;                // [sequences, heads, head size]
};

struct Choice {
    const float* x;  // [rows, columns], columns a multiple of group
    int32_t rows;
    int32_t columns;
    int32_t group;
    int32_t bits;
    int32_t tries;
    float widest;
    float narrowest;
    uint8_t* codes;    // [rows, columns]
    uint16_t* scales;  // [rows, columns / group]
};

void linear(const Kernels& kernels, const Matrix& matrix, const Linear& call, int threads);

// `gate_up` and `down` are those of expert 0; the others follow.
void experts(const Kernels& kernels, const Matrix& gate_up, const Matrix& down, const Experts& call, int threads);

// Norm and rotary turn of queries and keys; keys and values go to the cache.
void heads_to_cache(const Kernels& kernels, const Cache& cache, const HeadsToCache& call, int threads);

// One query a sequence over its keys in the cache.
void attention(const Kernels& kernels, const Cache& cache, const Attention& call, int threads);

// Codes and scales of a matrix.
void choose(const Kernels& kernels, const Choice& call, int threads);

}  // namespace qwen3vl
