// What the kernels share: how a matrix of small integers lies in memory, and activations quantised to meet it.
//
// A matrix [rows, columns] is stored in blocks of 16 rows, so that one 512-bit register holds the same columns of 16
// outputs and no product needs a horizontal sum. A block is its groups of columns, and a group its codes, then its
// scales. So a product of few rows reads its matrix from one end to the other, which is what processors foresee best:
//   int8: for each 4 columns 64 bytes, byte 4 r + j = the code of row r, column j;
//   int4: for each 8 columns 64 bytes, byte 4 r + j = column j of row r in the low half, column 4 + j in the high half;
//   scales: 16 half-precision numbers.
// value = scale * (code - middle), 8 for int4 and 128 for int8. Rows are padded to 16 (in a
// matrix of two halves, such as gate and up, each half by itself), columns to whole groups, with zeros of value.
//
// A matrix of floats is stored as checkpoints have it, row after row, and nothing is padded.
#pragma once

#include <cstddef>
#include <cstdint>

namespace qwen3vl {

enum Format : int32_t { FLOAT32 = 32, BFLOAT16 = 16, INT8 = 8, INT4 = 4 };
enum Level : int32_t { NONE = 0, AVX2 = 1, AVX512 = 2, AMX = 3 };

constexpr int LANES = 16;
constexpr int WHOLE_ROWS = 16, WIDE_DEPTH = 32;  // of a tile of bfloat16

constexpr int round_up(int count, int multiple) { return (count + multiple - 1) / multiple * multiple; }

// As Python hands it over.
struct Matrix {
    const uint8_t* data;
    int32_t rows;     // of one half, not padded
    int32_t columns;  // not padded
    int32_t halves;   // 1 or 2
    int32_t group;    // columns that share a scale: 32, 64 or 128
    int32_t format;   // FLOAT32, INT8 or INT4; in `lookup` BFLOAT16 too, which has rows alone

    int groups() const { return (columns + group - 1) / group; }
    int padded_columns() const { return round_up(columns, group); }
    int half_blocks() const { return (rows + LANES - 1) / LANES; }
    int blocks() const { return half_blocks() * halves; }
    int code_bytes() const { return group * LANES * format / 8; }  // of a group
    int group_bytes() const { return code_bytes() + 2 * LANES; }
    size_t block_bytes() const { return size_t(groups()) * group_bytes(); }
    size_t bytes() const {
        return format == FLOAT32 ? size_t(rows) * halves * columns * sizeof(float) : block_bytes() * blocks();
    }
    const uint8_t* block(int index) const { return data + block_bytes() * index; }
    const float* row(int index) const { return reinterpret_cast<const float*>(data) + size_t(columns) * index; }
};

// Rows of activations as signed bytes, each group with a scale and the negated sum of its bytes (which meets the middle
// of the codes). Those of neighbouring rows lie next to each other. Or, for products of many rows, as bfloat16 in tiles of
// 16 rows by 32 columns: [rows / 16, columns / 32, 16, 32].
struct Activations {
    int8_t* codes;   // [rows, stride], of which `columns`, the padded ones, are used
    float* scales;   // [groups, pitch]: pitch is the number of rows or more
    int32_t* sums;   // [groups, pitch]
    uint16_t* tiles;  // or null: no product takes them
    int columns, stride, groups, group, pitch;

    bool in_tiles(int rows, int least_wide) const { return tiles && rows >= least_wide; }
};

// One block's pieces.
struct Block {
    const uint8_t* data;
    int code_bytes, group_bytes;

    const uint8_t* codes(int group) const { return data + size_t(group) * group_bytes; }
    const uint16_t* scales(int group) const { return reinterpret_cast<const uint16_t*>(codes(group) + code_bytes); }
};

inline Block block_of(const Matrix& matrix, int index) {
    return {matrix.block(index), matrix.code_bytes(), matrix.group_bytes()};
}

// The paged cache of a layer: keys and values [blocks, kv heads, block size, head size], as floats, as bfloat16, or as
// bytes with a scale for each token and head [blocks, kv heads, block size].
struct Cache {
    void* keys;
    void* values;
    float* key_scales;  // of bytes
    float* value_scales;
    int32_t block_size;
    int32_t kv_heads;
    int32_t head_size;  // a multiple of 16
    int32_t format;     // FLOAT32, BFLOAT16 or INT8

    size_t row(int64_t block, int head, int offset) const {
        return (size_t(block) * kv_heads + head) * block_size + offset;
    }
};

// Keys first .. last of a sequence, of one head.
struct Stretch {
    const int64_t* table;
    int head, first, last;
};

// Consecutive tokens of a sequence with their queries of one key head: up to `QUERIES` of them.
struct Queries {
    const float* queries;  // of the first token and head; `stride` to the next token, the head's size to the next head
    float* y;              // likewise
    size_t stride;
    int tokens, heads;
    int first_place;  // of the first token: it sees the keys up to there
};

// A head of a picture in bfloat16: its tokens see each other, whatever their order.
struct Picture {
    const uint16_t* qkv;    // the head's query of the first token; its key and value stand `hidden` and twice that behind
    const float* cosines;   // [length, size / 2]
    const float* sines;
    uint16_t* keys;         // packed: [blocks of 16 tokens][deep size / 2][16][2]
    uint16_t* values;       // packed: [pairs of tokens][padded size][2]; both are 0 behind the last, up to a whole tile
    uint16_t* y;            // of the first token
    size_t stride;          // from a token's query to the next
    int hidden;             // from a token's y to the next
    int length, size;

