// AVX-512 with products of bfloat16, 32 an instruction: attention in them.
#if defined(__x86_64__) && (!defined(__GNUC__) || __GNUC__ >= 10)
#pragma GCC target("avx512f,avx512bw,avx512vl,avx512dq,avx512bf16,fma")
#include <immintrin.h>

#include <algorithm>
#include <array>
#include <cmath>
#include <cstring>
#include <type_traits>

#include "matrix.h"

namespace qwen3vl {
namespace {

constexpr int ROWS = 4;    // of a product in registers: with up to 5 vectors they are full

// c[ROWS][V vectors] = (or, with ADD, +=) the sum over pairs of a[row][pair] * b[pair][lane].
template <int V, bool ADD>
inline void product(const uint16_t* a, size_t a_row, const uint16_t* b, size_t b_pair, size_t b_vector,
                    int pairs, float* c, size_t c_row) {
    __m512 sum[ROWS][V];
    for (int r = 0; r < ROWS; ++r)
        for (int v = 0; v < V; ++v) sum[r][v] = ADD ? _mm512_loadu_ps(c + r * c_row + v * LANES) : _mm512_setzero_ps();
    for (int p = 0; p < pairs; ++p) {
        __m512bh from[V];
        for (int v = 0; v < V; ++v) from[v] = (__m512bh)_mm512_loadu_si512(b + p * b_pair + v * b_vector);
        for (int r = 0; r < ROWS; ++r) {
            int32_t pair;
            std::memcpy(&pair, a + r * a_row + 2 * p, sizeof(pair));
            const __m512bh both = (__m512bh)_mm512_set1_epi32(pair);
            for (int v = 0; v < V; ++v) sum[r][v] = _mm512_dpbf16_ps(sum[r][v], from[v], both);
        }
    }
    for (int r = 0; r < ROWS; ++r)
        for (int v = 0; v < V; ++v) _mm512_storeu_ps(c + r * c_row + v * LANES, sum[r][v]);
}

template <bool ADD>
inline void product_any(const uint16_t* a, size_t a_row, int rows, const uint16_t* b, size_t b_pair, size_t b_vector,
                        int vectors, int pairs, float* c, size_t c_row) {
    for (int r = 0; r < rows; r += ROWS, a += ROWS * a_row, c += ROWS * c_row)
        for (int v = 0; v < vectors;) {
            const int left = vectors - v;
            const uint16_t* from = b + v * b_vector;
            float* to = c + v * LANES;
            switch (left == 5 ? 5 : std::min(left, 4)) {
                case 5: product<5, ADD>(a, a_row, from, b_pair, b_vector, pairs, to, c_row); v += 5; break;
                case 4: product<4, ADD>(a, a_row, from, b_pair, b_vector, pairs, to, c_row); v += 4; break;
                case 3: product<3, ADD>(a, a_row, from, b_pair, b_vector, pairs, to, c_row); v += 3; break;
                case 2: product<2, ADD>(a, a_row, from, b_pair, b_vector, pairs, to, c_row); v += 2; break;
                default: product<1, ADD>(a, a_row, from, b_pair, b_vector, pairs, to, c_row); v += 1; break;
            }
        }
}

#include "attend_bfloat16.h"

}  // namespace

void add_bfloat16(Kernels& kernels) {
    kernels.attend_many_bfloat16 = attend_many;
    kernels.pack_keys = pack_keys;
    kernels.attend_picture = attend_picture;
}

}  // namespace qwen3vl
#else
#include "matrix.h"

void qwen3vl::add_bfloat16(Kernels&) {}
#endif
