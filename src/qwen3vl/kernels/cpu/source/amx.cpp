// AMX: products of whole tiles of bfloat16, 16 rows of activations by 16 outputs by 32 columns an instruction, for many rows.
// What is not a product of many rows is AVX-512's.
//
// Tiles know bytes too, at twice the rate, but then the sums of each group of columns have to leave the tiles for their
// scales, which takes several times as long as the products. As bfloat16 a weight carries its scale, and sums stay in
// tiles over hundreds of columns. It is also the more exact: activations keep 8 bits each, whatever their neighbours are.
#if defined(__x86_64__) && __GNUC__ >= 11  // the first that knows tiles
#pragma GCC target("avx512f,avx512bw,avx512vl,avx512dq,avx512vnni,avx512bf16,f16c,fma,amx-tile,amx-bf16")
#include <cpuid.h>
#include <immintrin.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <algorithm>

#include "tiles.h"

namespace qwen3vl {
namespace {

constexpr int LEAST_WIDE = 25;  // rows, for which VNNI unpacks a fourth time; with 24 neither is faster at all hours
constexpr int CHUNK = 512;      // columns: of two blocks, as bfloat16, two thirds of the first cache; 256 are no faster
constexpr int FEW_CHUNK = 128;  // where all rows' sums stay in tiles: then what is unpacked stays in the first cache
constexpr int STEP_BYTES = 64;  // of codes that are unpacked at once
constexpr int TILE_NUMBERS = WHOLE_ROWS * WIDE_DEPTH;
// Tiles 0 to 3 are sums: of the first rows with both blocks, then of the second. 4 and 5 are rows, 6 and 7 blocks. Or 4 and 5
// are sums of third rows: then 6 is rows, 7 a block.

// Column 0 .. 7 (int8: 0 .. 3) of each of a vector's outputs, as a float that is too large by a power of two: the code is
// put where the mantissa of that power has its ones.
template <int FORMAT, int COLUMN>
inline __m512 code(__m512i packed) {
    constexpr int PLACE = FORMAT == INT4 ? 16 : 15;
    constexpr int AT = FORMAT == INT4 ? COLUMN % 4 * 8 + COLUMN / 4 * 4 : COLUMN * 8;
    constexpr int MASK = (FORMAT == INT4 ? 0xf : 0xff) << PLACE, POWER = FORMAT == INT4 ? 0x43000000 : 0x43800000;
    const __m512i moved = AT < PLACE ? _mm512_slli_epi32(packed, AT < PLACE ? PLACE - AT : 0)
                                     : _mm512_srli_epi32(packed, AT < PLACE ? 0 : AT - PLACE);
    return _mm512_castsi512_ps(
        _mm512_ternarylogic_epi32(moved, _mm512_set1_epi32(MASK), _mm512_set1_epi32(POWER), 0xea));  // (a & b) | c
}

// Two neighbouring columns, rounded, next to each other.
inline __m512i pair(__m512 even, __m512 odd) {
    const __m512i half = _mm512_set1_epi32(0x8000);
    const __m512i low = _mm512_srli_epi32(_mm512_add_epi32(_mm512_castps_si512(even), half), 16);
    const __m512i high = _mm512_add_epi32(_mm512_castps_si512(odd), half);
    return _mm512_ternarylogic_epi32(high, _mm512_set1_epi32(int(0xffff0000)), low, 0xea);
}

template <int FORMAT, int COLUMN>
inline void unpack_two(__m512i packed, __m512 scale, __m512 offset, uint16_t* out) {
    const __m512 even = _mm512_fmadd_ps(code<FORMAT, COLUMN>(packed), scale, offset);
    const __m512 odd = _mm512_fmadd_ps(code<FORMAT, COLUMN + 1>(packed), scale, offset);
    _mm512_store_si512(out + COLUMN * LANES, pair(even, odd));
}

// Some columns of up to two blocks, and where they go as bfloat16: for each two columns 64 bytes, 2 of each of the 16 outputs.
struct Pair {
    Block blocks[2];
    int count, at;  // the latter: of the first, among those that are asked for
    int format, group, first, columns;
    uint16_t* out;  // [2][CHUNK][16]

    int step() const { return format == INT4 ? 8 : 4; }  // columns in `STEP_BYTES`
    int steps() const { return count * columns / step(); }

    // Unpacks some steps, and has as much of `later` brought into the second cache.
    void unpack(int from, int to, const Pair& later) const {
        while (from < to) from += format == INT4 ? unpack_some<INT4>(from, to, later) : unpack_some<INT8>(from, to, later);
    }

  private:
    struct Place {
        int block, column;  // the latter from `first` on
        int inside;         // columns before it in its group
        const uint8_t* group;
    };

    Place place(int index) const {
        const int each = columns / step(), block = index >= each, column = (index - block * each) * step();
        const int k = first + column;  // a group has a power of two of columns
        return {block, column, k & (group - 1), blocks[block].codes(k >> __builtin_ctz(group))};
    }