    static int padded_size(int size) { return round_up(size, LANES); }    // of a value
    static int deep_size(int size) { return round_up(size, WIDE_DEPTH); }  // of a key
};

// Codes and scales of a matrix.
struct Choice {
    const float* x;  // [rows, columns], columns a multiple of group
    int32_t rows;
    int32_t columns;
    int32_t group;
    int32_t middle;  // the code of zero
    int32_t low;     // the least and the largest code, from the middle
    int32_t high;
    int32_t tries;
    float widest;
    float narrowest;
    uint8_t* codes;    // [rows, columns]
    uint16_t* scales;  // [rows, columns / group]
};

constexpr int QUERIES = 64;
constexpr int TILE = 64;  // keys that are looked at together

// What an instruction set provides. All work on rows that are a thread's own.
struct Kernels {
    // out[row][lane] for up to `MOST_ROWS` rows and `MOST_BLOCKS` blocks: out is [rows, count * 16].
    void (*tile)(const Block* blocks, int count, int format, const Activations& x, int first_row, int rows, float* out);
    // The same for up to `WIDE_ROWS` rows and `WIDE_BLOCKS` blocks: x is rows in tiles. `x` and `out` have room for rows up
    // to the next multiple of `WHOLE_ROWS`.
    void (*wide)(const Matrix& matrix, const int* blocks, int count, const uint16_t* x, int rows, float* out);
    // A row of `used` numbers, and zeros up to `columns`, into tiles (`Activations`).
    void (*round_row)(const float* x, int used, int columns, uint16_t* tiles, int row);
    int least_wide;
    // A row of `used` columns to bytes; those beyond become 0.
    void (*quantize)(const float* x, int used, const Activations& to, int row);
    // x * weight / rms(x)
    void (*rms_norm)(const float* x, const float* weight, float eps, int columns, float* out);
    float (*dot)(const float* x, const float* y, int count);
    // out[row][lane]: products of up to `MOST_ROWS` rows with up to 16 rows of a matrix of floats. out is [rows, 16].
    void (*dots)(const float* matrix, int columns, int count, const float* const* x, int rows, float* out);
    // silu(gate) * up
    void (*swiglu)(const float* gate, const float* up, int count, float* out);
    // y = values + bias + residual, of which either may be null; y += weight * values
    void (*store_sum)(const float* values, const float* bias, const float* residual, int count, float* y);
    void (*add_weighted)(const float* values, float weight, int count, float* y);
    // y = values; returns the largest of them, past what is not a number
    float (*store_largest)(const float* values, int count, float* y);
    // Up to `MOST_SHARED` queries over the keys of a stretch: unnormalised sums of values [count, head size], and the
    // maximum and sum of each query's exponentials. `after`: the keys that will be wanted next.
    void (*attend)(const Cache& cache, const Stretch& keys, const Stretch& after, const float* queries, int count,
                   float scale, float* out, float* maximum, float* total);
    // Some queries over all keys that they see. room: `many_floats` numbers.
    void (*attend_many)(const Cache& cache, const int64_t* table, int head, const Queries& some, float scale,
                        float* room);
    // The same in products of bfloat16, over a cache of bfloat16 or bytes. Null: as with `pack_keys`.
    void (*attend_many_bfloat16)(const Cache& cache, const int64_t* table, int head, const Queries& some, float scale,
                                 float* room);
    // Writes one head of a token's key or value to its slot.
    void (*store_head)(const Cache& cache, bool key, int64_t slot, int head, const float* values);
    // Norm, then the rotary turn by half the head's size of angles.
    void (*turn_head)(const float* x, const float* weight, float eps, const float* cosines, const float* sines,
                      int size, float* out);
    // Turns the keys of the tokens first .. last, of which the first is a multiple of `WIDE_DEPTH`, and packs them and their
    // values; what is behind the last, up to a whole tile, becomes 0. Null: the processor or the compiler knows no products
    // of bfloat16.
    void (*pack_keys)(const Picture& picture, int first, int last);
    // `count` queries, up to `QUERIES`, over all of the picture's keys, which are packed.
    void (*attend_picture)(const Picture& picture, float scale, int first, int count);
    // Codes of one group by the search of `packed.choose_codes`; returns its scale in half precision.
    uint16_t (*choose_group)(const Choice& choice, const float* x, uint8_t* codes);
};

constexpr int MOST_ROWS = 8;
constexpr int MOST_BLOCKS = 2;  // at once: with the sums of `MOST_ROWS` rows they fill the registers
// Of 2,048 columns so many rows fill half of a core's second cache, and their results with so many blocks an eighth, so that
// they stay there while all blocks pass by: coming from the third cache again takes longer than to unpack the blocks again
// for other rows. Of more columns they do not stay.
constexpr int WIDE_ROWS = 256, WIDE_BLOCKS = 16;
constexpr int NEVER = 1 << 30;
constexpr int MOST_SHARED = 16;
constexpr int MOST_HEAD = 512;

constexpr size_t many_floats(int head_size) {
    return size_t(head_size) * (2 * QUERIES + 2 * TILE) + QUERIES * TILE;
}

void add_bfloat16(Kernels& kernels);  // what needs its products
void add_tiles(Kernels& kernels);     // the same in tiles
const Kernels* avx2_kernels();
const Kernels* avx512_kernels();
const Kernels* amx_kernels();  // null: the compiler knows no tiles, or the system does not lend them

// The kernels of a level; null where this processor lacks it.
const Kernels* kernels_of(int level);

}  // namespace qwen3vl
