// The operations, as Python asks for them: a program is a list of them, each with what it needs. All numbers are float32,
// all matrices row after row.
#pragma once

#include <vector>

#include "matrix.h"
#include "team.h"

namespace qwen3vl {

struct Linear {
    Matrix matrix;
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

// Norm, then which experts each token uses, as `experts.route` defines it.
struct Route {
    const float* x;  // [tokens, hidden]
    int32_t tokens;
    int32_t hidden;
    const float* norm;  // [hidden]
    float eps;
    const float* router;  // [experts, hidden]
    int32_t experts;
    int32_t top_k;
    const int64_t* active;  // [tokens], 1 .. top_k
    float* normed;          // [tokens, hidden]
    float* weights;         // [tokens, top_k]
    int64_t* indices;       // [tokens, top_k]; `experts`: dropped
};

struct Experts {
    Matrix gate_up;  // of expert 0, the others follow
    Matrix down;
    const float* x;  // [tokens, hidden]
    int32_t tokens;
    int32_t top_k;
    int32_t experts;
    const float* weights;    // [tokens, top_k]
    const int64_t* indices;  // [tokens, top_k]; `experts` or more: dropped
    const float* residual;   // [tokens, hidden] or null; may be y itself
    float* y;                // [tokens, hidden]
};

// Norm and rotary turn of queries and keys; keys and values go to the cache.
struct HeadsToCache {
    Cache cache;
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

// One query a sequence over its keys in the cache.
struct Attention {
    Cache cache;
    const float* queries;  // [sequences, heads, head size]
    int32_t sequences;
    int32_t heads;
    const int64_t* tables;  // [sequences, stride]
    int32_t stride;
    float scale;
    const int64_t* lengths;  // [sequences] keys of each, 1 or more
    float* y;                // [sequences, heads, head size]
};

// Many queries a sequence, in a row, each over its sequence's keys up to its own.
struct ManyAttention {
    Cache cache;
    const float* queries;  // [tokens, heads, head size]
    int32_t sequences;
    int32_t heads;
    const int64_t* starts;  // [sequences + 1] first token of each
    const int64_t* tables;  // [sequences, stride]
    int32_t stride;
    float scale;
    const int64_t* lengths;  // [sequences] keys of each, its own included
    float* y;                // [tokens, heads, head size]
};

// The logits of a vocabulary from a matrix that is the sum of two: all from the first, and of each row the blocks with
// the largest of them from both, as `head.py` defines it.
struct Head {
    Matrix high;
    Matrix low;
    const float* x;  // [rows, columns]
    int32_t rows;
    const float* norm;  // [columns]
    float eps;
    int32_t refined;  // blocks of a row, no more than there are
    float* y;         // [rows, outputs]
};

// Some rows of a matrix as numbers, or of the sum of two. A row that is not there is no number.
struct Lookup {
    Matrix high;             // of any format
    Matrix low;              // packed; its data may be null
    const int64_t* indices;  // [count] of rows
    int32_t count;
    float* y;  // [count, columns]
};

// Attention of the tokens of each picture to each other, after the rotary turn of queries and keys; bfloat16.
struct PictureAttention {
    const uint16_t* qkv;  // [tokens, 3, heads, head size]
    int32_t pictures;
    int32_t heads;
    int32_t head_size;      // even
    const int64_t* starts;  // [pictures + 1] first token of each
    const float* cosines;   // [tokens, head size / 2]
    const float* sines;
    float scale;
    uint16_t* y;  // [tokens, heads, head size]
};

enum Kind : int32_t {
    LINEAR = 0,
    ROUTE = 1,
    EXPERTS = 2,
    HEADS_TO_CACHE = 3,
    ATTENTION = 4,
    MANY_ATTENTION = 5,
    HEAD = 6,
    PICTURE_ATTENTION = 7,
    LOOKUP = 8
};

struct Operation {
    int32_t kind;
    const void* call;
};

// Memory that stays between calls, so that none is asked for within one.
template <typename T>
T* grown(std::vector<T>& kept, size_t count) {
    if (kept.size() < count) kept.resize(count);
    return kept.data();
}

// The same, from the beginning of a cache line on.
template <typename T>
T* grown_aligned(std::vector<T>& kept, size_t count) {
    constexpr size_t LINE = 64;
    const size_t start = reinterpret_cast<size_t>(grown(kept, count + LINE / sizeof(T)));
    return reinterpret_cast<T*>((start + LINE - 1) / LINE * LINE);
}

struct Quantized {
    std::vector<int8_t> codes;
    std::vector<float> scales;
    std::vector<int32_t> sums;
    std::vector<uint16_t> tiles;

