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

constexpr int AHEAD = 512;  // bytes that a stream of codes is fetched ahead: on a Zen 4 like 128, and 1,024 is worse

inline __m512i broadcast4(const int8_t* bytes) {
    int32_t word;
    std::memcpy(&word, bytes, 4);
    return _mm512_set1_epi32(word);
}

// The compiler keeps sums[ROWS][COUNT] in registers: both loops have constant bounds.
template <int FORMAT, bool ZEROS, int ROWS, int COUNT>
void tile(const Block* blocks, const Activations& x, int first_row, float* out) {
    __m512 total[ROWS][COUNT];
    for (int r = 0; r < ROWS; ++r)
        for (int b = 0; b < COUNT; ++b) total[r][b] = _mm512_setzero_ps();
    const __m512i low_half = _mm512_set1_epi8(0x0f);
    constexpr int STEP = FORMAT == INT4 ? 8 : 4;  // columns in 64 bytes of codes
    for (int g = 0; g < x.groups; ++g) {
        __m512i sum[ROWS][COUNT];
        for (int b = 0; b < COUNT; ++b) {
            __m512i zero = _mm512_set1_epi32(blocks[b].zero);
            if (ZEROS)
                zero = _mm512_cvtepu8_epi32(
                    _mm_loadu_si128(reinterpret_cast<const __m128i*>(blocks[b].zeros + g * LANES)));
            for (int r = 0; r < ROWS; ++r) {
                const __m512i bytes = _mm512_set1_epi32(-x.sums[size_t(first_row + r) * x.groups + g]);
                sum[r][b] = _mm512_mullo_epi32(bytes, zero);
            }
        }
        const int8_t* row = x.codes + size_t(first_row) * x.columns + size_t(g) * x.group;
        const size_t offset = size_t(g) * x.group * 64 / STEP;
        for (int k = 0; k < x.group; k += STEP) {
            for (int b = 0; b < COUNT; ++b) {
                const uint8_t* codes = blocks[b].codes + offset + size_t(k) * 64 / STEP;
                const __m512i packed = _mm512_loadu_si512(codes);
                if (ROWS <= 4) _mm_prefetch(reinterpret_cast<const char*>(codes + AHEAD), _MM_HINT_T0);
                if (FORMAT == INT4) {
                    const __m512i low = _mm512_and_si512(packed, low_half);
                    const __m512i high = _mm512_and_si512(_mm512_srli_epi16(packed, 4), low_half);
                    for (int r = 0; r < ROWS; ++r) {
                        const int8_t* at = row + size_t(r) * x.columns + k;
                        sum[r][b] = _mm512_dpbusd_epi32(sum[r][b], low, broadcast4(at));
                        sum[r][b] = _mm512_dpbusd_epi32(sum[r][b], high, broadcast4(at + 4));
                    }
                } else {
                    for (int r = 0; r < ROWS; ++r)
                        sum[r][b] = _mm512_dpbusd_epi32(sum[r][b], packed, broadcast4(row + size_t(r) * x.columns + k));
                }
            }
        }
        for (int b = 0; b < COUNT; ++b) {
            const __m512 scale = _mm512_cvtph_ps(
                _mm256_loadu_si256(reinterpret_cast<const __m256i*>(blocks[b].scales + g * LANES)));
            for (int r = 0; r < ROWS; ++r) {
                const __m512 both = _mm512_mul_ps(scale, _mm512_set1_ps(x.scales[size_t(first_row + r) * x.groups + g]));
                total[r][b] = _mm512_fmadd_ps(_mm512_cvtepi32_ps(sum[r][b]), both, total[r][b]);
            }
        }
    }
    for (int r = 0; r < ROWS; ++r)
        for (int b = 0; b < COUNT; ++b) _mm512_storeu_ps(out + (r * COUNT + b) * LANES, total[r][b]);
}

template <int FORMAT, bool ZEROS, int COUNT>
void tile_rows(const Block* blocks, const Activations& x, int first_row, int rows, float* out) {
    switch (rows) {
        case 1: return tile<FORMAT, ZEROS, 1, COUNT>(blocks, x, first_row, out);
        case 2: return tile<FORMAT, ZEROS, 2, COUNT>(blocks, x, first_row, out);
        case 3: return tile<FORMAT, ZEROS, 3, COUNT>(blocks, x, first_row, out);
        case 4: return tile<FORMAT, ZEROS, 4, COUNT>(blocks, x, first_row, out);
        case 5: return tile<FORMAT, ZEROS, 5, COUNT>(blocks, x, first_row, out);
        case 6: return tile<FORMAT, ZEROS, 6, COUNT>(blocks, x, first_row, out);
        case 7: return tile<FORMAT, ZEROS, 7, COUNT>(blocks, x, first_row, out);
        default: return tile<FORMAT, ZEROS, 8, COUNT>(blocks, x, first_row, out);
    }
}

