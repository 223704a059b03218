// AVX2: products of bytes in pairs, widened to 16 and then to 32 bits.
#if defined(__x86_64__)
#pragma GCC target("avx2,fma,f16c")
#include <immintrin.h>

#include <algorithm>
#include <cmath>
#include <cstring>
#include <type_traits>

#include "matrix.h"

namespace qwen3vl {
namespace {

constexpr int HALF = 8;  // rows of a block in one register
constexpr int AHEAD = 512;  // bytes that the codes of few rows are fetched ahead

inline __m256i load(const void* from) { return _mm256_loadu_si256(static_cast<const __m256i*>(from)); }

inline __m256i broadcast4(const int8_t* bytes) {
    int32_t word;
    std::memcpy(&word, bytes, 4);
    return _mm256_set1_epi32(word);
}

// One half of a block against ROWS rows, one group: adds to sum[r].
template <int FORMAT, int ROWS>
inline void group_sums(const uint8_t* codes, const int8_t* row, int stride, int group, __m256i* sum) {
    const __m256i ones = _mm256_set1_epi16(1), low_half = _mm256_set1_epi8(0x0f), sign = _mm256_set1_epi8(char(0x80));
    if (FORMAT == INT4) {
        for (int k = 0; k < group; k += 8) {
            const __m256i packed = load(codes + k * 8);
            if (ROWS <= 2) _mm_prefetch(reinterpret_cast<const char*>(codes + k * 8 + AHEAD), _MM_HINT_T0);
            const __m256i low = _mm256_and_si256(packed, low_half);
            const __m256i high = _mm256_and_si256(_mm256_srli_epi16(packed, 4), low_half);
            for (int r = 0; r < ROWS; ++r) {
                const int8_t* at = row + size_t(r) * stride + k;
                // At most 4 * 15 * 127: fits 16 bits.
                const __m256i pairs = _mm256_add_epi16(_mm256_maddubs_epi16(low, broadcast4(at)),
                                                       _mm256_maddubs_epi16(high, broadcast4(at + 4)));
                sum[r] = _mm256_add_epi32(sum[r], _mm256_madd_epi16(pairs, ones));
            }
        }
    } else {
        for (int k = 0; k < group; k += 4) {
            // As signed numbers, so that a pair of products (at most 2 * 128 * 127) fits 16 bits.
            const __m256i code = _mm256_xor_si256(load(codes + k * 16), sign);
            if (ROWS <= 2) _mm_prefetch(reinterpret_cast<const char*>(codes + k * 16 + AHEAD), _MM_HINT_T0);
            const __m256i size = _mm256_abs_epi8(code);
            for (int r = 0; r < ROWS; ++r) {
                const __m256i x = _mm256_sign_epi8(broadcast4(row + size_t(r) * stride + k), code);
                sum[r] = _mm256_add_epi32(sum[r], _mm256_madd_epi16(_mm256_maddubs_epi16(size, x), ones));
            }
        }
    }
}

template <int FORMAT, int ROWS>
void tile(const Block& block, const Activations& x, int first_row, float* out, int stride) {
    for (int half = 0; half < 2; ++half) {
        __m256 total[ROWS];
        for (int r = 0; r < ROWS; ++r) total[r] = _mm256_setzero_ps();
        for (int g = 0; g < x.groups; ++g) {
            __m256i sum[ROWS];
            for (int r = 0; r < ROWS; ++r)  // codes of 8 bits are counted from their middle
                sum[r] = _mm256_set1_epi32(FORMAT == INT4 ? 8 * x.sums[size_t(g) * x.pitch + first_row + r] : 0);
            group_sums<FORMAT, ROWS>(block.codes(g) + half * 32,
                                     x.codes + size_t(first_row) * x.stride + size_t(g) * x.group, x.stride, x.group,
                                     sum);
            const __m256 scale = _mm256_cvtph_ps(
                _mm_loadu_si128(reinterpret_cast<const __m128i*>(block.scales(g) + half * HALF)));
            for (int r = 0; r < ROWS; ++r) {
                const __m256 both = _mm256_mul_ps(scale, _mm256_set1_ps(x.scales[size_t(g) * x.pitch + first_row + r]));
                total[r] = _mm256_fmadd_ps(_mm256_cvtepi32_ps(sum[r]), both, total[r]);
            }
        }
        for (int r = 0; r < ROWS; ++r) _mm256_storeu_ps(out + r * stride + half * HALF, total[r]);
    }
}

template <int FORMAT>
void tile_rows(const Block& block, const Activations& x, int first_row, int rows, float* out, int stride) {
    int row = 0;
    for (; row + 4 <= rows; row += 4) tile<FORMAT, 4>(block, x, first_row + row, out + row * stride, stride);
    if (row + 2 <= rows) {
        tile<FORMAT, 2>(block, x, first_row + row, out + row * stride, stride);
        row += 2;
    }
    if (row < rows) tile<FORMAT, 1>(block, x, first_row + row, out + row * stride, stride);
}

void tile_any(const Block* blocks, int count, int format, const Activations& x, int first_row, int rows, float* out) {
    for (int b = 0; b < count; ++b) {
        if (format == INT4)
            tile_rows<INT4>(blocks[b], x, first_row, rows, out + b * LANES, count * LANES);
        else
            tile_rows<INT8>(blocks[b], x, first_row, rows, out + b * LANES, count * LANES);
    }
}

// What follows is short against the products; the compiler makes vectors of it.

void quantize(const float* x, int used, const Activations& to, int row) {
    const int group = to.group;
    int8_t* codes = to.codes + size_t(row) * to.stride;
    for (int g = 0; g < to.groups; ++g) {
        const int first = g * group, last = std::min(used, first + group);
        float largest = 0, nothing = 0;  // a maximum passes over what is not a number, a sum does not
        for (int k = first; k < last; ++k) {
            largest = std::max(largest, std::fabs(x[k]));
            nothing += 0.0f * x[k];
        }
        const float inverse = largest > 0 ? 127.0f / largest : 0.0f;
        int32_t sum = 0;
        for (int k = first; k < first + group; ++k) {
            const int rounded = k < last ? int(std::nearbyint(x[k] * inverse)) : 0;
            sum += rounded;
            codes[k] = int8_t(rounded);
        }
        to.scales[size_t(g) * to.pitch + row] = largest / 127.0f + nothing;
        to.sums[size_t(g) * to.pitch + row] = -sum;
    }
}

void rms_norm(const float* x, const float* weight, float eps, int columns, float* out) {
    float part[HALF] = {};
    int k = 0;
    for (; k + HALF <= columns; k += HALF)
        for (int i = 0; i < HALF; ++i) part[i] += x[k + i] * x[k + i];
    float squares = 0;
    for (float p : part) squares += p;
    for (; k < columns; ++k) squares += x[k] * x[k];
    const float inverse = 1.0f / std::sqrt(squares / float(columns) + eps);
    for (k = 0; k < columns; ++k) out[k] = x[k] * inverse * weight[k];
}

#include "vectors.h"
#include "attend.h"
constexpr int PRODUCT_ROWS = 2, PRODUCT_VECTORS = 4;
#include "attend_many.h"
#include "floats.h"
#include "choose.h"

constexpr Kernels KERNELS{tile_any, nullptr,    nullptr,   NEVER,        quantize,      rms_norm,     dot,
                          dots,     swiglu,     store_sum, add_weighted, store_largest, attend_any,   attend_many,
                          nullptr,  store_head, turn_head, nullptr,      nullptr,       choose_group};

}  // namespace

const Kernels* avx2_kernels() { return &KERNELS; }

}  // namespace qwen3vl
#endif
