// Vectors of floats as each instruction set has them, and what is short in them: sums, exponentials, stored numbers made
// wide, what stands behind a product (SwiGLU, residual, the largest).
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
