// The tiles' registers of AMX, all of one shape: 16 rows of 64 bytes.
//
// Included by the files that use them, after their target.
#pragma once

#include <immintrin.h>

#include <algorithm>

#include "matrix.h"

namespace qwen3vl {
namespace {

constexpr int TILE_BYTES = 64;  // of a row

struct alignas(64) Shapes {  // as the processor reads it
    uint8_t palette = 1;
    uint8_t start = 0;
    uint8_t reserved[14] = {};
    uint16_t bytes[16] = {};  // of a row
    uint8_t rows[16] = {};

    Shapes() {
        std::fill_n(bytes, 8, uint16_t(TILE_BYTES));
        std::fill_n(rows, 8, uint8_t(WHOLE_ROWS));
    }
};

// While it lives, a thread has tiles. One that holds none is cheaper to switch from.
class Tiles {
  public:
    Tiles() {
        const Shapes shapes;
        __asm__ volatile("ldtilecfg %0" ::"m"(shapes) : "memory");
    }
    ~Tiles() { __asm__ volatile("tilerelease" ::: "memory"); }
    Tiles(const Tiles&) = delete;
    Tiles& operator=(const Tiles&) = delete;
};

// Tiles are loaded from what the compiler may not have stored yet.
inline void finish_stores() { __asm__ volatile("" ::: "memory"); }

}  // namespace
}  // namespace qwen3vl
