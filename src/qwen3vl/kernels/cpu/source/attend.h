// What is written in vectors of floats for any instruction set: attention of single queries over the paged cache, what
// stands before it (head norm, rotary turn, cache write), SwiGLU.
//
// Included by the file of each instruction set, inside its namespace, after `VECTORS_OF_512` where it has such vectors: the
// types below are its registers. (Compilers take larger ones apart number by number, and they do not agree whether a target
// that is set within a file defines its own macros.)

#ifdef VECTORS_OF_512
constexpr int WIDTH = 16;
constexpr int SUMS = 16;  // that are kept at a time: half of the registers
#else
constexpr int WIDTH = 8;
constexpr int SUMS = 8;
#endif

typedef float Floats __attribute__((vector_size(4 * WIDTH), aligned(4)));
typedef int32_t Ints __attribute__((vector_size(4 * WIDTH), aligned(4)));
typedef uint32_t Words __attribute__((vector_size(4 * WIDTH), aligned(4)));
typedef uint16_t Shorts __attribute__((vector_size(2 * WIDTH), aligned(2)));

typedef float Quarter __attribute__((vector_size(16), aligned(4)));
typedef int32_t QuarterInts __attribute__((vector_size(16)));

template <typename T>
inline T at(const void* from) {
    T values;
    __builtin_memcpy(&values, from, sizeof(T));
    return values;
}

inline Floats all(float value) { return Floats{} + value; }

inline float sum_of(const Floats& values) {
    float part[WIDTH], total = 0;
    __builtin_memcpy(part, &values, sizeof(part));
    for (int step = WIDTH / 2; step; step /= 2)
        for (int i = 0; i < step; ++i) part[i] += part[i + step];
    return total + part[0];
}

inline float largest_of(const Floats& values) {
    float part[WIDTH];
    __builtin_memcpy(part, &values, sizeof(part));
    for (int step = WIDTH / 2; step; step /= 2)
        for (int i = 0; i < step; ++i) part[i] = std::max(part[i], part[i + step]);
    return part[0];
}

float dot(const float* x, const float* y, int count) {
    Floats sums[4] = {};
    int i = 0;
    for (; i + 4 * WIDTH <= count; i += 4 * WIDTH)
        for (int part = 0; part < 4; ++part)
            sums[part] += at<Floats>(x + i + part * WIDTH) * at<Floats>(y + i + part * WIDTH);
    float total = sum_of((sums[0] + sums[1]) + (sums[2] + sums[3]));
    for (; i < count; ++i) total += x[i] * y[i];
    return total;
}

// `WIDTH` stored numbers, without the scale of bytes.
inline Floats widen(const uint16_t* from) {
    const Words words = __builtin_convertvector(at<Shorts>(from), Words) << 16;
    return (Floats)words;
}
// The compiler takes bytes apart one by one where it is left to itself.
inline Floats widen(const int8_t* from) {
#ifdef VECTORS_OF_512
    return (Floats)_mm512_cvtepi32_ps(_mm512_cvtepi8_epi32(at<__m128i>(from)));
#else
    return (Floats)_mm256_cvtepi32_ps(_mm256_cvtepi8_epi32(_mm_loadl_epi64(reinterpret_cast<const __m128i*>(from))));
#endif
}
inline Floats widen(const float* from) { return at<Floats>(from); }

// Twice `WIDTH` stored numbers. Those of two bytes come apart quickest as the even and the odd ones, so queries that meet
// them are laid out that way, and so is what their values are added to.
template <typename Stored>
inline void widen_two(const Stored* from, Floats* to) {
    if constexpr (std::is_same_v<Stored, uint16_t>) {
        const Words pairs = at<Words>(from);
        to[0] = (Floats)(pairs << 16), to[1] = (Floats)(pairs & 0xffff0000u);
    } else {
        to[0] = widen(from), to[1] = widen(from + WIDTH);
    }
}

// Numbers in the order of `widen_two`, and back.
template <typename Stored>
inline void lay_out(const float* from, int size, float* to) {
    std::copy(from, from + size, to);
    if constexpr (std::is_same_v<Stored, uint16_t>)
        for (int c = 0; c + 2 * WIDTH <= size; c += 2 * WIDTH)
            for (int i = 0; i < WIDTH; ++i) to[c + i] = from[c + 2 * i], to[c + WIDTH + i] = from[c + 2 * i + 1];
}
template <typename Stored>
inline void lay_back(float* values, int size) {
    if constexpr (std::is_same_v<Stored, uint16_t>)
        for (int c = 0; c + 2 * WIDTH <= size; c += 2 * WIDTH) {
            float pairs[2 * WIDTH];
            for (int i = 0; i < WIDTH; ++i) pairs[2 * i] = values[c + i], pairs[2 * i + 1] = values[c + WIDTH + i];
            std::copy(pairs, pairs + 2 * WIDTH, values + c);
        }
}

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
    for (; i + WIDTH <= count; i += WIDTH) {
        const Floats g = at<Floats>(gate + i), h = g / (exponential(-g) + 1.0f) * at<Floats>(up + i);
        __builtin_memcpy(out + i, &h, sizeof(h));
    }
    for (; i < count; ++i) out[i] = gate[i] / (1.0f + std::exp(-gate[i])) * up[i];
}