    // A cache line between rows: where they are a power of two apart, few of them fit the cache at once.
    static int stride(int columns) { return columns + 64; }

    // Likewise between the groups' scales of many rows. Those of few lie close together: a line for each scale, and one for
    // each sum, would take half of a core's nearest cache from what streams through it.
    static int pitch(int rows) { return rows < WHOLE_ROWS ? rows : rows + WHOLE_ROWS; }

    // Room for rows that meet a matrix, as bytes, and in tiles where there are `least_wide` or more; `all`: then all of them
    // are in tiles, none as bytes.
    Activations view(int rows, const Matrix& matrix, int least_wide, bool all) {
        const int columns = matrix.padded_columns(), groups = matrix.groups(), pitched = pitch(rows);
        const bool wide = rows >= least_wide;
        const size_t whole = round_up(rows, WHOLE_ROWS), bytes = wide && all ? 0 : rows;
        return {grown(codes, bytes * stride(columns)),
                grown(scales, bytes ? size_t(pitched) * groups : 0),
                grown(sums, bytes ? size_t(pitched) * groups : 0),
                wide ? grown_aligned(tiles, whole * columns) : nullptr,
                columns,
                stride(columns),
                groups,
                matrix.group,
                pitched};
    }
};

// What the threads of a call share besides its arguments.
struct Scratch {
    Quantized input, hidden;
    std::vector<float> rows, normed;
    std::vector<int> chosen;
    std::vector<uint16_t> packed;
};

// Before the threads start, `reserve` makes room for a call; then all of them `run` it. What follows waits first.
void reserve(const Kernels& kernels, const Linear& call, Scratch& scratch);
void reserve(const Kernels& kernels, const Route& call, Scratch& scratch);
void reserve(const Kernels& kernels, const Experts& call, Scratch& scratch);
void reserve(const Kernels& kernels, const HeadsToCache& call, Scratch& scratch);
void reserve(const Kernels& kernels, const Attention& call, Scratch& scratch);
void reserve(const Kernels& kernels, const ManyAttention& call, Scratch& scratch);
void reserve(const Kernels& kernels, const Head& call, Scratch& scratch);
void reserve(const Kernels& kernels, const PictureAttention& call, Scratch& scratch);
void reserve(const Kernels& kernels, const Lookup& call, Scratch& scratch);

void run(const Kernels& kernels, const Linear& call, Scratch& scratch, const Team& team);
void run(const Kernels& kernels, const Route& call, Scratch& scratch, const Team& team);
void run(const Kernels& kernels, const Experts& call, Scratch& scratch, const Team& team);
void run(const Kernels& kernels, const HeadsToCache& call, Scratch& scratch, const Team& team);
void run(const Kernels& kernels, const Attention& call, Scratch& scratch, const Team& team);
void run(const Kernels& kernels, const ManyAttention& call, Scratch& scratch, const Team& team);
void run(const Kernels& kernels, const Head& call, Scratch& scratch, const Team& team);
void run(const Kernels& kernels, const PictureAttention& call, Scratch& scratch, const Team& team);
void run(const Kernels& kernels, const Lookup& call, Scratch& scratch, const Team& team);

}  // namespace qwen3vl
