// What is written in vectors of 16 floats for any instruction set: attention of single queries over the paged cache, what
// stands before it (head norm, rotary turn, cache write), SwiGLU.
//
// Included by the file of each instruction set, inside its namespace: the vector types below become that set's own.

typedef float Floats __attribute__((vector_size(64), aligned(4)));
typedef int32_t Ints __attribute__((vector_size(64), aligned(4)));
typedef uint32_t Words __attribute__((vector_size(64), aligned(4)));
typedef uint16_t Shorts __attribute__((vector_size(32), aligned(2)));

typedef float Quarter __attribute__((vector_size(16), aligned(4)));
typedef int32_t QuarterInts __attribute__((vector_size(16)));

constexpr int AHEAD_KEYS = 8;

template <typename T>
inline T at(const void* from) {
    T values;
    __builtin_memcpy(&values, from, sizeof(T));
    return values;
}

inline Floats all(float value) { return Floats{} + value; }

inline float sum_of(const Floats& values) {
    float part[LANES], total = 0;
    __builtin_memcpy(part, &values, sizeof(part));
    for (int step = LANES / 2; step; step /= 2)
        for (int i = 0; i < step; ++i) part[i] += part[i + step];
    return total + part[0];
}

float dot(const float* x, const float* y, int count) {
    Floats sums[4] = {};
    int i = 0;
    for (; i + 4 * LANES <= count; i += 4 * LANES)
        for (int part = 0; part < 4; ++part)
            sums[part] += at<Floats>(x + i + part * LANES) * at<Floats>(y + i + part * LANES);
    float total = sum_of((sums[0] + sums[1]) + (sums[2] + sums[3]));
    for (; i < count; ++i) total += x[i] * y[i];
    return total;
}

// 16 stored numbers, without the scale of bytes.
inline Floats widen(const uint16_t* from) {
    const Words words = __builtin_convertvector(at<Shorts>(from), Words) << 16;
    return (Floats)words;
}
// The compiler takes bytes apart one by one where it is left to itself.
inline Floats widen(const int8_t* from) {
#ifdef __AVX512F__
    return (Floats)_mm512_cvtepi32_ps(_mm512_cvtepi8_epi32(at<__m128i>(from)));
#else
    Floats values;
    for (int half = 0; half < 2; ++half) {
        const __m128i bytes = _mm_loadl_epi64(reinterpret_cast<const __m128i*>(from + half * LANES / 2));
        _mm256_storeu_ps(reinterpret_cast<float*>(&values) + half * LANES / 2,
                         _mm256_cvtepi32_ps(_mm256_cvtepi8_epi32(bytes)));
    }
    return values;
#endif
}
inline Floats widen(const float* from) { return at<Floats>(from); }

inline uint16_t to_bfloat16(float value) {
    uint32_t bits;
    __builtin_memcpy(&bits, &value, 4);
    if ((bits & 0x7fffffff) > 0x7f800000) return uint16_t(bits >> 16 | 0x40);  // not a number: stays one
    return uint16_t((bits + 0x7fff + (bits >> 16 & 1)) >> 16);
}

// e^x: 2^n e^r with |r| <= ln(2) / 2, e^r by its series to the sixth term (relative error 2e-7). From -87 on down it stays
// e^-87; what is not a number stays that.
inline Floats exponential(const Floats& given) {
    const Floats low = given < all(-87.0f) ? all(-87.0f) : given;
    const Floats x = low > all(88.0f) ? all(88.0f) : low;
    const Floats big = all(12582912.0f), n = (x * 1.44269504f + big) - big;
    const Floats r = x - n * 0.693359375f + n * 2.12194440e-4f;
    Floats series = all(1.0f / 720);
    for (float factor : {1.0f / 120, 1.0f / 24, 1.0f / 6, 0.5f, 1.0f, 1.0f}) series = series * r + factor;
    const Ints power = (__builtin_convertvector(n, Ints) + 127) << 23;
    return series * (Floats)power;
}

void swiglu(const float* gate, const float* up, int count, float* out) {
    int i = 0;
    for (; i + LANES <= count; i += LANES) {
        const Floats g = at<Floats>(gate + i), h = g / (exponential(-g) + 1.0f) * at<Floats>(up + i);
        __builtin_memcpy(out + i, &h, sizeof(h));
    }
    for (; i < count; ++i) out[i] = gate[i] / (1.0f + std::exp(-gate[i])) * up[i];
}

// y = values + bias + residual, of which either may be null.
void store_sum(const float* values, const float* bias, const float* residual, int count, float* y) {
    int i = 0;
    for (; i + LANES <= count; i += LANES) {
        Floats sum = at<Floats>(values + i);
        if (bias) sum += at<Floats>(bias + i);
        if (residual) sum += at<Floats>(residual + i);
        __builtin_memcpy(y + i, &sum, sizeof(sum));
    }
    for (; i < count; ++i) y[i] = values[i] + (bias ? bias[i] : 0.0f) + (residual ? residual[i] : 0.0f);
}