    // Steps up to the end of a group; returns their number.
    template <int FORMAT>
    int unpack_some(int from, int to, const Pair& later) const {
        constexpr int STEP = FORMAT == INT4 ? 8 : 4, BYTES = STEP_BYTES / STEP;  // of a column of 16 outputs
        constexpr float MIDDLE = FORMAT == INT4 ? 128 + 8 : 256 + 128;
        const Place at = place(from);
        const int some = std::min(to - from, (group - at.inside) / STEP);
        const uint8_t *codes = at.group + at.inside * BYTES, *ahead = codes;
        if (from < later.steps()) {
            const Place then = later.place(from);
            ahead = then.group + then.inside * BYTES;
        }
        const auto* scales = reinterpret_cast<const __m256i*>(at.group + blocks[0].code_bytes);
        const __m512 scale = _mm512_cvtph_ps(_mm256_loadu_si256(scales));
        const __m512 offset = _mm512_mul_ps(scale, _mm512_set1_ps(-MIDDLE));
        uint16_t* to_columns = out + (at.block * CHUNK + at.column) * LANES;
        for (int i = 0; i < some; ++i, codes += STEP_BYTES, ahead += STEP_BYTES, to_columns += STEP * LANES) {
            _mm_prefetch(reinterpret_cast<const char*>(ahead), _MM_HINT_T1);
            const __m512i packed = _mm512_loadu_si512(codes);
            unpack_two<FORMAT, 0>(packed, scale, offset, to_columns);
            unpack_two<FORMAT, 2>(packed, scale, offset, to_columns);
            if constexpr (FORMAT == INT4) {
                unpack_two<FORMAT, 4>(packed, scale, offset, to_columns);
                unpack_two<FORMAT, 6>(packed, scale, offset, to_columns);
            }
        }
        return some;
    }
};

// A product over some of the columns, of all. `held`: sums stay in tiles from the first columns to the last, else in memory.
struct Part {
    bool first, last, held;
};

// out[16 R][stride] = (or +=) products of R times 16 rows with C blocks over some columns. x: of the first tile; `next_rows`
// numbers to the tile of the 16 rows below. Beside that, `each` steps of unpacking `next` from `from` on for each tile of
// columns: tiles have a unit of their own, and vectors have nothing else to do.
template <int R, int C>
void products(const uint16_t* x, size_t next_rows, const uint16_t* weights, int columns, Part part, float* out,
              size_t stride, const Pair& next, const Pair& after, int from, int each) {
    finish_stores();
    const size_t bytes = stride * sizeof(float);
    float *below = out + WHOLE_ROWS * stride, *third = below + WHOLE_ROWS * stride;
    if (part.first) {
        _tile_zero(0);
        _tile_zero(1);
        _tile_zero(2);
        _tile_zero(3);
        _tile_zero(4);
        _tile_zero(5);
    } else if (!part.held) {
        _tile_loadd(0, out, bytes);
        if (C == 2) _tile_loadd(1, out + LANES, bytes);
        if (R == 2) _tile_loadd(2, below, bytes);
        if (R == 2 && C == 2) _tile_loadd(3, below + LANES, bytes);
    }
    for (int k = 0; k < columns; k += WIDE_DEPTH, x += TILE_NUMBERS, weights += TILE_NUMBERS) {
        if (R == 3) {
            _tile_loadd(7, weights, TILE_BYTES);
            _tile_loadd(6, x, TILE_BYTES);
            _tile_dpbf16ps(0, 6, 7);
            _tile_loadd(6, x + next_rows, TILE_BYTES);
            _tile_dpbf16ps(2, 6, 7);
            _tile_loadd(6, x + 2 * next_rows, TILE_BYTES);
            _tile_dpbf16ps(4, 6, 7);
            if (C == 2) {
                _tile_loadd(7, weights + CHUNK * LANES, TILE_BYTES);
                _tile_dpbf16ps(5, 6, 7);
                _tile_loadd(6, x + next_rows, TILE_BYTES);
                _tile_dpbf16ps(3, 6, 7);
                _tile_loadd(6, x, TILE_BYTES);
                _tile_dpbf16ps(1, 6, 7);
            }
        } else {
            _tile_loadd(6, weights, TILE_BYTES);
            _tile_loadd(4, x, TILE_BYTES);
            _tile_dpbf16ps(0, 4, 6);
            if (C == 2) {
                _tile_loadd(7, weights + CHUNK * LANES, TILE_BYTES);
                _tile_dpbf16ps(1, 4, 7);
            }
            if (R == 2) {
                _tile_loadd(5, x + next_rows, TILE_BYTES);
                _tile_dpbf16ps(2, 5, 6);
                if (C == 2) _tile_dpbf16ps(3, 5, 7);
            }
        }
        next.unpack(from, std::min(from + each, next.steps()), after);
        from += each;
    }
    if (part.held && !part.last) return;
    _tile_stored(0, out, bytes);
    if (C == 2) _tile_stored(1, out + LANES, bytes);
    if (R >= 2) _tile_stored(2, below, bytes);
    if (R >= 2 && C == 2) _tile_stored(3, below + LANES, bytes);
    if (R == 3) _tile_stored(4, third, bytes);
    if (R == 3 && C == 2) _tile_stored(5, third + LANES, bytes);
}

constexpr decltype(&products<1, 1>) PRODUCTS[2][3] = {{products<1, 1>, products<2, 1>, products<3, 1>},
                                                       {products<1, 2>, products<2, 2>, products<3, 2>}};

// Two blocks at a time meet all rows, over a chunk of columns, whose weights stay near. Meanwhile the next two are unpacked,
// and the two after those fetched: they may lie in another place of memory, which no processor foresees.
//
// Up to 48 rows have all their sums in tiles, so that a pair of blocks goes through its chunks at once. Of more rows a chunk
// meets all blocks before the next: it stays in the second cache meanwhile.
void wide(const Matrix& matrix, const int* blocks, int count, const uint16_t* x, int rows, float* out) {
    alignas(64) uint16_t weights[2][2 * CHUNK * LANES];
    const Tiles tiles;
    const bool held = rows <= 3 * WHOLE_ROWS;
    const int columns = matrix.padded_columns(), rounds = held ? 1 : (rows + 2 * WHOLE_ROWS - 1) / (2 * WHOLE_ROWS);
    const int chunk = held ? FEW_CHUNK : CHUNK, chunks = (columns + chunk - 1) / chunk;
    const int pairs = (count + 1) / 2, units = pairs * chunks;
    const size_t stride = size_t(count) * LANES, next_rows = size_t(columns) * WHOLE_ROWS;
    const auto pair_of = [&](int unit) {  // none after the last
        const int first = (held ? unit % chunks : unit / pairs) * chunk, b = (held ? unit / chunks : unit % pairs) * 2;
        Pair pair{{}, 0, b, matrix.format, matrix.group, first, std::min(chunk, columns - first), weights[unit % 2]};
        if (unit >= units) return pair;
        pair.count = std::min(2, count - b);
        for (int i = 0; i < pair.count; ++i) pair.blocks[i] = block_of(matrix, blocks[b + i]);
        return pair;
    };
    Pair now = pair_of(0), next = pair_of(1);
    now.unpack(0, now.steps(), next);
    for (int unit = 0; unit < units; ++unit) {
        const Pair after = pair_of(unit + 2);
        const Part part{now.first == 0, now.first + now.columns == columns, held};
        const int depth = now.columns / WIDE_DEPTH, each = (next.steps() + depth * rounds - 1) / (depth * rounds);
        for (int round = 0; round < rounds; ++round) {
            const int row = 2 * WHOLE_ROWS * round;
            const uint16_t* from = x + size_t(columns) * row + size_t(now.first) * WHOLE_ROWS;
            const int some = std::min(rows - row, (held ? 3 : 2) * WHOLE_ROWS);
            const auto multiply = PRODUCTS[now.count - 1][(some - 1) / WHOLE_ROWS];
            multiply(from, next_rows, now.out, now.columns, part, out + stride * row + now.at * LANES, stride, next, after,
                     round * depth * each, each);
        }
        now = next, next = after;
    }
}

// A row of `used` numbers, and zeros up to `columns`, into tiles of 16 rows by 32 columns.
void round_row(const float* x, int used, int columns, uint16_t* tiles, int row) {
    uint16_t* to = tiles + size_t(row / WHOLE_ROWS) * WHOLE_ROWS * columns + row % WHOLE_ROWS * WIDE_DEPTH;
    for (int k = 0; k < columns; k += LANES) {
        const int left = std::min(std::max(used - k, 0), LANES);
        const __m512 values = _mm512_maskz_loadu_ps(__mmask16((1u << left) - 1), x + k);
        uint16_t* place = to + size_t(k / WIDE_DEPTH) * TILE_NUMBERS + k % WIDE_DEPTH;
        _mm256_storeu_si256(reinterpret_cast<__m256i*>(place), (__m256i)_mm512_cvtneps_pbh(values));
    }
}

// Linux lends the tiles' registers to a process that asks.
bool lent() {
    constexpr int ASK = 0x1023, TILE_DATA = 18;  // ARCH_REQ_XCOMP_PERM, XFEATURE_XTILEDATA
    unsigned a = 0, b = 0, c = 0, d = 0;
    if (!__get_cpuid_count(7, 0, &a, &b, &c, &d)) return false;
    constexpr unsigned TILES = 1u << 24, PRODUCTS = 1u << 22;  // of bfloat16
    const bool there = (d & TILES) && (d & PRODUCTS) && __builtin_cpu_supports("avx512bf16");
    return there && syscall(SYS_arch_prctl, ASK, TILE_DATA) == 0;
}

Kernels with_tiles() {
    Kernels kernels = *avx512_kernels();
    kernels.wide = wide;
    kernels.round_row = round_row;
    kernels.least_wide = LEAST_WIDE;
    add_tiles(kernels);
    return kernels;
}

}  // namespace

const Kernels* amx_kernels() {
    static const Kernels kernels = with_tiles();
    static const bool there = lent();
    return there ? &kernels : nullptr;
}

}  // namespace qwen3vl
#else
#include "matrix.h"

namespace qwen3vl {
const Kernels* amx_kernels() { return nullptr; }
}  // namespace qwen3vl
#endif
