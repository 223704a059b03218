// Products of a few rows with matrices of floats.
//
// Included by the file of each instruction set, after vectors.h and the size of the product that its registers hold.

constexpr int AHEAD_FLOATS = 8192;  // of a matrix, that are fetched: 32 KiB

// R rows with O rows of the matrix. A sum is the same whatever R and O are, so that a row does not depend on its batch.
template <int R, int O>
inline void dots_of(const float* matrix, int columns, const float* const* x, float* out) {
    Floats sum[R][4] = {};
    int c = 0;
    for (; c + WIDTH <= columns; c += WIDTH) {
        Floats from[R];
        for (int r = 0; r < R; ++r) from[r] = at<Floats>(x[r] + c);
        for (int o = 0; o < O; ++o) {
            const Floats weights = at<Floats>(matrix + size_t(columns) * o + c);
            __builtin_prefetch(matrix + size_t(columns) * o + c + AHEAD_FLOATS);
            for (int r = 0; r < R; ++r) sum[r][o] += weights * from[r];
        }
    }
    for (int r = 0; r < R; ++r) {
        const Quarter totals = sums_of(sum[r]);
        for (int o = 0; o < O; ++o) {
            float total = totals[o];
            for (int k = c; k < columns; ++k) total += x[r][k] * matrix[size_t(columns) * o + k];
            out[r * LANES + o] = total;
        }
    }
}

template <int R>
void dots_rows(const float* matrix, int columns, int count, const float* const* x, float* out) {
    int o = 0;
    for (; o + 4 <= count; o += 4) dots_of<R, 4>(matrix + size_t(columns) * o, columns, x, out + o);
    for (; o < count; ++o) dots_of<R, 1>(matrix + size_t(columns) * o, columns, x, out + o);
}

void dots(const float* matrix, int columns, int count, const float* const* x, int rows, float* out) {
    int row = 0;
    for (; row + PRODUCT_ROWS <= rows; row += PRODUCT_ROWS)
        dots_rows<PRODUCT_ROWS>(matrix, columns, count, x + row, out + row * LANES);
    for (; row < rows; ++row) dots_rows<1>(matrix, columns, count, x + row, out + row * LANES);
}