// y = values + bias + residual, of which either may be null.
void store_sum(const float* values, const float* bias, const float* residual, int count, float* y) {
    int i = 0;
    for (; i + WIDTH <= count; i += WIDTH) {
        Floats sum = at<Floats>(values + i);
        if (bias) sum += at<Floats>(bias + i);
        if (residual) sum += at<Floats>(residual + i);
        __builtin_memcpy(y + i, &sum, sizeof(sum));
    }
    for (; i < count; ++i) y[i] = values[i] + (bias ? bias[i] : 0.0f) + (residual ? residual[i] : 0.0f);
}

// y = values; returns the largest of them. What is not a number is none.
float store_largest(const float* values, int count, float* y) {
    Floats most = all(-INFINITY);
    int i = 0;
    for (; i + WIDTH <= count; i += WIDTH) {
        const Floats some = at<Floats>(values + i);
        __builtin_memcpy(y + i, &some, sizeof(some));
        most = some > most ? some : most;
    }
    float largest = largest_of(most);
    for (; i < count; ++i) y[i] = values[i], largest = values[i] > largest ? values[i] : largest;
    return largest;
}

// y += weight * values
void add_weighted(const float* values, float weight, int count, float* y) {
    int i = 0;
    for (; i + WIDTH <= count; i += WIDTH) {
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
        part[i] = quarters[0] + quarters[1];
        if (WIDTH == 16) part[i] += quarters[2] + quarters[3];
    }
    const QuarterInts low = {0, 4, 1, 5}, high = {2, 6, 3, 7}, even = {0, 1, 4, 5}, odd = {2, 3, 6, 7};
    const Quarter first = __builtin_shuffle(part[0], part[1], low) + __builtin_shuffle(part[0], part[1], high);
    const Quarter second = __builtin_shuffle(part[2], part[3], low) + __builtin_shuffle(part[2], part[3], high);
    return __builtin_shuffle(first, second, even) + __builtin_shuffle(first, second, odd);
}

