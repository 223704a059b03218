// AMX: products of whole tiles of bytes, 16 rows of activations by 16 outputs by up to 64 columns an instruction. What is
// not a product of many rows is AVX-512's.
//
// The layout of packed matrices is that of a tile: for each 4 columns 64 bytes, 4 of each of the 16 outputs.
#if defined(__x86_64__) && __GNUC__ >= 11  // the first that knows tiles
#pragma GCC target("avx512f,avx512bw,avx512vl,avx512dq,avx512vnni,f16c,fma,amx-tile,amx-int8")
#include <cpuid.h>
#include <immintrin.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "matrix.h"

namespace qwen3vl {
namespace {

constexpr int LEAST_WIDE = 64;  // rows: of 16 and 32 tiles are slower than VNNI, of 64 a little faster
constexpr int TILE_ROWS = WHOLE_ROWS, TILE_BYTES = 64;
// Tiles 0 and 1 are sums, 4 and 5 rows of activations, 6 and 7 codes of outputs.

struct alignas(64) Shapes {  // as the processor reads it
    uint8_t palette = 1;
    uint8_t start = 0;
    uint8_t reserved[14] = {};
    uint16_t bytes[16] = {};  // of a row
    uint8_t rows[16] = {};

    explicit Shapes(int depth) {
        for (int tile = 0; tile < 8; ++tile) {
            bytes[tile] = uint16_t(tile == 4 || tile == 5 ? depth : TILE_BYTES);
            rows[tile] = uint8_t(tile >= 6 ? depth / 4 : TILE_ROWS);
        }
    }
};

// Columns of a tile: a group is a whole number of them.
int depth_of(int group) {
    int depth = TILE_BYTES;
    while (group % depth) depth /= 2;
    return depth;
}

typedef int32_t Sums[TILE_ROWS][LANES];

// The sums of one group, for 16 rows and one block. Even and odd groups have tiles of their own, whose numbers an
// instruction spells out, so that neither waits for the other.
#define GROUP_SUMS(NAME, SUMS, ROWS, CODES)                                                                          \
    inline void NAME(const Block& block, const int8_t* rows, long stride, int g, int group, int depth, Sums& sums) { \
        _tile_zero(SUMS);                                                                                            \
        for (int k = g * group; k < (g + 1) * group; k += depth) {                                                   \
            _tile_loadd(ROWS, rows + k, stride);                                                                     \
            _tile_loadd(CODES, block.unpacked + size_t(k) * LANES, TILE_BYTES);                                      \
            _tile_dpbssd(SUMS, ROWS, CODES);                                                                         \
        }                                                                                                            \
        _tile_stored(SUMS, sums, TILE_BYTES);                                                                        \
    }
GROUP_SUMS(even_group, 0, 4, 6)
GROUP_SUMS(odd_group, 1, 5, 7)
#undef GROUP_SUMS

// Adds a group's sums, each by its scales, to the totals: the same operations as AVX-512's.
inline void add_group(const Block& block, const Activations& x, int first_row, int g, const Sums& sums, __m512* totals) {
    const __m512 scale = _mm512_cvtph_ps(_mm256_loadu_si256(reinterpret_cast<const __m256i*>(block.scales(g))));
    const size_t place = size_t(g) * x.pitch + first_row;
    for (int row = 0; row < TILE_ROWS; ++row) {
        const __m512 both = _mm512_mul_ps(scale, _mm512_set1_ps(x.scales[place + row]));
        totals[row] = _mm512_fmadd_ps(_mm512_cvtepi32_ps(_mm512_load_si512(sums[row])), both, totals[row]);
    }
}

// 16 rows by one block: the totals stay in registers while the tiles work on the groups that follow.
void wide_tile(const Block& block, const Activations& x, int first_row, int depth, float* out, int stride) {
    alignas(64) Sums even, odd;
    const int8_t* rows = x.codes + size_t(first_row) * x.stride;
    __m512 totals[TILE_ROWS];
    for (__m512& total : totals) total = _mm512_setzero_ps();
    even_group(block, rows, x.stride, 0, x.group, depth, even);
    for (int g = 0; g < x.groups; g += 2) {
        if (g + 1 < x.groups) odd_group(block, rows, x.stride, g + 1, x.group, depth, odd);
        add_group(block, x, first_row, g, even, totals);
        if (g + 2 < x.groups) even_group(block, rows, x.stride, g + 2, x.group, depth, even);
        if (g + 1 < x.groups) add_group(block, x, first_row, g + 1, odd, totals);
    }
    for (int row = 0; row < TILE_ROWS; ++row) _mm512_storeu_ps(out + size_t(row) * stride, totals[row]);
}

// Block after block, each for all rows: its codes are read again while they are near.
void wide(const Block* blocks, int count, const Activations& x, int first_row, int rows, float* out) {
    const int depth = depth_of(x.group);
    const Shapes shapes(depth);
    __asm__ volatile("ldtilecfg %0" ::"m"(shapes) : "memory");
    for (int b = 0; b < count; ++b)
        for (int row = 0; row < rows; row += TILE_ROWS)
            wide_tile(blocks[b], x, first_row + row, depth, out + (row * count + b) * LANES, count * LANES);
    __asm__ volatile("tilerelease" ::: "memory");  // a thread that holds no tiles is cheaper to switch from
}

// Codes as signed numbers around the middle of their range, so that nothing needs the rows' sums.
void unpack(const uint8_t* codes, int format, size_t count, uint8_t* out) {
    const __m512i low_half = _mm512_set1_epi8(0x0f), middle = _mm512_set1_epi8(format == INT4 ? 8 : char(0x80));
    auto put = [&](size_t at, __m512i values) { _mm512_storeu_si512(out + at, _mm512_sub_epi8(values, middle)); };
    for (size_t i = 0; i < count; i += 64) {
        if (format == INT8) {
            put(i, _mm512_loadu_si512(codes + i));
            continue;
        }
        const __m512i packed = _mm512_loadu_si512(codes + i / 2);
        put(i, _mm512_and_si512(packed, low_half));
        put(i += 64, _mm512_and_si512(_mm512_srli_epi16(packed, 4), low_half));
    }
}

// Linux lends the tiles' registers to a process that asks.
bool lent() {
    constexpr int ASK = 0x1023, TILE_DATA = 18;  // ARCH_REQ_XCOMP_PERM, XFEATURE_XTILEDATA
    unsigned a = 0, b = 0, c = 0, d = 0;
    if (!__get_cpuid_count(7, 0, &a, &b, &c, &d)) return false;
    constexpr unsigned TILES = 1u << 24, BYTES = 1u << 25;
    return (d & TILES) && (d & BYTES) && syscall(SYS_arch_prctl, ASK, TILE_DATA) == 0;
}

Kernels with_tiles() {
    Kernels kernels = *avx512_kernels();
    kernels.wide = wide;
    kernels.wide_rows = MOST_WIDE;
    kernels.least_wide = LEAST_WIDE;
    kernels.kept_bytes = 1 << 20;  // half of the second-level cache of the processors that have tiles
    kernels.unpack = unpack;
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
