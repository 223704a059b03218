// What the kernels share: how a matrix of small integers lies in memory, and activations quantised to meet it.
//
// A matrix [rows, columns] is stored in blocks of 16 rows, so that one 512-bit register holds the same columns of 16
// outputs and no product needs a horizontal sum. A block is its codes, then its scales, then (where the matrix has
// them) its zero points:
//   int8: for each 4 columns 64 bytes, byte 4 r + j = the code of row r, column j;
//   int4: for each 8 columns 64 bytes, byte 4 r + j = column j of row r in the low half, column 4 + j in the high half;
//   scales: for each group of columns 16 half-precision numbers; zero points: for each group 16 bytes.
// value = scale * (code - zero); without zero points zero is 8 for int4 and 128 for int8. Rows are padded to 16 (in a
// matrix of two halves, such as gate and up, each half by itself), columns to whole groups, with zeros of value.
#pragma once

#include <cstddef>
#include <cstdint>

namespace qwen3vl {

enum Format : int32_t { INT8 = 8, INT4 = 4 };
enum Level : int32_t { NONE = 0, AVX2 = 1, AVX512 = 2, AMX = 3 };
enum Epilogue : int32_t { STORE = 0, ADD = 1, SWIGLU = 2 };

constexpr int LANES = 16;

// As Python hands it over.
struct Matrix {
    const uint8_t* data;
    int32_t rows;     // of one half, not padded
    int32_t columns;  // not padded
    int32_t halves;   // 1 or 2
    int32_t group;    // columns that share a scale; a multiple of 8
    int32_t format;
    int32_t has_zeros;

    int groups() const { return (columns + group - 1) / group; }
    int padded_columns() const { return groups() * group; }
    int half_blocks() const { return (rows + LANES - 1) / LANES; }
    int blocks() const { return half_blocks() * halves; }
    size_t code_bytes() const { return size_t(padded_columns()) * LANES * format / 8; }
    size_t scale_bytes() const { return size_t(groups()) * LANES * 2; }
    size_t block_bytes() const { return code_bytes() + scale_bytes() + (has_zeros ? size_t(groups()) * LANES : 0); }
    size_t bytes() const { return block_bytes() * blocks(); }
    const uint8_t* block(int index) const { return data + block_bytes() * index; }
};

// Rows of activations as signed bytes, each group with a scale and the negated sum of its bytes (which meets the zero
// points). Those of neighbouring rows lie next to each other.
struct Activations {
    int8_t* codes;   // [rows, stride], of which `columns`, the padded ones, are used
    float* scales;   // [groups, pitch]: pitch is the number of rows or more
    int32_t* sums;   // [groups, pitch]
    int columns, stride, groups, group, pitch;
};

// One block's pieces; `codes` may point to an unpacked copy.
struct Block {
    const uint8_t* codes;
    const uint16_t* scales;
    const uint8_t* zeros;  // or null: all are `zero`
    int32_t zero;
};

inline Block block_of(const Matrix& matrix, int index) {
    const uint8_t* start = matrix.block(index);
    const uint8_t* scales = start + matrix.code_bytes();
    return {start, reinterpret_cast<const uint16_t*>(scales),
            matrix.has_zeros ? scales + matrix.scale_bytes() : nullptr, matrix.format == INT4 ? 8 : 128};
}

// The paged cache of a layer: keys and values [blocks, block size, kv heads, head size], as bfloat16, or as bytes with a
// scale for each token and head [blocks, block size, kv heads].
struct Cache {
    void* keys;
    void* values;
    float* key_scales;  // null: bfloat16
    float* value_scales;
    int32_t block_size;
    int32_t kv_heads;
    int32_t head_size;  // a multiple of 16
};

// Consecutive tokens of a sequence with their queries of one key head: up to `QUERIES` of them.
struct Queries {
    const float* queries;  // of the first token and head; `stride` to the next token, the head's size to the next head
    float* y;              // likewise
    size_t stride;
    int tokens, heads;
    int first_place;  // of the first token: it sees the keys up to there
};

constexpr int QUERIES = 64;
constexpr int TILE = 64;  // keys that are looked at together

// What an instruction set provides. All work on rows that are a thread's own.
struct Kernels {
    // out[row][lane] for up to `MOST_ROWS` rows and `count` blocks: out is [rows, count * 16], count 1, 2 or 4.
    void (*tile)(const Block* blocks, int count, int format, const Activations& x, int first_row, int rows, float* out);
    // The same for many rows, up to `wide_rows` of them and one or two blocks, over codes that `unpack` has laid out.
    // From `least_wide` rows on that is worth the unpacking. Room must be behind `out` and behind the activations for
    // `wide_rows` whole rows.
    void (*wide)(const Block* blocks, int count, const Activations& x, int first_row, int rows, float* out);
    // `count` codes of a block, one a byte.
    void (*unpack)(const uint8_t* codes, int format, size_t count, uint8_t* out);
    int wide_rows;
    int least_wide;
    int kept_bytes;  // of activations that are worth keeping in a core's cache while the matrix passes by
    // A row of `used` columns to bytes; those beyond become 0.
    void (*quantize)(const float* x, int used, const Activations& to, int row);
    // x * weight / rms(x)
    void (*rms_norm)(const float* x, const float* weight, float eps, int columns, float* out);
    float (*dot)(const float* x, const float* y, int count);
    // silu(gate) * up
    void (*swiglu)(const float* gate, const float* up, int count, float* out);
    // y = values + bias + residual, of which either may be null; y += weight * values
    void (*store_sum)(const float* values, const float* bias, const float* residual, int count, float* y);
    void (*add_weighted)(const float* values, float weight, int count, float* y);
    // Up to `MOST_SHARED` queries of one key head over the keys first .. last of a sequence: unnormalised sums of values
    // [count, head size], and the maximum and sum of each query's exponentials.
    void (*attend)(const Cache& cache, const int64_t* table, int head, const float* queries, int count, int first,
                   int last, float scale, float* out, float* maximum, float* total);
    // Some queries over all keys that they see. room: `many_floats` numbers.
    void (*attend_many)(const Cache& cache, const int64_t* table, int head, const Queries& some, float scale,
                        float* room);
    // Writes one head of a token's key or value to its slot.
    void (*store_head)(const Cache& cache, bool key, int64_t slot, int head, const float* values);
    // Norm, then the rotary turn by half the head's size of angles.
    void (*turn_head)(const float* x, const float* weight, float eps, const float* cosines, const float* sines,
                      int size, float* out);
    // Codes of one group by the search of `packed.choose_codes`; returns its scale in half precision.
    uint16_t (*choose_group)(const float* x, int group, int bits, int tries, float widest, float narrowest,
                             uint8_t* codes);
};

constexpr int MOST_ROWS = 8;
constexpr int MOST_WIDE = 32;
constexpr int NEVER = 1 << 30;
constexpr int MOST_SHARED = 16;
constexpr int MOST_HEAD = 512;

constexpr size_t many_floats(int head_size) {
    return size_t(head_size) * (2 * QUERIES + 2 * TILE) + QUERIES * TILE;
}

const Kernels* avx2_kernels();
const Kernels* avx512_kernels();
const Kernels* amx_kernels();  // null: the compiler knows no tiles, or the system does not lend them

// The kernels of a level; null where this processor lacks it.
const Kernels* kernels_of(int level);

}  // namespace qwen3vl