// The sums of `SUMS` vectors' numbers.
inline void all_sums_of(const Floats* vectors, float* out) {
#ifdef VECTORS_OF_512
    __m512 part[SUMS];
    for (int i = 0; i < 8; ++i) {  // halves of two vectors, then quarters of four
        const __m512 a = vectors[i], b = vectors[i + 8];
        part[i] = _mm512_add_ps(_mm512_shuffle_f32x4(a, b, 0x44), _mm512_shuffle_f32x4(a, b, 0xee));
    }
    for (int i = 0; i < 4; ++i) {
        const __m512 a = part[i], b = part[i + 4];
        part[i] = _mm512_add_ps(_mm512_shuffle_f32x4(a, b, 0x88), _mm512_shuffle_f32x4(a, b, 0xdd));
    }
    for (int i = 0; i < 4; i += 2)  // within each quarter
        part[i] = _mm512_add_ps(_mm512_unpacklo_ps(part[i], part[i + 1]), _mm512_unpackhi_ps(part[i], part[i + 1]));
    const __m512d even = _mm512_castps_pd(part[0]), odd = _mm512_castps_pd(part[2]);
    const __m512 sums = _mm512_add_ps(_mm512_castpd_ps(_mm512_unpacklo_pd(even, odd)),
                                      _mm512_castpd_ps(_mm512_unpackhi_pd(even, odd)));
    _mm512_storeu_ps(out, _mm512_shuffle_f32x4(sums, sums, 0xd8));  // its quarters were 0, 2, 1, 3
#else
    for (int i = 0; i < SUMS; i += 4) {
        const Quarter four = sums_of(vectors + i);
        __builtin_memcpy(out + i, &four, sizeof(four));
    }
#endif
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

// Has the line that begins at a stored number brought nearer; called for each pair of vectors.
template <typename Stored>
inline void fetch(const Stored* row, int c) {
    if (c * sizeof(Stored) % 64 == 0) __builtin_prefetch(row + c, 0, 2);
}

// Products of Q queries with the keys of a tile, scores[Q][TILE]. Those of the next tile are fetched: the processor cannot
// know where they lie, and as many requests at once as a whole row would make it wait.
template <typename Stored, int Q>
void score_tile(const float* queries, int size, const Stored* keys, const Places& places, int count,
                const Places& next, float (*scores)[TILE]) {
    constexpr int K = SUMS / Q;
    for (int t = 0; t < count; t += K) {
        const Stored *row[K], *ahead[K];
        for (int k = 0; k < K; ++k) row[k] = keys + places.row[t + k] * size, ahead[k] = keys + next.row[t + k] * size;
        Floats sums[SUMS] = {};
        int c = 0;
        for (; c + 2 * WIDTH <= size; c += 2 * WIDTH)
            for (int k = 0; k < K; ++k) {
                Floats key[2];
                widen_two(row[k] + c, key);
                fetch(ahead[k], c);
                for (int q = 0; q < Q; ++q)
                    for (int i = 0; i < 2; ++i)
                        sums[q * K + k] += at<Floats>(queries + q * size + c + i * WIDTH) * key[i];
            }
        if (c < size)
            for (int k = 0; k < K; ++k) {
                const Floats key = widen(row[k] + c);
                for (int q = 0; q < Q; ++q) sums[q * K + k] += at<Floats>(queries + q * size + c) * key;
            }
        float found[SUMS];
        all_sums_of(sums, found);
        for (int q = 0; q < Q; ++q)
            for (int k = 0; k < K; ++k) scores[q][t + k] = found[q * K + k];
    }
}

// Adds the values of a tile, each times its weight, to out[Q][size], and fetches those of the next.
template <typename Stored, int Q>
void add_values(const Stored* values, int size, const Places& places, int count, const Places& next,
                const float (*weights)[TILE], float* out) {
    constexpr int C = std::min(4, SUMS / Q / 2);  // pairs of vectors of each output at a time
    int c = 0;
    auto add = [&](auto pairs) {
        constexpr int N = 2 * decltype(pairs)::value;
        Floats sums[Q][N];
        for (int q = 0; q < Q; ++q)
            for (int i = 0; i < N; ++i) sums[q][i] = at<Floats>(out + q * size + c + i * WIDTH);
        for (int t = 0; t < count; ++t)
            for (int i = 0; i < N; i += 2) {
                Floats value[2];
                widen_two(values + places.row[t] * size + c + i * WIDTH, value);
                fetch(values + next.row[t] * size, c + i * WIDTH);
                for (int q = 0; q < Q; ++q)
                    for (int j = 0; j < 2; ++j) sums[q][i + j] += value[j] * weights[q][t];
            }
        for (int q = 0; q < Q; ++q)
            for (int i = 0; i < N; ++i) __builtin_memcpy(out + q * size + c + i * WIDTH, &sums[q][i], sizeof(Floats));
        c += N * WIDTH;
    };
    while (c + 2 * C * WIDTH <= size) add(std::integral_constant<int, C>());
    while (c + 2 * WIDTH <= size) add(std::integral_constant<int, 1>());
    if (c == size) return;
    for (int t = 0; t < count; ++t) {
        const Floats value = widen(values + places.row[t] * size + c);
        for (int q = 0; q < Q; ++q) {
            const Floats sum = at<Floats>(out + q * size + c) + value * weights[q][t];
            __builtin_memcpy(out + q * size + c, &sum, sizeof(sum));
        }
    }
}

// One part of a sequence's keys for Q queries that share a key head: unnormalised output [Q, size], the running maximum
// and sum of each query.
template <typename Stored, int Q>
void attend_part(const Cache& cache, const int64_t* table, int head, const float* given, int first, int last,
                 float scale, float* out, float* maximum, float* total) {
    const int size = cache.head_size;
    const Stored* keys = static_cast<const Stored*>(cache.keys);
    const Stored* values = static_cast<const Stored*>(cache.values);
    alignas(64) float scores[Q][TILE], queries[Q * MOST_HEAD];
    for (int q = 0; q < Q; ++q) lay_out<Stored>(given + q * size, size, queries + q * size);
    std::fill(out, out + Q * size, 0.0f);
    std::fill(maximum, maximum + Q, -INFINITY);
    std::fill(total, total + Q, 0.0f);
    Places next(cache, table, head, first, std::min(TILE, last - first));
    for (int t = 0; t < std::min(TILE, last - first); ++t)
        for (int c = 0; c < size; c += 2 * WIDTH)
            fetch(keys + next.row[t] * size, c), fetch(values + next.row[t] * size, c);
    for (int start = first; start < last; start += TILE) {
        const int count = std::min(TILE, last - start), after = std::min(start + TILE, last - 1);
        const Places places = next;
        next = Places(cache, table, head, after, std::min(TILE, last - after));
        score_tile<Stored, Q>(queries, size, keys, places, count, next, scores);
        for (int q = 0; q < Q; ++q) {
            if (cache.key_scales)
                for (int t = 0; t < count; ++t) scores[q][t] *= cache.key_scales[places.row[t]];
            std::fill(scores[q] + count, scores[q] + TILE, -INFINITY);
            Floats largest = all(maximum[q]), sums = {};
            for (int t = 0; t < count; t += WIDTH) {
                const Floats score = at<Floats>(scores[q] + t) * scale;
                __builtin_memcpy(scores[q] + t, &score, sizeof(score));
                largest = score > largest ? score : largest;
            }
            const float most = largest_of(largest);
            for (int t = 0; t < count; t += WIDTH) {
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
        add_values<Stored, Q>(values, size, places, count, next, scores, out);
    }
    for (int q = 0; q < Q; ++q) lay_back<Stored>(out + q * size, size);
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
    if (SUMS == 16) some(std::integral_constant<int, SUMS / 2>());
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
