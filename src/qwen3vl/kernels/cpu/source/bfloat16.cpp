// AVX-512 with products of bfloat16, 32 an instruction: attention within the pictures of the vision tower, and of prompts
// over a cache of bfloat16.
#if defined(__x86_64__) && (!defined(__GNUC__) || __GNUC__ >= 10)
#pragma GCC target("avx512f,avx512bw,avx512vl,avx512dq,avx512bf16,fma")
#include <immintrin.h>

#include <algorithm>
#include <cmath>
#include <cstring>

#include "matrix.h"

namespace qwen3vl {
namespace {

constexpr int ROWS = 4;    // of a product in registers: with up to 5 vectors they are full
constexpr int KEYS = 128;  // of a picture, that a tile of queries looks at together: their scores stay in the first cache

inline __m256i rounded(__m512 values) { return (__m256i)_mm512_cvtneps_pbh(values); }

// c[ROWS][V vectors] = (or, with ADD, +=) the sum over pairs of a[row][pair] * b[pair][lane].
template <int V, bool ADD>
inline void product(const uint16_t* a, size_t a_row, size_t a_pair, const uint16_t* b, size_t b_pair, size_t b_vector,
                    int pairs, float* c, size_t c_row) {
    __m512 sum[ROWS][V];
    for (int r = 0; r < ROWS; ++r)
        for (int v = 0; v < V; ++v) sum[r][v] = ADD ? _mm512_loadu_ps(c + r * c_row + v * LANES) : _mm512_setzero_ps();
    for (int p = 0; p < pairs; ++p) {
        __m512bh from[V];
        for (int v = 0; v < V; ++v) from[v] = (__m512bh)_mm512_loadu_si512(b + p * b_pair + v * b_vector);
        for (int r = 0; r < ROWS; ++r) {
            int32_t pair;
            std::memcpy(&pair, a + r * a_row + p * a_pair, sizeof(pair));
            const __m512bh both = (__m512bh)_mm512_set1_epi32(pair);
            for (int v = 0; v < V; ++v) sum[r][v] = _mm512_dpbf16_ps(sum[r][v], from[v], both);
        }
    }
    for (int r = 0; r < ROWS; ++r)
        for (int v = 0; v < V; ++v) _mm512_storeu_ps(c + r * c_row + v * LANES, sum[r][v]);
}

template <bool ADD>
inline void product_any(const uint16_t* a, size_t a_row, size_t a_pair, int rows, const uint16_t* b, size_t b_pair,
                        size_t b_vector, int vectors, int pairs, float* c, size_t c_row) {
    for (int r = 0; r < rows; r += ROWS, a += ROWS * a_row, c += ROWS * c_row)
        for (int v = 0; v < vectors;) {
            const int left = vectors - v;
            const uint16_t* from = b + v * b_vector;
            float* to = c + v * LANES;
            switch (left == 5 ? 5 : std::min(left, 4)) {
                case 5: product<5, ADD>(a, a_row, a_pair, from, b_pair, b_vector, pairs, to, c_row); v += 5; break;
                case 4: product<4, ADD>(a, a_row, a_pair, from, b_pair, b_vector, pairs, to, c_row); v += 4; break;
                case 3: product<3, ADD>(a, a_row, a_pair, from, b_pair, b_vector, pairs, to, c_row); v += 3; break;
                case 2: product<2, ADD>(a, a_row, a_pair, from, b_pair, b_vector, pairs, to, c_row); v += 2; break;
                default: product<1, ADD>(a, a_row, a_pair, from, b_pair, b_vector, pairs, to, c_row); v += 1; break;
            }
        }
}

// e^x for x <= 0, to the precision of what is then rounded to bfloat16 (relative error 4e-5): 2^n e^r with |r| <= ln(2) / 2.
// What is not a number stays that: a maximum returns its second operand then.
inline __m512 exponential(__m512 given) {
    const __m512 x = _mm512_max_ps(_mm512_set1_ps(-87.0f), given);
    const __m512 n = _mm512_roundscale_ps(_mm512_mul_ps(x, _mm512_set1_ps(1.44269504f)), 0);
    const __m512 r = _mm512_fnmadd_ps(n, _mm512_set1_ps(0.693147181f), x);
    __m512 series = _mm512_set1_ps(1.0f / 24);
    for (float factor : {1.0f / 6, 0.5f, 1.0f, 1.0f}) series = _mm512_fmadd_ps(series, r, _mm512_set1_ps(factor));
    return _mm512_scalef_ps(series, n);
}

// A head of a token, turned by its angles.
inline void turn(const uint16_t* from, const float* cosines, const float* sines, int size, float* to) {
    const int half = size / 2;
    for (int i = 0; i < half; ++i) {
        uint32_t bits[2] = {uint32_t(from[i]) << 16, uint32_t(from[i + half]) << 16};
        float low, high;
        std::memcpy(&low, &bits[0], 4);
        std::memcpy(&high, &bits[1], 4);
        to[i] = low * cosines[i] - high * sines[i];
        to[i + half] = high * cosines[i] + low * sines[i];
    }
}

// `size` numbers as bfloat16; there is room for whole vectors.
inline void round_to(const float* from, int size, uint16_t* to) {
    for (int c = 0; c < size; c += LANES)
        _mm256_storeu_si256(reinterpret_cast<__m256i*>(to + c), rounded(_mm512_loadu_ps(from + c)));
}

void pack_keys(const Picture& picture, int first, int last) {
    const int size = picture.size, padded = picture.padded_size();
    alignas(64) float turned[MOST_HEAD];
    alignas(64) uint16_t key[MOST_HEAD];
    for (int block = first; block < last; block += LANES) {
        uint16_t* keys = picture.keys + size_t(block) * size;
        uint16_t* values = picture.values + size_t(block) * padded;
        std::memset(keys, 0, sizeof(uint16_t) * LANES * size);
        std::memset(values, 0, sizeof(uint16_t) * LANES * padded);
        for (int lane = 0; lane < std::min(LANES, picture.length - block); ++lane) {
            const size_t token = size_t(block) + lane;
            const uint16_t* from = picture.qkv + picture.stride * token + picture.hidden;
            const size_t angles = token * (size / 2);
            turn(from, picture.cosines + angles, picture.sines + angles, size, turned);
            round_to(turned, size, key);
            for (int p = 0; p < size / 2; ++p) std::memcpy(keys + 2 * (LANES * p + lane), key + 2 * p, 4);
            const uint16_t* value = from + picture.hidden;
            uint16_t* to = values + size_t(lane / 2) * 2 * padded + lane % 2;
            for (int c = 0; c < size; ++c) to[2 * c] = value[c];
        }
    }
}

void attend_picture(const Picture& picture, float scale, int first, int count) {
    const int size = picture.size, padded = picture.padded_size(), rows = (count + ROWS - 1) / ROWS * ROWS;
    alignas(64) uint16_t queries[QUERIES * MOST_HEAD], weights[QUERIES * KEYS];
    alignas(64) float scores[QUERIES * KEYS], sums[QUERIES * MOST_HEAD], turned[MOST_HEAD];
    float most[QUERIES], total[QUERIES] = {};
    std::memset(queries, 0, sizeof(uint16_t) * rows * padded);
    std::memset(weights + count * KEYS, 0, sizeof(uint16_t) * (rows - count) * KEYS);
    std::memset(sums, 0, sizeof(float) * rows * padded);
    std::fill(most, most + QUERIES, -INFINITY);
    for (int q = 0; q < count; ++q) {
        const size_t token = size_t(first) + q, angles = token * (size / 2);
        turn(picture.qkv + picture.stride * token, picture.cosines + angles, picture.sines + angles, size, turned);
        round_to(turned, size, queries + q * padded);
    }
    for (int start = 0; start < picture.length; start += KEYS) {
        const int keys = std::min(KEYS, picture.length - start), vectors = (keys + LANES - 1) / LANES;
        product_any<false>(queries, padded, 2, rows, picture.keys + size_t(start) * size, 2 * LANES,
                           size_t(size) * LANES, vectors, size / 2, scores, KEYS);
        const __mmask16 last = __mmask16(0xffff >> (vectors * LANES - keys));
        for (int q = 0; q < count; ++q) {
            float* row = scores + q * KEYS;
            __m512 largest = _mm512_set1_ps(-INFINITY);
            for (int v = 0; v < vectors; ++v) {
                const __mmask16 held = v + 1 == vectors ? last : __mmask16(0xffff);
                const __m512 score = _mm512_mul_ps(_mm512_loadu_ps(row + v * LANES), _mm512_set1_ps(scale));
                const __m512 seen = _mm512_mask_blend_ps(held, _mm512_set1_ps(-INFINITY), score);
                _mm512_storeu_ps(row + v * LANES, seen);
                largest = _mm512_max_ps(seen, largest);
            }
            const float now = std::max(most[q], _mm512_reduce_max_ps(largest));
            __m512 sum = _mm512_setzero_ps();
            for (int v = 0; v < vectors; ++v) {
                const __m512 weight = exponential(_mm512_sub_ps(_mm512_loadu_ps(row + v * LANES), _mm512_set1_ps(now)));
                const __mmask16 held = v + 1 == vectors ? last : __mmask16(0xffff);
                const __m512 kept = _mm512_maskz_mov_ps(held, weight);
                _mm256_store_si256(reinterpret_cast<__m256i*>(weights + q * KEYS + v * LANES), rounded(kept));
                sum = _mm512_add_ps(sum, kept);
            }
            if (now != most[q]) {
                const float factor = std::exp(most[q] - now);
                total[q] *= factor;
                for (int c = 0; c < padded; ++c) sums[q * padded + c] *= factor;
                most[q] = now;
            }
            total[q] += _mm512_reduce_add_ps(sum);
        }
        product_any<true>(weights, KEYS, 2, rows, picture.values + size_t(start) * padded, 2 * padded, 2 * LANES,
                          padded / LANES, vectors * LANES / 2, sums, padded);
    }
    for (int q = 0; q < count; ++q) {
        const __m512 whole = _mm512_set1_ps(1.0f / total[q]);
        for (int c = 0; c < padded; c += LANES)
            _mm512_storeu_ps(turned + c, _mm512_mul_ps(_mm512_loadu_ps(sums + q * padded + c), whole));
        alignas(64) uint16_t out[MOST_HEAD];
        round_to(turned, size, out);
        std::memcpy(picture.y + size_t(picture.hidden) * (first + q), out, sizeof(uint16_t) * size);
    }
}

// Two rows of numbers, pair by pair.
inline __m512i paired(__m256i even, __m256i odd) {
    return _mm512_or_si512(_mm512_cvtepu16_epi32(even), _mm512_slli_epi32(_mm512_cvtepu16_epi32(odd), 16));
}

inline __m256i sixteen(const uint16_t* from) { return _mm256_loadu_si256(reinterpret_cast<const __m256i*>(from)); }

// Scores and sums stand with a query a lane, so that a softmax goes down the lanes and needs no horizontal operation.
void attend_many(const Cache& cache, const int64_t* table, int head, const Queries& some, float scale, float* room) {
    constexpr int VECTORS = QUERIES / LANES;
    const int size = cache.head_size, rows = some.tokens * some.heads, vectors = (rows + LANES - 1) / LANES;
    const uint16_t* all_keys = static_cast<const uint16_t*>(cache.keys);
    const uint16_t* all_values = static_cast<const uint16_t*>(cache.values);
    float* sums = room;                                                       // [size][QUERIES]
    uint16_t* queries = reinterpret_cast<uint16_t*>(sums + size * QUERIES);   // [size / 2][QUERIES][2]
    uint16_t* keys = queries + size * QUERIES;                                // [TILE][size]
    uint16_t* values = keys + size * TILE;                                    // [TILE / 2][size][2]
    alignas(64) float scores[TILE * QUERIES];
    alignas(64) uint16_t weights[TILE * QUERIES];  // [TILE / 2][QUERIES][2]
    std::fill(sums, sums + size * QUERIES, 0.0f);
    std::fill(queries, queries + size * QUERIES, 0);
    alignas(64) float scaled[MOST_HEAD];
    alignas(64) uint16_t query[MOST_HEAD];
    alignas(64) int32_t places[QUERIES] = {};  // the last key that each query sees
    for (int q = 0; q < rows; ++q) {
        const float* from = some.queries + some.stride * (q / some.heads) + size_t(q % some.heads) * size;
        for (int c = 0; c < size; ++c) scaled[c] = from[c] * scale;
        round_to(scaled, size, query);
        for (int p = 0; p < size / 2; ++p) std::memcpy(queries + 2 * (p * QUERIES + q), query + 2 * p, 4);
        places[q] = some.first_place + q / some.heads;
    }
    __m512 most[VECTORS], total[VECTORS];
    for (int v = 0; v < VECTORS; ++v) most[v] = _mm512_set1_ps(-INFINITY), total[v] = _mm512_setzero_ps();
    const int last = some.first_place + some.tokens;
    for (int start = 0; start < last; start += TILE) {
        const int count = std::min(TILE, last - start), even = (count + 1) / 2 * 2;
        const auto row_of = [&](int t) {
            return cache.row(table[(start + t) / cache.block_size], head, (start + t) % cache.block_size) * size;
        };
        for (int t = 0; t < count; ++t) std::memcpy(keys + t * size, all_keys + row_of(t), sizeof(uint16_t) * size);
        for (int t = 0; t < even; t += 2) {
            const uint16_t *first = all_values + row_of(t), *second = all_values + row_of(std::min(t + 1, count - 1));
            for (int c = 0; c < size; c += LANES)
                _mm512_storeu_si512(values + t * size + 2 * c, paired(sixteen(first + c), sixteen(second + c)));
        }
        product_any<false>(keys, size, 2, count, queries, 2 * QUERIES, 2 * LANES, vectors, size / 2, scores, QUERIES);
        bool moved = false;
        __m512 factors[VECTORS];
        for (int v = 0; v < vectors; ++v) {
            float* column = scores + v * LANES;
            const __m512i seen = _mm512_load_si512(places + v * LANES);
            for (int t = std::max(0, some.first_place + 1 - start); t < count; ++t) {
                const __mmask16 hidden = _mm512_cmplt_epi32_mask(seen, _mm512_set1_epi32(start + t));
                _mm512_mask_store_ps(column + t * QUERIES, hidden, _mm512_set1_ps(-INFINITY));
            }
            __m512 now = most[v], sum = _mm512_setzero_ps();
            for (int t = 0; t < count; ++t) now = _mm512_max_ps(_mm512_load_ps(column + t * QUERIES), now);
            for (int t = 0; t < even; t += 2) {
                const auto weight = [&](int key) {
                    if (key == count) return _mm512_setzero_ps();
                    return exponential(_mm512_sub_ps(_mm512_load_ps(column + key * QUERIES), now));
                };
                const __m512 first = weight(t), second = weight(t + 1);
                sum = _mm512_add_ps(sum, _mm512_add_ps(first, second));
                _mm512_store_si512(weights + t * QUERIES + 2 * v * LANES, paired(rounded(first), rounded(second)));
            }
            factors[v] = exponential(_mm512_sub_ps(most[v], now));
            moved |= _mm512_cmpneq_ps_mask(most[v], now) != 0;
            total[v] = _mm512_fmadd_ps(total[v], factors[v], sum);
            most[v] = now;
        }
        if (moved)
            for (int c = 0; c < size; ++c)
                for (int v = 0; v < vectors; ++v) {
                    float* at = sums + c * QUERIES + v * LANES;
                    _mm512_storeu_ps(at, _mm512_mul_ps(_mm512_loadu_ps(at), factors[v]));
                }
        product_any<true>(values, 2, 2 * size, size, weights, 2 * QUERIES, 2 * LANES, vectors, even / 2, sums, QUERIES);
    }
    alignas(64) float whole[QUERIES];
    for (int v = 0; v < VECTORS; ++v) _mm512_store_ps(whole + v * LANES, total[v]);
    for (int q = 0; q < rows; ++q) {
        float* to = some.y + some.stride * (q / some.heads) + size_t(q % some.heads) * size;
        for (int c = 0; c < size; ++c) to[c] = sums[c * QUERIES + q] / whole[q];
    }
}

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
