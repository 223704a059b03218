// Attention in products of bfloat16: within the pictures of the vision tower, and of prompts over a cache of bfloat16 or
// bytes.
//
// Included by the file of each instruction set, after its `product_any` and the rows of the product that its registers
// hold: c[rows][vectors] = (or, with ADD, +=) the sum over pairs of columns of a[row][pair] * b[pair][lane]. Rows are a
// multiple of `ROWS`. It may read columns up to a multiple of `WIDE_DEPTH`: of a and b, one has zeros there and the other no
// number that is none.

constexpr int KEYS = 128;  // of a picture, that a tile of queries looks at together: their scores stay in the first cache

inline __m256i rounded(__m512 values) { return (__m256i)_mm512_cvtneps_pbh(values); }

constexpr float LOG2_E = 1.44269504f;

// 2^x for x <= 0, to 9e-5 of it, for what is then rounded to bfloat16; 1 for 0. A polynomial in x - floor(x), the best of its
// degree with that one. What is not a number stays that: a maximum returns its second operand then.
inline __m512 power(__m512 given) {
    const __m512 x = _mm512_max_ps(_mm512_set1_ps(-126.0f), given), part = _mm512_reduce_ps(x, _MM_FROUND_TO_NEG_INF);
    __m512 series = _mm512_set1_ps(0.0770670604f);
    for (float factor : {0.227644971f, 0.695116791f, 1.0f}) series = _mm512_fmadd_ps(series, part, _mm512_set1_ps(factor));
    return _mm512_scalef_ps(series, x);  // by 2^floor(x)
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
    const int size = picture.size, padded = Picture::padded_size(size), deep = Picture::deep_size(size);
    alignas(64) float turned[MOST_HEAD];
    alignas(64) uint16_t key[MOST_HEAD];
    for (int block = first; block < round_up(last, WIDE_DEPTH); block += LANES) {
        uint16_t* keys = picture.keys + size_t(block) * deep;
        uint16_t* values = picture.values + size_t(block) * padded;
        std::memset(keys, 0, sizeof(uint16_t) * LANES * deep);
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
    const int size = picture.size, padded = Picture::padded_size(size), deep = Picture::deep_size(size);
    const int rows = round_up(count, ROWS);
    alignas(64) uint16_t queries[QUERIES * MOST_HEAD], weights[QUERIES * KEYS];
    alignas(64) float scores[QUERIES * KEYS], sums[QUERIES * MOST_HEAD], turned[MOST_HEAD] = {};
    float most[QUERIES], total[QUERIES] = {};
    std::memset(queries, 0, sizeof(uint16_t) * rows * deep);
    std::memset(sums, 0, sizeof(float) * rows * padded);
    std::fill(most, most + QUERIES, -INFINITY);
    for (int q = 0; q < count; ++q) {
        const size_t token = size_t(first) + q, angles = token * (size / 2);
        turn(picture.qkv + picture.stride * token, picture.cosines + angles, picture.sines + angles, size, turned);
        round_to(turned, size, queries + q * deep);
    }
    for (int start = 0; start < picture.length; start += KEYS) {
        const int keys = std::min(KEYS, picture.length - start), vectors = round_up(keys, WIDE_DEPTH) / LANES;
        product_any<false>(queries, deep, rows, picture.keys + size_t(start) * deep, 2 * LANES, size_t(deep) * LANES,
                           vectors, size / 2, scores, KEYS);
        for (int q = 0; q < count; ++q) {
            float* row = scores + q * KEYS;
            std::fill(row + keys, row + vectors * LANES, -INFINITY);
            __m512 largest = _mm512_set1_ps(most[q]), sum = _mm512_setzero_ps();
            for (int v = 0; v < vectors; ++v) largest = _mm512_max_ps(_mm512_load_ps(row + v * LANES), largest);
            const float now = _mm512_reduce_max_ps(largest);
            const __m512 by = _mm512_set1_ps(scale * LOG2_E), top = _mm512_set1_ps(now * (scale * LOG2_E));
            for (int v = 0; v < vectors; v += 2) {
                const __m512 low = power(_mm512_fmsub_ps(_mm512_load_ps(row + v * LANES), by, top));
                const __m512 high = power(_mm512_fmsub_ps(_mm512_load_ps(row + (v + 1) * LANES), by, top));
                _mm512_store_si512(weights + q * KEYS + v * LANES, (__m512i)_mm512_cvtne2ps_pbh(high, low));
                sum = _mm512_add_ps(sum, _mm512_add_ps(low, high));
            }
            if (now != most[q]) {
                const float factor = std::exp((most[q] - now) * scale);
                total[q] *= factor;
                for (int c = 0; c < padded; ++c) sums[q * padded + c] *= factor;
                most[q] = now;
            }
            total[q] += _mm512_reduce_add_ps(sum);
        }
        product_any<true>(weights, KEYS, rows, picture.values + size_t(start) * padded, 2 * padded, 2 * LANES,
                          padded / LANES, vectors * LANES / 2, sums, padded);
    }
    for (int q = 0; q < count; ++q) {
        const __m512 inverse = _mm512_set1_ps(1.0f / total[q]);
        for (int c = 0; c < padded; c += LANES)
            _mm512_storeu_ps(turned + c, _mm512_mul_ps(_mm512_loadu_ps(sums + q * padded + c), inverse));
        alignas(64) uint16_t out[MOST_HEAD];
        round_to(turned, size, out);
        std::memcpy(picture.y + size_t(picture.hidden) * (first + q), out, sizeof(uint16_t) * size);
    }
}

// Numbers of two rows, pair by pair.
inline __m512i in_pairs(__m512i both) {  // the first row's 16, then the second's
    alignas(64) static constexpr auto ORDER = [] {
        std::array<uint16_t, 2 * LANES> order{};
        for (int i = 0; i < 2 * LANES; ++i) order[i] = uint16_t(i / 2 + i % 2 * LANES);
        return order;
    }();
    return _mm512_permutexvar_epi16(_mm512_load_si512(ORDER.data()), both);
}

inline __m512i in_pairs(__m512 first, __m512 second) { return in_pairs((__m512i)_mm512_cvtne2ps_pbh(second, first)); }

inline __m256i sixteen(const uint16_t* from) { return _mm256_loadu_si256(reinterpret_cast<const __m256i*>(from)); }

inline __m512 sixteen(const int8_t* from) {
    return _mm512_cvtepi32_ps(_mm512_cvtepi8_epi32(_mm_loadu_si128(reinterpret_cast<const __m128i*>(from))));
}

inline __m512i in_pairs(const uint16_t* first, const uint16_t* second) {
    return in_pairs(_mm512_inserti64x4(_mm512_castsi256_si512(sixteen(first)), sixteen(second), 1));
}

inline __m512i in_pairs(const int8_t* first, const int8_t* second) { return in_pairs(sixteen(first), sixteen(second)); }

inline void copy(const uint16_t* from, int size, uint16_t* to) { std::memcpy(to, from, sizeof(uint16_t) * size); }

inline void copy(const int8_t* from, int size, uint16_t* to) {  // 8 bits hold every byte
    for (int c = 0; c < size; c += LANES)
        _mm256_storeu_si256(reinterpret_cast<__m256i*>(to + c), rounded(sixteen(from + c)));
}

// Column i of 16 vectors of double words goes to `to` + i * `stride` numbers of 16 bits.
inline void transpose(const __m512i* x, uint16_t* to, size_t stride) {
    __m512i two[LANES], four[LANES];
    for (int i = 0; i < LANES; i += 2) {
        two[i] = _mm512_unpacklo_epi32(x[i], x[i + 1]);
        two[i + 1] = _mm512_unpackhi_epi32(x[i], x[i + 1]);
    }
    for (int i = 0; i < LANES; i += 4)
        for (int j = 0; j < 2; ++j) {
            four[i + 2 * j] = _mm512_unpacklo_epi64(two[i + j], two[i + j + 2]);
            four[i + 2 * j + 1] = _mm512_unpackhi_epi64(two[i + j], two[i + j + 2]);
        }
    for (int j = 0; j < 4; ++j) {  // four[i + j]: columns j, 4 + j, 8 + j and 12 + j of four vectors
        const __m512i low = _mm512_shuffle_i32x4(four[j], four[4 + j], 0x44);
        const __m512i high = _mm512_shuffle_i32x4(four[j], four[4 + j], 0xee);
        const __m512i later_low = _mm512_shuffle_i32x4(four[8 + j], four[12 + j], 0x44);
        const __m512i later_high = _mm512_shuffle_i32x4(four[8 + j], four[12 + j], 0xee);
        _mm512_storeu_si512(to + j * stride, _mm512_shuffle_i32x4(low, later_low, 0x88));
        _mm512_storeu_si512(to + (4 + j) * stride, _mm512_shuffle_i32x4(low, later_low, 0xdd));
        _mm512_storeu_si512(to + (8 + j) * stride, _mm512_shuffle_i32x4(high, later_high, 0x88));
        _mm512_storeu_si512(to + (12 + j) * stride, _mm512_shuffle_i32x4(high, later_high, 0xdd));
    }
}

// Scores stand with a query a lane, so that a softmax goes down the lanes and needs no horizontal operation; weights are
// transposed then. Bytes are met as they are: their scales go to scores and weights.
template <typename Stored>
void attend_many_stored(const Cache& cache, const int64_t* table, int head, const Queries& some, float scale,
                        float* room) {
    constexpr int VECTORS = QUERIES / LANES;
    constexpr bool SCALED = std::is_same_v<Stored, int8_t>;
    const int size = cache.head_size, deep = round_up(size, WIDE_DEPTH);
    const int rows = some.tokens * some.heads, vectors = (rows + LANES - 1) / LANES;
    const Stored* all_keys = static_cast<const Stored*>(cache.keys);
    const Stored* all_values = static_cast<const Stored*>(cache.values);
    float* sums = room;                                                      // [QUERIES][size]
    uint16_t* queries = reinterpret_cast<uint16_t*>(sums + QUERIES * size);  // [deep / 2][QUERIES][2]
    uint16_t* keys = queries + deep * QUERIES;                               // [TILE][deep]
    uint16_t* values = keys + TILE * deep;                                   // [TILE / 2][size][2]
    alignas(64) float scores[TILE * QUERIES];
    alignas(64) uint16_t weights[QUERIES * TILE];
    std::fill(sums, sums + vectors * LANES * size, 0.0f);
    if (deep > size) std::fill(keys, keys + TILE * deep, 0);
    alignas(64) float scaled[MOST_HEAD], factors[QUERIES], total_of[QUERIES];
    alignas(64) uint16_t some_queries[LANES * MOST_HEAD] = {};  // [16][deep]
    alignas(64) int32_t places[QUERIES] = {};                   // the last key that each query sees
    for (int q = 0; q < rows; ++q) {
        const float* from = some.queries + some.stride * (q / some.heads) + size_t(q % some.heads) * size;
        for (int c = 0; c < size; ++c) scaled[c] = from[c] * scale;
        round_to(scaled, size, some_queries + q % LANES * deep);
        places[q] = some.first_place + q / some.heads;
        if (q % LANES < LANES - 1 && q < rows - 1) continue;
        for (int c = 0; c < deep; c += 2 * LANES) {
            __m512i both[LANES];
            for (int i = 0; i < LANES; ++i) both[i] = _mm512_loadu_si512(some_queries + i * deep + c);
            transpose(both, queries + c * QUERIES + 2 * (q / LANES * LANES), 2 * QUERIES);
        }
    }
    __m512 most[VECTORS], total[VECTORS];
    for (int v = 0; v < VECTORS; ++v) most[v] = _mm512_set1_ps(-INFINITY), total[v] = _mm512_setzero_ps();
    const int last = some.first_place + some.tokens;
    for (int start = 0; start < last; start += TILE) {
        const int count = std::min(TILE, last - start);
        size_t place[TILE];
        for (int t = 0; t < count; ++t)
            place[t] = cache.row(table[(start + t) / cache.block_size], head, (start + t) % cache.block_size);
        for (int t = 0; t < count; ++t) copy(all_keys + place[t] * size, size, keys + t * deep);
        for (int t = 0; t < count; t += 2) {  // the last of an odd number meets a weight of 0
            const Stored* first = all_values + place[t] * size;
            const Stored* second = all_values + place[std::min(t + 1, count - 1)] * size;
            for (int c = 0; c < size; c += LANES)
                _mm512_storeu_si512(values + t * size + 2 * c, in_pairs(first + c, second + c));
        }
        std::fill(values + round_up(count, 2) * size, values + round_up(count, WIDE_DEPTH) * size, 0);
        product_any<false>(keys, deep, round_up(count, ROWS), queries, 2 * QUERIES, 2 * LANES, vectors, size / 2, scores,
                           QUERIES);
        bool moved = false;
        for (int v = 0; v < vectors; ++v) {
            float* column = scores + v * LANES;
            if (SCALED)
                for (int t = 0; t < count; ++t) {
                    const __m512 key = _mm512_set1_ps(cache.key_scales[place[t]]);
                    _mm512_store_ps(column + t * QUERIES, _mm512_mul_ps(_mm512_load_ps(column + t * QUERIES), key));
                }
            const __m512i seen = _mm512_load_si512(places + v * LANES);
            for (int t = std::max(0, some.first_place + 1 - start); t < count; ++t) {
                const __mmask16 hidden = _mm512_cmplt_epi32_mask(seen, _mm512_set1_epi32(start + t));
                _mm512_mask_store_ps(column + t * QUERIES, hidden, _mm512_set1_ps(-INFINITY));
            }
            __m512 now = most[v], sum = _mm512_setzero_ps();
            for (int t = 0; t < count; ++t) now = _mm512_max_ps(_mm512_load_ps(column + t * QUERIES), now);
            const __m512 by = _mm512_set1_ps(LOG2_E), top = _mm512_mul_ps(now, by);
            const auto weight = [&](int t) {
                if (t >= count) return _mm512_setzero_ps();
                const __m512 found = power(_mm512_fmsub_ps(_mm512_load_ps(column + t * QUERIES), by, top));
                sum = _mm512_add_ps(sum, found);
                return SCALED ? _mm512_mul_ps(found, _mm512_set1_ps(cache.value_scales[place[t]])) : found;
            };
            for (int t = 0; t < count; t += 2 * LANES) {
                __m512i both[LANES];
                for (int i = 0; i < LANES; ++i) {
                    const __m512 first = weight(t + 2 * i);
                    both[i] = in_pairs(first, weight(t + 2 * i + 1));
                }
                transpose(both, weights + v * LANES * TILE + t, TILE);
            }
            const __m512 factor = power(_mm512_mul_ps(_mm512_sub_ps(most[v], now), by));  // 1 where nothing moved
            _mm512_store_ps(factors + v * LANES, factor);
            moved |= _mm512_cmpneq_ps_mask(most[v], now) != 0;
            total[v] = _mm512_fmadd_ps(total[v], factor, sum);
            most[v] = now;
        }
        if (moved)
            for (int q = 0; q < rows; ++q)
                for (int c = 0; c < size; ++c) sums[q * size + c] *= factors[q];
        product_any<true>(weights, TILE, round_up(rows, ROWS), values, 2 * size, 2 * LANES, size / LANES,
                          (count + 1) / 2, sums, size);
    }
    for (int v = 0; v < vectors; ++v) _mm512_store_ps(total_of + v * LANES, total[v]);
    for (int q = 0; q < rows; ++q) {
        float* to = some.y + some.stride * (q / some.heads) + size_t(q % some.heads) * size;
        for (int c = 0; c < size; ++c) to[c] = sums[q * size + c] / total_of[q];
    }
}

void attend_many(const Cache& cache, const int64_t* table, int head, const Queries& some, float scale, float* room) {
    const auto attend = cache.format == INT8 ? attend_many_stored<int8_t> : attend_many_stored<uint16_t>;
    attend(cache, table, head, some, scale, room);
}
