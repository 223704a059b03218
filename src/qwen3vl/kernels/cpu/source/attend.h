// Attention of single queries over the paged cache, and what stands before it: head norm, rotary turn, cache write.
//
// Included by the file of each instruction set, after vectors.h.

// Where the rows of the first keys of a stretch lie, of as many as a tile has room for.
struct Places {
    size_t row[TILE];

    Places(const Cache& cache, const Stretch& keys) {
        const int count = std::min(TILE, keys.last - keys.first);
        int block = keys.first / cache.block_size, offset = keys.first % cache.block_size;
        for (int t = 0; t < count; ++t) {
            row[t] = cache.row(keys.table[block], keys.head, offset);
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
void attend_part(const Cache& cache, const Stretch& all_keys, const Stretch& after, const float* given, float scale,
                 float* out, float* maximum, float* total) {
    const int size = cache.head_size, first = all_keys.first, last = all_keys.last;
    const Stored* keys = static_cast<const Stored*>(cache.keys);
    const Stored* values = static_cast<const Stored*>(cache.values);
    alignas(64) float scores[Q][TILE], queries[Q * MOST_HEAD];
    for (int q = 0; q < Q; ++q) lay_out<Stored>(given + q * size, size, queries + q * size);
    std::fill(out, out + Q * size, 0.0f);
    std::fill(maximum, maximum + Q, -INFINITY);
    std::fill(total, total + Q, 0.0f);
    Places next(cache, all_keys);
    for (int t = 0; t < std::min(TILE, last - first); ++t)
        for (int c = 0; c < size; c += 2 * WIDTH)
            fetch(keys + next.row[t] * size, c), fetch(values + next.row[t] * size, c);
    for (int start = first; start < last; start += TILE) {
        const int count = std::min(TILE, last - start);
        const Places places = next;
        next = Places(cache, start + TILE < last ? Stretch{all_keys.table, all_keys.head, start + TILE, last} : after);
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
void attend_stored(const Cache& cache, const Stretch& keys, const Stretch& after, const float* queries, int count,
                   float scale, float* out, float* maximum, float* total) {
    const int size = cache.head_size;
    auto some = [&](auto number) {
        constexpr int Q = decltype(number)::value;
        for (; count >= Q; count -= Q, queries += Q * size, out += Q * size, maximum += Q, total += Q)
            attend_part<Stored, Q>(cache, keys, count > Q ? keys : after, queries, scale, out, maximum, total);
    };
    if (SUMS == 16) some(std::integral_constant<int, SUMS / 2>());
    some(std::integral_constant<int, 4>());
    some(std::integral_constant<int, 2>());
    some(std::integral_constant<int, 1>());
}

void attend_any(const Cache& cache, const Stretch& keys, const Stretch& after, const float* queries, int count,
                float scale, float* out, float* maximum, float* total) {
    const auto attend = cache.format == INT8       ? attend_stored<int8_t>
                        : cache.format == BFLOAT16 ? attend_stored<uint16_t>
                                                   : attend_stored<float>;
    attend(cache, keys, after, queries, count, scale, out, maximum, total);
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
    float largest = 0, nothing = 0;  // a maximum passes over what is not a number, a sum does not
    for (int i = 0; i < cache.head_size; ++i) {
        largest = std::max(largest, std::fabs(values[i]));
        nothing += 0.0f * values[i];
    }
    const float inverse = largest > 0 ? 127.0f / largest : 0.0f;
    int8_t* to = static_cast<int8_t*>(data) + start;
    for (int i = 0; i < cache.head_size; ++i) to[i] = int8_t(std::nearbyint(values[i] * inverse));
    scales[place] = largest / 127.0f + nothing;
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
