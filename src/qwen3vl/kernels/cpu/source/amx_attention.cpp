// AMX: attention in products of whole tiles of bfloat16.
#if defined(__x86_64__) && __GNUC__ >= 11  // the first that knows tiles
#pragma GCC target("avx512f,avx512bw,avx512vl,avx512dq,avx512bf16,fma,amx-tile,amx-bf16")
#include <immintrin.h>

#include <algorithm>
#include <array>
#include <cmath>
#include <cstring>
#include <type_traits>

#include "tiles.h"

namespace qwen3vl {
namespace {

constexpr int ROWS = WHOLE_ROWS;

// R times 16 rows by C vectors. Tiles 0 to 3 are sums, 4 and 5 of a, 6 and 7 of b.
template <int R, int C, bool ADD>
inline void product(const uint16_t* a, size_t a_row, const uint16_t* b, size_t b_pair, size_t b_vector, int pairs,
                    float* c, size_t c_row) {
    const size_t a_bytes = a_row * sizeof(*a), b_bytes = b_pair * sizeof(*b), c_bytes = c_row * sizeof(*c);
    const uint16_t* a_below = a + ROWS * a_row;
    float* c_below = c + ROWS * c_row;
    if (ADD) {
        _tile_loadd(0, c, c_bytes);
        if (C == 2) _tile_loadd(1, c + LANES, c_bytes);
        if (R == 2) _tile_loadd(2, c_below, c_bytes);
        if (R == 2 && C == 2) _tile_loadd(3, c_below + LANES, c_bytes);
    } else {
        _tile_zero(0);
        _tile_zero(1);
        _tile_zero(2);
        _tile_zero(3);
    }
    for (int p = 0; p < pairs; p += WIDE_DEPTH / 2, b += WIDE_DEPTH / 2 * b_pair) {
        _tile_loadd(4, a + 2 * p, a_bytes);
        _tile_loadd(6, b, b_bytes);
        _tile_dpbf16ps(0, 4, 6);
        if (C == 2) {
            _tile_loadd(7, b + b_vector, b_bytes);
            _tile_dpbf16ps(1, 4, 7);
        }
        if (R == 2) {
            _tile_loadd(5, a_below + 2 * p, a_bytes);
            _tile_dpbf16ps(2, 5, 6);
            if (C == 2) _tile_dpbf16ps(3, 5, 7);
        }
    }
    _tile_stored(0, c, c_bytes);
    if (C == 2) _tile_stored(1, c + LANES, c_bytes);
    if (R == 2) _tile_stored(2, c_below, c_bytes);
    if (R == 2 && C == 2) _tile_stored(3, c_below + LANES, c_bytes);
}

template <bool ADD>
inline void product_any(const uint16_t* a, size_t a_row, int rows, const uint16_t* b, size_t b_pair, size_t b_vector,
                        int vectors, int pairs, float* c, size_t c_row) {
    finish_stores();
    for (int r = 0; r < rows; r += 2 * ROWS, a += 2 * ROWS * a_row, c += 2 * ROWS * c_row)
        for (int v = 0; v < vectors; v += 2) {
            const bool low = r + ROWS < rows, wide = v + 1 < vectors;
            const auto multiply = low ? (wide ? product<2, 2, ADD> : product<2, 1, ADD>)
                                      : (wide ? product<1, 2, ADD> : product<1, 1, ADD>);
            multiply(a, a_row, b + v * b_vector, b_pair, b_vector, pairs, c + v * LANES, c_row);
        }
}

#include "attend_bfloat16.h"

void attend_many_in_tiles(const Cache& cache, const int64_t* table, int head, const Queries& some, float scale,
                          float* room) {
    const Tiles held;
    attend_many(cache, table, head, some, scale, room);
}

void attend_picture_in_tiles(const Picture& picture, float scale, int first, int count) {
    const Tiles held;
    attend_picture(picture, scale, first, count);
}

}  // namespace

void add_tiles(Kernels& kernels) {
    kernels.attend_many_bfloat16 = attend_many_in_tiles;
    kernels.pack_keys = pack_keys;
    kernels.attend_picture = attend_picture_in_tiles;
}

}  // namespace qwen3vl
#endif