// y += weight * values
void add_weighted(const float* values, float weight, int count, float* y) {
    int i = 0;
    for (; i + LANES <= count; i += LANES) {
        const Floats sum = at<Floats>(y + i) + at<Floats>(values + i) * weight;
        __builtin_memcpy(y + i, &sum, sizeof(sum));
    }
    for (; i < count; ++i) y[i] += weight * values[i];
}

// The sums of four vectors' numbers.
inline Quarter sums_of(const Floats* four) {
    Quarter part[4];
    for (int i = 0; i < 4; ++i) {
        const Quarter* quarters = reinterpret_cast<const Quarter*>(&four[i]);
        part[i] = (quarters[0] + quarters[1]) + (quarters[2] + quarters[3]);
    }
    const QuarterInts low = {0, 4, 1, 5}, high = {2, 6, 3, 7}, even = {0, 1, 4, 5}, odd = {2, 3, 6, 7};
    const Quarter first = __builtin_shuffle(part[0], part[1], low) + __builtin_shuffle(part[0], part[1], high);
    const Quarter second = __builtin_shuffle(part[2], part[3], low) + __builtin_shuffle(part[2], part[3], high);
    return __builtin_shuffle(first, second, even) + __builtin_shuffle(first, second, odd);
}

// Where the rows of one key head lie, for some consecutive tokens of a sequence.
struct Places {
    size_t row[TILE];

    Places(const Cache& cache, const int64_t* table, int head, int first, int count) {
        int block = first / cache.block_size, offset = first % cache.block_size;
        for (int t = 0; t < count; ++t) {
            row[t] = cache.row(table[block], head, offset);
            if (++offset == cache.block_size) offset = 0, ++block;
        }
        for (int t = count; t < TILE; ++t) row[t] = row[count - 1];  // any that may be read
    }
};

// Products of Q queries with the keys of a tile, scores[Q][TILE]; 8 sums at a time fill the registers.
template <typename Stored, int Q>
void score_tile(const float* queries, int size, const Stored* keys, const Stored* values, const Places& places,
                int count, float (*scores)[TILE]) {
    constexpr int SUMS = 8, K = SUMS / Q;
    for (int t = 0; t < count; t += K) {
        const Stored* row[K];
        for (int k = 0; k < K; ++k) {
            row[k] = keys + places.row[t + k] * size;
            // The processor cannot know where the next ones lie, nor the values that come after them.
            const size_t next = places.row[std::min(t + k + AHEAD_KEYS, TILE - 1)] * size;
            for (int line = 0; line < size; line += 64 / int(sizeof(Stored))) {
                __builtin_prefetch(keys + next + line);
                __builtin_prefetch(values + places.row[t + k] * size + line);
            }
        }
        Floats sums[SUMS] = {};
        for (int c = 0; c < size; c += LANES)
            for (int k = 0; k < K; ++k) {
                const Floats key = widen(row[k] + c);
                for (int q = 0; q < Q; ++q) sums[q * K + k] += at<Floats>(queries + q * size + c) * key;
            }
        float found[SUMS];
        for (int i = 0; i < SUMS; i += 4) {
            const Quarter four = sums_of(sums + i);
            __builtin_memcpy(found + i, &four, sizeof(four));
        }
        for (int q = 0; q < Q; ++q)
            for (int k = 0; k < K; ++k) scores[q][t + k] = found[q * K + k];
    }
}

// Adds the values of a tile, each times its weight, to out[Q][size].
template <typename Stored, int Q>
void add_values(const Stored* values, int size, const Places& places, int count, const float (*weights)[TILE],
                float* out) {
    constexpr int C = 8 / Q;  // vectors of each output at a time
    int c = 0;
    auto add = [&](auto vectors) {
        constexpr int N = decltype(vectors)::value;
        Floats sums[Q][N];
        for (int q = 0; q < Q; ++q)
            for (int i = 0; i < N; ++i) sums[q][i] = at<Floats>(out + q * size + c + i * LANES);
        for (int t = 0; t < count; ++t)
            for (int i = 0; i < N; ++i) {
                const Floats value = widen(values + places.row[t] * size + c + i * LANES);
                for (int q = 0; q < Q; ++q) sums[q][i] += value * weights[q][t];
            }
        for (int q = 0; q < Q; ++q)
            for (int i = 0; i < N; ++i) __builtin_memcpy(out + q * size + c + i * LANES, &sums[q][i], sizeof(Floats));
        c += N * LANES;
    };
    while (c + C * LANES <= size) add(std::integral_constant<int, C>());
    while (c < size) add(std::integral_constant<int, 1>());
}

