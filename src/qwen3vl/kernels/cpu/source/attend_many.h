// Attention of many queries of a sequence, each over the keys up to its own place: a prompt's. A tile of queries meets a
// tile of keys in two products of small matrices in registers.
//
// Included by the file of each instruction set, after attend.h (which has `Places`) and the size of the product that its registers
// hold.

// c[R][V vectors] = (or, with ADD, +=) sum over k of a[r * row + k * step] * b[k * width ..].
template <bool ADD, int R, int V>
inline void product(const float* a, size_t row, size_t step, const float* b, size_t width, int count, float* c,
                    size_t c_row) {
    Floats sum[R][V];
    for (int r = 0; r < R; ++r)
        for (int v = 0; v < V; ++v) sum[r][v] = ADD ? at<Floats>(c + r * c_row + v * WIDTH) : Floats{};
    for (int k = 0; k < count; ++k)
        for (int v = 0; v < V; ++v) {
            const Floats values = at<Floats>(b + k * width + v * WIDTH);
            for (int r = 0; r < R; ++r) sum[r][v] += values * a[r * row + k * step];
        }
    for (int r = 0; r < R; ++r)
        for (int v = 0; v < V; ++v) __builtin_memcpy(c + r * c_row + v * WIDTH, &sum[r][v], sizeof(Floats));
}

// The same for any number of rows (rounded up) and of vectors.
template <bool ADD>
inline void product_any(const float* a, size_t row, size_t step, const float* b, size_t width, int count, float* c,
                        size_t c_row, int rows, int vectors) {
    for (int r = 0; r < rows; r += PRODUCT_ROWS) {
        const float* from = a + r * row;
        float* to = c + r * c_row;
        int v = 0;
        for (; v + PRODUCT_VECTORS <= vectors; v += PRODUCT_VECTORS)
            product<ADD, PRODUCT_ROWS, PRODUCT_VECTORS>(from, row, step, b + v * WIDTH, width, count, to + v * WIDTH,
                                                        c_row);
        for (; v < vectors; ++v)
            product<ADD, PRODUCT_ROWS, 1>(from, row, step, b + v * WIDTH, width, count, to + v * WIDTH, c_row);
    }
}

template <typename Stored>
void widen_rows(const void* data, const float* scales, const Places& places, int count, int size, float* out) {
    const Stored* stored = static_cast<const Stored*>(data);
    for (int t = 0; t < count; ++t)
        for (int c = 0; c < size; c += WIDTH) {
            Floats values = widen(stored + places.row[t] * size + c);
            if (scales) values *= scales[places.row[t]];
            __builtin_memcpy(out + t * size + c, &values, sizeof(values));
        }
}

template <typename Stored>
void attend_many_stored(const Cache& cache, const int64_t* table, int head, const Queries& some, float scale,
                        float* room) {
    constexpr int VECTORS = QUERIES / WIDTH;
    const int size = cache.head_size, rows = some.tokens * some.heads, vectors = (rows + WIDTH - 1) / WIDTH;
    float* turned = room;                    // [size][QUERIES], queries of a column each
    float* keys = turned + size * QUERIES;   // [TILE][size]
    float* values = keys + size * TILE;      // [TILE][size]
    float* scores = values + size * TILE;    // [TILE][QUERIES]
    float* sums = scores + TILE * QUERIES;   // [QUERIES][size]
    std::fill(turned, turned + size * QUERIES, 0.0f);
    std::fill(sums, sums + size * QUERIES, 0.0f);
    Ints places_of[VECTORS] = {};  // the last key that each query sees
    Floats most[VECTORS], total[VECTORS] = {};
    for (int v = 0; v < VECTORS; ++v) most[v] = all(-INFINITY);
    for (int q = 0; q < rows; ++q) {
        const float* from = some.queries + some.stride * (q / some.heads) + size_t(q % some.heads) * size;
        for (int c = 0; c < size; ++c) turned[c * QUERIES + q] = from[c] * scale;
        places_of[q / WIDTH][q % WIDTH] = some.first_place + q / some.heads;
    }
    const int last = some.first_place + some.tokens;
    for (int start = 0; start < last; start += TILE) {
        const int count = std::min(TILE, last - start);
        const Places places(cache, {table, head, start, start + count});
        widen_rows<Stored>(cache.keys, cache.key_scales, places, count, size, keys);
        widen_rows<Stored>(cache.values, cache.value_scales, places, count, size, values);
        product_any<false>(keys, size, 1, turned, QUERIES, size, scores, QUERIES, count, vectors);
        float kept[QUERIES];
        for (int v = 0; v < vectors; ++v) {
            float* column = scores + v * WIDTH;
            for (int t = std::max(0, some.first_place + 1 - start); t < count; ++t) {
                const Floats seen = places_of[v] >= start + t ? at<Floats>(column + t * QUERIES) : all(-INFINITY);
                __builtin_memcpy(column + t * QUERIES, &seen, sizeof(seen));
            }
            Floats now = most[v], sum = {};
            for (int t = 0; t < count; ++t) {
                const Floats score = at<Floats>(column + t * QUERIES);
                now = score > now ? score : now;
            }
            for (int t = 0; t < count; ++t) {
                const Floats weight = exponential(at<Floats>(column + t * QUERIES) - now);
                __builtin_memcpy(column + t * QUERIES, &weight, sizeof(weight));
                sum += weight;
            }
            const Floats factor = exponential(most[v] - now);
            __builtin_memcpy(kept + v * WIDTH, &factor, sizeof(factor));
            total[v] = total[v] * factor + sum;
            most[v] = now;
        }
        for (int q = 0; q < rows; ++q)
            if (kept[q] != 1.0f)
                for (int c = 0; c < size; ++c) sums[q * size + c] *= kept[q];
        product_any<true>(scores, 1, QUERIES, values, size, count, sums, size, rows, size / WIDTH);
    }
    for (int q = 0; q < rows; ++q) {
        float* to = some.y + some.stride * (q / some.heads) + size_t(q % some.heads) * size;
        const float whole = total[q / WIDTH][q % WIDTH];
        for (int c = 0; c < size; ++c) to[c] = sums[q * size + c] / whole;
    }
}

void attend_many(const Cache& cache, const int64_t* table, int head, const Queries& some, float scale, float* room) {
    const auto attend = cache.format == INT8       ? attend_many_stored<int8_t>
                        : cache.format == BFLOAT16 ? attend_many_stored<uint16_t>
                                                   : attend_many_stored<float>;
    attend(cache, table, head, some, scale, room);
}
