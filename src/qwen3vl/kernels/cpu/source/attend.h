// Attention of single queries over the paged cache, and what stands before it: head norm, rotary turn, cache write.
//
// Included by the file of each instruction set, inside its namespace: the vector types below become that set's own.

typedef float Floats __attribute__((vector_size(64), aligned(4)));
typedef int32_t Ints __attribute__((vector_size(64), aligned(4)));
typedef uint32_t Words __attribute__((vector_size(64), aligned(4)));
typedef uint16_t Shorts __attribute__((vector_size(32), aligned(2)));
typedef int8_t Bytes __attribute__((vector_size(16), aligned(1)));

constexpr int TILE = 64;  // keys between two corrections of the running maximum

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

// 16 stored numbers, without the scale of bytes.
inline Floats widen(const uint16_t* from) {
    const Words words = __builtin_convertvector(at<Shorts>(from), Words) << 16;
    return (Floats)words;
}
inline Floats widen(const int8_t* from) { return __builtin_convertvector(at<Bytes>(from), Floats); }

inline uint16_t to_bfloat16(float value) {
    uint32_t bits;
    __builtin_memcpy(&bits, &value, 4);
    if ((bits & 0x7fffffff) > 0x7f800000) return uint16_t(bits >> 16 | 0x40);  // not a number: stays one
    return uint16_t((bits + 0x7fff + (bits >> 16 & 1)) >> 16);
}

// Where the keys (or values) of one head of a sequence lie.
template <typename Stored>
struct Pages {
    const Stored* data;
    const float* scales;  // of bytes; else null
    const int64_t* table;
    int block_size, kv_heads, head, size;

    size_t place(int token) const {
        return (size_t(table[token / block_size]) * block_size + token % block_size) * kv_heads + head;
    }
    const Stored* row(int token) const { return data + place(token) * size; }
    float scale(int token) const { return scales ? scales[place(token)] : 1.0f; }
};

// One part of a sequence's keys for the queries that share a key head: unnormalised output [queries, size], the running
// maximum and sum of each query.
template <typename Stored>
void attend_part(const float* queries, int count, const Pages<Stored>& keys, const Pages<Stored>& values, int first,
                 int last, float scale, float* out, float* maximum, float* total) {
    const int size = keys.size;
    float scores[MOST_SHARED][TILE];
    std::fill(out, out + count * size, 0.0f);
    std::fill(maximum, maximum + count, -INFINITY);
    std::fill(total, total + count, 0.0f);
    for (int start = first; start < last; start += TILE) {
        const int some = std::min(TILE, last - start);
        for (int t = 0; t < some; ++t) {
            const Stored* key = keys.row(start + t);
            const float factor = scale * keys.scale(start + t);
            for (int q = 0; q < count; ++q) {
                Floats dot = {}, other = {};
                int c = 0;
                for (; c + 2 * LANES <= size; c += 2 * LANES) {
                    dot += at<Floats>(queries + q * size + c) * widen(key + c);
                    other += at<Floats>(queries + q * size + c + LANES) * widen(key + c + LANES);
                }
                if (c < size) dot += at<Floats>(queries + q * size + c) * widen(key + c);
                scores[q][t] = sum_of(dot + other) * factor;
            }
        }
        for (int q = 0; q < count; ++q) {
            const float before = maximum[q];
            float most = before;
            for (int t = 0; t < some; ++t) most = std::max(most, scores[q][t]);
            float sum = 0;
            for (int t = 0; t < some; ++t) {
                scores[q][t] = std::exp(scores[q][t] - most);
                sum += scores[q][t];
            }
            const float kept = std::exp(before - most);
            maximum[q] = most;
            total[q] = total[q] * kept + sum;
            if (kept != 1.0f)
                for (int c = 0; c < size; ++c) out[q * size + c] *= kept;
        }
        const Stored* rows[TILE];
        for (int t = 0; t < some; ++t) {
            rows[t] = values.row(start + t);
            if (values.scales)
                for (int q = 0; q < count; ++q) scores[q][t] *= values.scale(start + t);
        }
        for (int c = 0; c < size; c += LANES) {
            Floats sums[MOST_SHARED];
            for (int q = 0; q < count; ++q) sums[q] = at<Floats>(out + q * size + c);
            for (int t = 0; t < some; ++t) {
                const Floats value = widen(rows[t] + c);
                for (int q = 0; q < count; ++q) sums[q] += value * scores[q][t];
            }
            for (int q = 0; q < count; ++q) __builtin_memcpy(out + q * size + c, &sums[q], sizeof(Floats));
        }
    }
}

void attend_any(const Cache& cache, const int64_t* table, int head, const float* queries, int count, int first,
                int last, float scale, float* out, float* maximum, float* total) {
    auto with = [&](auto* keys, auto* values) {
        using Stored = std::remove_const_t<std::remove_pointer_t<decltype(keys)>>;
        attend_part<Stored>(queries, count,
                            {keys, cache.key_scales, table, cache.block_size, cache.kv_heads, head, cache.head_size},
                            {values, cache.value_scales, table, cache.block_size, cache.kv_heads, head,
                             cache.head_size},
                            first, last, scale, out, maximum, total);
    };
    if (cache.key_scales)
        with(static_cast<const int8_t*>(cache.keys), static_cast<const int8_t*>(cache.values));
    else
        with(static_cast<const uint16_t*>(cache.keys), static_cast<const uint16_t*>(cache.values));
}

void store_head(const Cache& cache, bool key, int64_t slot, int head, const float* values) {
    const size_t place = size_t(slot) * cache.kv_heads + head, start = place * cache.head_size;
    void* data = key ? cache.keys : cache.values;
    float* scales = key ? cache.key_scales : cache.value_scales;
    if (!scales) {
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
