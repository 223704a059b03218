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

#include <algorithm>
#include <cstring>

#include "matrix.h"

namespace qwen3vl {
namespace {

constexpr int LEAST_WIDE = 128;  // rows: of 16 and 32 tiles were slower than VNNI, of 64 as fast, of 512 faster
constexpr int TILE_ROWS = 16, TILE_BYTES = 64;
// Tiles 0 .. 3 are sums (2 of rows by 2 of outputs), 4 and 5 rows of activations, 6 and 7 codes of outputs.

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

// The sums of one group, for TILES * 16 rows and COUNT blocks.
template <int TILES, int COUNT>
inline void group_sums(const Block* blocks, const int8_t* rows, long stride, int first, int group, int depth,
                       Sums (*sums)[2]) {
    _tile_zero(0);
    if (COUNT > 1) _tile_zero(1);
    if (TILES > 1) _tile_zero(2);
    if (TILES > 1 && COUNT > 1) _tile_zero(3);
    for (int k = first; k < first + group; k += depth) {
        _tile_loadd(4, rows + k, stride);
        _tile_loadd(6, blocks[0].unpacked + size_t(k) * LANES, TILE_BYTES);
        _tile_dpbssd(0, 4, 6);
        if (COUNT > 1) {
            _tile_loadd(7, blocks[1].unpacked + size_t(k) * LANES, TILE_BYTES);
            _tile_dpbssd(1, 4, 7);
        }
        if (TILES > 1) {
            _tile_loadd(5, rows + TILE_ROWS * stride + k, stride);
            _tile_dpbssd(2, 5, 6);
            if (COUNT > 1) _tile_dpbssd(3, 5, 7);
        }
    }
    _tile_stored(0, sums[0][0], TILE_BYTES);
    if (COUNT > 1) _tile_stored(1, sums[0][1], TILE_BYTES);
    if (TILES > 1) _tile_stored(2, sums[1][0], TILE_BYTES);
    if (TILES > 1 && COUNT > 1) _tile_stored(3, sums[1][1], TILE_BYTES);
}

// Adds a group's sums, each by its scales, to out [TILES * 16, COUNT * 16]: the same operations as AVX-512's.
template <bool ZEROS, int TILES, int COUNT>
inline void add_group(const Block* blocks, const Activations& x, int first_row, int g, const Sums (*sums)[2],
                      float* out) {
    for (int b = 0; b < COUNT; ++b) {
        const __m512 scale =
            _mm512_cvtph_ps(_mm256_loadu_si256(reinterpret_cast<const __m256i*>(blocks[b].scales(g))));
        __m512i zero = _mm512_setzero_si512();
        if (ZEROS)
            zero = _mm512_sub_epi32(_mm512_cvtepu8_epi32(_mm_loadu_si128(
                                        reinterpret_cast<const __m128i*>(blocks[b].zeros(g)))),
                                    _mm512_set1_epi32(blocks[b].zero));
        for (int row = 0; row < TILES * TILE_ROWS; ++row) {
            const size_t place = size_t(g) * x.pitch + first_row + row;
            __m512i sum = _mm512_load_si512(sums[row / TILE_ROWS][b][row % TILE_ROWS]);
            if (ZEROS) sum = _mm512_add_epi32(sum, _mm512_mullo_epi32(_mm512_set1_epi32(x.sums[place]), zero));
            const __m512 both = _mm512_mul_ps(scale, _mm512_set1_ps(x.scales[place]));
            float* to = out + (row * COUNT + b) * LANES;
            _mm512_storeu_ps(to, _mm512_fmadd_ps(_mm512_cvtepi32_ps(sum), both, _mm512_loadu_ps(to)));
        }
    }
}

template <bool ZEROS, int TILES, int COUNT>
void wide(const Block* blocks, const Activations& x, int first_row, float* out) {
    const int depth = depth_of(x.group);
    const Shapes shapes(depth);
    __asm__ volatile("ldtilecfg %0" ::"m"(shapes) : "memory");
    alignas(64) Sums sums[2][2][2];  // of two groups: the tiles work on the next while one is added
    const int8_t* rows = x.codes + size_t(first_row) * x.stride;
    std::fill(out, out + TILES * TILE_ROWS * COUNT * LANES, 0.0f);
    group_sums<TILES, COUNT>(blocks, rows, x.stride, 0, x.group, depth, sums[0]);
    for (int g = 0; g < x.groups; ++g) {
        if (g + 1 < x.groups)
            group_sums<TILES, COUNT>(blocks, rows, x.stride, (g + 1) * x.group, x.group, depth, sums[(g + 1) % 2]);
        add_group<ZEROS, TILES, COUNT>(blocks, x, first_row, g, sums[g % 2], out);
    }
    __asm__ volatile("tilerelease" ::: "memory");  // a thread that holds no tiles is cheaper to switch from
}

template <bool ZEROS>
void wide_shapes(const Block* blocks, int count, const Activations& x, int first_row, int rows, float* out) {
    if (rows > TILE_ROWS)
        return count > 1 ? wide<ZEROS, 2, 2>(blocks, x, first_row, out) : wide<ZEROS, 2, 1>(blocks, x, first_row, out);
    return count > 1 ? wide<ZEROS, 1, 2>(blocks, x, first_row, out) : wide<ZEROS, 1, 1>(blocks, x, first_row, out);
}

void wide_any(const Block* blocks, int count, const Activations& x, int first_row, int rows, float* out) {
    return blocks[0].has_zeros ? wide_shapes<true>(blocks, count, x, first_row, rows, out)
                           : wide_shapes<false>(blocks, count, x, first_row, rows, out);
}

// Codes as signed numbers around the middle of their range, so that only zero points of their own need the rows' sums.
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
    kernels.wide = wide_any;
    kernels.wide_rows = 2 * TILE_ROWS;
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