template <int FORMAT, bool ZEROS>
void tile_count(const Block* blocks, int count, const Activations& x, int first_row, int rows, float* out) {
    switch (count) {
        case 1: return tile_rows<FORMAT, ZEROS, 1>(blocks, x, first_row, rows, out);
        case 2: return tile_rows<FORMAT, ZEROS, 2>(blocks, x, first_row, rows, out);
        default: return tile_rows<FORMAT, ZEROS, 4>(blocks, x, first_row, rows, out);
    }
}

void tile_any(const Block* blocks, int count, int format, const Activations& x, int first_row, int rows, float* out) {
    const bool zeros = blocks[0].zeros != nullptr;
    if (format == INT4)
        return zeros ? tile_count<INT4, true>(blocks, count, x, first_row, rows, out)
                     : tile_count<INT4, false>(blocks, count, x, first_row, rows, out);
    return zeros ? tile_count<INT8, true>(blocks, count, x, first_row, rows, out)
                 : tile_count<INT8, false>(blocks, count, x, first_row, rows, out);
}

void unpack(const uint8_t* codes, size_t bytes, uint8_t* out) {
    const __m512i low_half = _mm512_set1_epi8(0x0f);
    for (size_t i = 0; i < bytes; i += 64) {
        const __m512i packed = _mm512_loadu_si512(codes + i);
        _mm512_storeu_si512(out + 2 * i, _mm512_and_si512(packed, low_half));
        _mm512_storeu_si512(out + 2 * i + 64, _mm512_and_si512(_mm512_srli_epi16(packed, 4), low_half));
    }
}

inline __mmask16 first(int count) { return count >= LANES ? __mmask16(0xffff) : __mmask16((1u << count) - 1); }

void quantize(const float* x, int used, int columns, int group, int8_t* codes, float* scales, int32_t* sums) {
    for (int g = 0; g * group < columns; ++g) {
        __m512 most = _mm512_setzero_ps();
        for (int k = g * group; k < (g + 1) * group; k += LANES) {
            const __mmask16 mask = used > k ? first(std::min(used, (g + 1) * group) - k) : __mmask16(0);
            most = _mm512_max_ps(most, _mm512_abs_ps(_mm512_maskz_loadu_ps(mask, x + k)));
        }
        const float largest = _mm512_reduce_max_ps(most);
        const float inverse = largest > 0 ? 127.0f / largest : 0.0f;
        __m512i sum = _mm512_setzero_si512();
        for (int k = g * group; k < (g + 1) * group; k += LANES) {
            const __mmask16 mask = used > k ? first(std::min(used, (g + 1) * group) - k) : __mmask16(0);
            const __m512 scaled = _mm512_mul_ps(_mm512_maskz_loadu_ps(mask, x + k), _mm512_set1_ps(inverse));
            const __m512i rounded = _mm512_cvtps_epi32(scaled);
            sum = _mm512_add_epi32(sum, rounded);
            _mm512_mask_cvtsepi32_storeu_epi8(codes + k, first((g + 1) * group - k), rounded);
        }
        scales[g] = largest / 127.0f;
        sums[g] = _mm512_reduce_add_epi32(sum);
    }
}

void rms_norm(const float* x, const float* weight, float eps, int columns, float* out) {
    __m512 squares = _mm512_setzero_ps();
    for (int k = 0; k < columns; k += LANES) {
        const __m512 v = _mm512_maskz_loadu_ps(first(columns - k), x + k);
        squares = _mm512_fmadd_ps(v, v, squares);
    }
    const __m512 inverse = _mm512_set1_ps(1.0f / std::sqrt(_mm512_reduce_add_ps(squares) / float(columns) + eps));
    for (int k = 0; k < columns; k += LANES) {
        const __mmask16 mask = first(columns - k);
        const __m512 v = _mm512_mul_ps(_mm512_maskz_loadu_ps(mask, x + k), inverse);
        _mm512_mask_storeu_ps(out + k, mask, _mm512_mul_ps(v, _mm512_maskz_loadu_ps(mask, weight + k)));
    }
}

#include "attend.h"
#include "choose.h"

constexpr Kernels KERNELS{tile_any,   unpack,     quantize,  rms_norm,    dot,
                          swiglu,     attend_any, store_head, turn_head,  choose_group};

}  // namespace

const Kernels* avx512_kernels() { return &KERNELS; }

}  // namespace qwen3vl
#endif