// One part of a sequence's keys for Q queries that share a key head: unnormalised output [Q, size], the running maximum
// and sum of each query.
template <typename Stored, int Q>
void attend_part(const Cache& cache, const int64_t* table, int head, const float* queries, int first, int last,
                 float scale, float* out, float* maximum, float* total) {
    const int size = cache.head_size;
    const Stored* keys = static_cast<const Stored*>(cache.keys);
    const Stored* values = static_cast<const Stored*>(cache.values);
    alignas(64) float scores[Q][TILE];
    std::fill(out, out + Q * size, 0.0f);
    std::fill(maximum, maximum + Q, -INFINITY);
    std::fill(total, total + Q, 0.0f);
    for (int start = first; start < last; start += TILE) {
        const int count = std::min(TILE, last - start);
        const Places places(cache, table, head, start, count);
        score_tile<Stored, Q>(queries, size, keys, values, places, count, scores);
        for (int q = 0; q < Q; ++q) {
            float most = maximum[q];
            for (int t = 0; t < count; ++t) {
                scores[q][t] *= cache.key_scales ? scale * cache.key_scales[places.row[t]] : scale;
                most = std::max(most, scores[q][t]);
            }
            std::fill(scores[q] + count, scores[q] + TILE, -INFINITY);
            Floats sums = {};
            for (int t = 0; t < count; t += LANES) {
                const Floats weights = exponential(at<Floats>(scores[q] + t) - most);
                __builtin_memcpy(scores[q] + t, &weights, sizeof(weights));
                sums += weights;
            }
            const float kept = std::exp(maximum[q] - most);
            maximum[q] = most;
            total[q] = total[q] * kept + sum_of(sums);
            if (kept != 1.0f)
                for (int c = 0; c < size; ++c) out[q * size + c] *= kept;
            if (cache.value_scales)
                for (int t = 0; t < count; ++t) scores[q][t] *= cache.value_scales[places.row[t]];
        }
        add_values<Stored, Q>(values, size, places, count, scores, out);
    }
}

template <typename Stored>
void attend_stored(const Cache& cache, const int64_t* table, int head, const float* queries, int count, int first,
                   int last, float scale, float* out, float* maximum, float* total) {
    const int size = cache.head_size;
    auto some = [&](auto number) {
        constexpr int Q = decltype(number)::value;
        for (; count >= Q; count -= Q, queries += Q * size, out += Q * size, maximum += Q, total += Q)
            attend_part<Stored, Q>(cache, table, head, queries, first, last, scale, out, maximum, total);
    };
    some(std::integral_constant<int, 8>());
    some(std::integral_constant<int, 4>());
    some(std::integral_constant<int, 2>());
    some(std::integral_constant<int, 1>());
}

void attend_any(const Cache& cache, const int64_t* table, int head, const float* queries, int count, int first,
                int last, float scale, float* out, float* maximum, float* total) {
    const auto attend = cache.format == INT8       ? attend_stored<int8_t>
                        : cache.format == BFLOAT16 ? attend_stored<uint16_t>
                                                   : attend_stored<float>;
    attend(cache, table, head, queries, count, first, last, scale, out, maximum, total);
}

void store_head(const Cache& cache, bool key, int64_t slot, int head, const float* values) {
    const size_t place = cache.row(slot / cache.block_size, head, int(slot % cache.block_size));
    const size_t start = place * cache.head_size;
    void* data = key ? cache.keys : cache.values;
    float* scales = key ? cache.key_scales : cache.value_scales;
    if (cache.format == FLOAT32) {
        std::copy(values, values + cache.head_size, static_cast<float*>(data) + start);
        return;
    }
    if (cache.format == BFLOAT16) {
        uint16_t* to = static_cast<uint16_t*>(data) + start;
        for (int i = 0; i < cache.head_size; ++i) to[i] = to_bfloat16(values[i]);
        return;
    }
    float largest = 0;
    for (int i = 0; i < cache.head_size; ++i) largest = std::max(largest, std::fabs(values[i]));
    const float inverse = largest > 0 ? 127.0f / largest : 0.0f;
    int8_t* to = static_cast<int8_t*>(data) + start;
    for (int i = 0; i < cache.head_size; ++i) to[i] = int8_t(std::nearbyint(values[i] * inverse));
    scales[place] = largest / 127.0f;
}

void turn_head(const float* x, const float* weight, float eps, const float* cosines, const float* sines, int size,
               float* out) {
    rms_norm(x, weight, eps, size, out);
    for (int i = 0; i < size / 2; ++i) {
        const float low = out[i], high = out[i + size / 2];
        out[i] = low * cosines[i] - high * sines[i];
        out[i + size / 2] = high * cosines[i] + low * sines[i];
    }
}
