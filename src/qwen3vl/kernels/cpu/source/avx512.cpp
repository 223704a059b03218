// AVX-512 with VNNI: 64 products of bytes an instruction.
#if defined(__x86_64__)
#pragma GCC target("avx512f,avx512bw,avx512vl,avx512dq,avx512vnni,f16c,fma")
#include <immintrin.h>

#include <algorithm>
#include <cmath>
#include <cstring>
#include <type_traits>

#include "matrix.h"

namespace qwen3vl {
namespace {

// Rows that are few: their products wait for memory alone, and a processor foresees best what one stream reads from end to
// end. With more rows it looks less far ahead than their products take, so codes are fetched by so many bytes (Zen 4: 0 and
// 512 are worse for eight rows).
constexpr int FEW = 2, AHEAD = 2048;

inline __m512i broadcast4(const int8_t* bytes) {
    int32_t word;
    std::memcpy(&word, bytes, 4);
    return _mm512_set1_epi32(word);
}

// sum += codes * x, four products of bytes a lane. GCC makes copies of sums that go through the intrinsic.
inline void add_products(__m512i& sum, __m512i codes, __m512i x) {
    __asm__("vpdpbusd %2, %1, %0" : "+v"(sum) : "v"(codes), "v"(x));
}

// The compiler keeps sum[ROWS][COUNT] in registers: both loops have constant bounds. The totals of many rows would not
// fit beside it. A single sum would wait for itself, so the high halves of its codes have one of their own.
template <int FORMAT, int ROWS, int COUNT>
void tile(const Block* blocks, const Activations& x, int first_row, float* out) {
    std::fill(out, out + ROWS * COUNT * LANES, 0.0f);
    const __m512i low_half = _mm512_set1_epi8(0x0f);
    constexpr int STEP = FORMAT == INT4 ? 8 : 4;  // columns in 64 bytes of codes
    constexpr int POWER = FORMAT == INT4 ? 3 : 7;  // of two, that the middle of the codes is
    for (int g = 0; g < x.groups; ++g) {
        const uint8_t* codes[COUNT];
        for (int b = 0; b < COUNT; ++b) codes[b] = blocks[b].codes(g);
        __m512i sum[ROWS][COUNT], other = _mm512_setzero_si512();
        const int32_t* sums = x.sums + size_t(g) * x.pitch + first_row;
        for (int r = 0; r < ROWS; ++r) {
            const __m512i middle = _mm512_slli_epi32(_mm512_set1_epi32(sums[r]), POWER);
            for (int b = 0; b < COUNT; ++b) sum[r][b] = middle;
        }
        const int8_t* row = x.codes + size_t(first_row) * x.stride + size_t(g) * x.group;
        for (int k = 0; k < x.group; k += STEP) {
            for (int b = 0; b < COUNT; ++b) {
                const uint8_t* from = codes[b] + size_t(k) * 64 / STEP;
                const __m512i packed = _mm512_loadu_si512(from);
                if (ROWS > FEW) _mm_prefetch(reinterpret_cast<const char*>(from + AHEAD), _MM_HINT_T0);
                if (FORMAT == INT4) {
                    const __m512i low = _mm512_and_si512(packed, low_half);
                    const __m512i high = _mm512_and_si512(_mm512_srli_epi16(packed, 4), low_half);
                    for (int r = 0; r < ROWS; ++r) {
                        const int8_t* at = row + size_t(r) * x.stride + k;
                        add_products(sum[r][b], low, broadcast4(at));
                        add_products(ROWS * COUNT == 1 ? other : sum[r][b], high, broadcast4(at + 4));
                    }
                } else {
                    for (int r = 0; r < ROWS; ++r)
                        add_products(sum[r][b], packed, broadcast4(row + size_t(r) * x.stride + k));
                }
            }
        }
        if (ROWS * COUNT == 1) sum[0][0] = _mm512_add_epi32(sum[0][0], other);
        // Many sums go by way of memory: the compiler finds no registers for what follows beside them.
        alignas(64) int32_t found[ROWS][COUNT][LANES];
        for (int r = 0; r < ROWS; ++r)
            for (int b = 0; b < COUNT; ++b) _mm512_store_si512(found[r][b], sum[r][b]);
        if (ROWS * COUNT > 8) __asm__ volatile("" ::: "memory");
        const float* scales = x.scales + size_t(g) * x.pitch + first_row;
        for (int b = 0; b < COUNT; ++b) {
            const __m512 scale =
                _mm512_cvtph_ps(_mm256_loadu_si256(reinterpret_cast<const __m256i*>(blocks[b].scales(g))));
            for (int r = 0; r < ROWS; ++r) {
                const __m512 value = _mm512_cvtepi32_ps(_mm512_load_si512(found[r][b]));
                const __m512 both = _mm512_mul_ps(scale, _mm512_set1_ps(scales[r]));
                float* total = out + (r * COUNT + b) * LANES;
                _mm512_storeu_ps(total, _mm512_fmadd_ps(value, both, _mm512_loadu_ps(total)));
            }
        }
    }
}

template <int FORMAT>
void tile_few(const Block* blocks, int count, const Activations& x, int first_row, int rows, float* out) {
    for (int b = 0; b < count; ++b) {
        float values[FEW * LANES];
        if (rows == 1)
            tile<FORMAT, 1, 1>(blocks + b, x, first_row, values);
        else
            tile<FORMAT, 2, 1>(blocks + b, x, first_row, values);
        for (int r = 0; r < rows; ++r) std::copy_n(values + r * LANES, LANES, out + (r * count + b) * LANES);
    }
}

template <int FORMAT, int COUNT>
void tile_rows(const Block* blocks, const Activations& x, int first_row, int rows, float* out) {
    switch (rows) {
        case 3: return tile<FORMAT, 3, COUNT>(blocks, x, first_row, out);
        case 4: return tile<FORMAT, 4, COUNT>(blocks, x, first_row, out);
        case 5: return tile<FORMAT, 5, COUNT>(blocks, x, first_row, out);
        case 6: return tile<FORMAT, 6, COUNT>(blocks, x, first_row, out);
        case 7: return tile<FORMAT, 7, COUNT>(blocks, x, first_row, out);
        default: return tile<FORMAT, 8, COUNT>(blocks, x, first_row, out);
    }
}

template <int FORMAT>
void tile_count(const Block* blocks, int count, const Activations& x, int first_row, int rows, float* out) {
    if (rows <= FEW) return tile_few<FORMAT>(blocks, count, x, first_row, rows, out);
    return count == 1 ? tile_rows<FORMAT, 1>(blocks, x, first_row, rows, out)
                      : tile_rows<FORMAT, 2>(blocks, x, first_row, rows, out);
}

void tile_any(const Block* blocks, int count, int format, const Activations& x, int first_row, int rows, float* out) {
    return format == INT4 ? tile_count<INT4>(blocks, count, x, first_row, rows, out)
                          : tile_count<INT8>(blocks, count, x, first_row, rows, out);
}

// The first `count` numbers, and zeros. A mask is for the end of a row alone.
inline __m512 load(const float* x, int count) {
    if (count >= LANES) return _mm512_loadu_ps(x);
    return _mm512_maskz_loadu_ps(__mmask16((1u << std::max(count, 0)) - 1), x);
}

inline void store(float* y, __m512 values, int count) {
    if (count >= LANES)
        _mm512_storeu_ps(y, values);
    else
        _mm512_mask_storeu_ps(y, __mmask16((1u << count) - 1), values);
}

void quantize(const float* x, int used, const Activations& to, int row) {
    const int group = to.group;
    int8_t* codes = to.codes + size_t(row) * to.stride;
    for (int g = 0; g < to.groups; ++g) {
        __m512 most = _mm512_setzero_ps();
        __m512 nothing = most;  // a maximum passes over what is not a number, a sum does not
        for (int k = g * group; k < (g + 1) * group; k += LANES) {
            const __m512 v = load(x + k, used - k);
            most = _mm512_max_ps(most, _mm512_abs_ps(v));
            nothing = _mm512_fmadd_ps(v, _mm512_setzero_ps(), nothing);
        }
        const float largest = _mm512_reduce_max_ps(most);
        const __m512 inverse = _mm512_set1_ps(largest > 0 ? 127.0f / largest : 0.0f);
        __m512i sum = _mm512_setzero_si512();
        for (int k = g * group; k < (g + 1) * group; k += LANES) {  // groups are whole vectors, and so are their codes
            const __m512i rounded = _mm512_cvtps_epi32(_mm512_mul_ps(load(x + k, used - k), inverse));
            sum = _mm512_add_epi32(sum, rounded);
            _mm_storeu_si128(reinterpret_cast<__m128i*>(codes + k), _mm512_cvtsepi32_epi8(rounded));
        }
        to.scales[size_t(g) * to.pitch + row] = largest / 127.0f + _mm512_reduce_add_ps(nothing);
        to.sums[size_t(g) * to.pitch + row] = -_mm512_reduce_add_epi32(sum);
    }
}

void rms_norm(const float* x, const float* weight, float eps, int columns, float* out) {
    __m512 squares = _mm512_setzero_ps();
    for (int k = 0; k < columns; k += LANES) {
        const __m512 v = load(x + k, columns - k);
        squares = _mm512_fmadd_ps(v, v, squares);
    }
    const __m512 inverse = _mm512_set1_ps(1.0f / std::sqrt(_mm512_reduce_add_ps(squares) / float(columns) + eps));
    for (int k = 0; k < columns; k += LANES) {
        const __m512 v = _mm512_mul_ps(load(x + k, columns - k), inverse);
        store(out + k, _mm512_mul_ps(v, load(weight + k, columns - k)), columns - k);
    }
}

#define VECTORS_OF_512
#include "vectors.h"
#include "attend.h"
constexpr int PRODUCT_ROWS = 4, PRODUCT_VECTORS = 4;
#include "attend_many.h"
#include "floats.h"
#include "choose.h"

constexpr Kernels KERNELS{tile_any, nullptr,    nullptr,   NEVER,        quantize,      rms_norm,     dot,
                          dots,     swiglu,     store_sum, add_weighted, store_largest, attend_any,   attend_many,
                          nullptr,  store_head, turn_head, nullptr,      nullptr,       choose_group};

}  // namespace

const Kernels* avx512_kernels() {
    static const Kernels kernels = [] {
        Kernels made = KERNELS;
        if (__builtin_cpu_supports("avx512bf16")) add_bfloat16(made);
        return made;
    }();
    return &kernels;
}

}  // namespace qwen3vl
#endif
