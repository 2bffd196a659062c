/* The reference set: the other sets are tested against it, and it runs if no other does. No intrinsics. Weights are
 * unpacked block by block through the traits of their type. */
#include "kern/sanitized.h"
#include "kern/sets.h"

/* Partial sums of a dot product: value i belongs to sum i % LANES, and the sums are added in pairs. Independent sums
 * keep rounding errors small, and a compiler may put them into vector registers. The order depends only on the length,
 * so a row of y does not depend on the number of rows. */
enum { LANES = 16, CHUNK = 64 };

TN_UNCHECKED static tn_real dot(const tn_real *a, const tn_real *b, size_t n)
{
    tn_real sums[LANES] = { 0 };
    size_t i = 0;
    for (; i + LANES <= n; i += LANES)
        for (size_t lane = 0; lane < LANES; lane++)
            sums[lane] += a[i + lane] * b[i + lane];
    for (size_t lane = 0; i + lane < n; lane++)
        sums[lane] += a[i + lane] * b[i + lane];
    for (size_t width = LANES / 2; width > 0; width /= 2)
        for (size_t lane = 0; lane < width; lane++)
            sums[lane] += sums[lane + width];
    return sums[0];
}

tn_real tn_reference_dot(const tn_real *a, const tn_real *b, size_t n)
{
    tn_check_memory(a, n * sizeof *a);
    tn_check_memory(b, n * sizeof *b);
    return dot(a, b, n);
}

TN_UNCHECKED static void axpy(tn_real *y, tn_real a, const tn_real *x, size_t n)
{
    for (size_t i = 0; i < n; i++)
        y[i] += a * x[i];
}

void tn_reference_axpy(tn_real *y, tn_real a, const tn_real *x, size_t n)
{
    tn_check_memory(x, n * sizeof *x);
    tn_check_memory(y, n * sizeof *y);
    axpy(y, a, x, n);
}

size_t tn_reference_linear_scratch(const tn_matrix *w, size_t m)
{
    (void)m;
    return w->cols; /* one unpacked row */
}

size_t tn_reference_input_bytes(const tn_matrix *w, size_t m)
{
    (void)w;
    (void)m;
    return 0;
}

void tn_reference_input(const tn_matrix *w, const tn_real *x, size_t ldx, size_t begin, size_t end, size_t m,
                        void *input)
{
    (void)w;
    (void)x;
    (void)ldx;
    (void)begin;
    (void)end;
    (void)m;
    (void)input;
}

void tn_reference_linear(const tn_matrix *w, size_t begin, size_t end, const tn_real *x, size_t ldx,
                         const void *input, size_t m, tn_real *y, size_t ldy, tn_real *scratch)
{
    (void)input;
    for (size_t n = begin; n < end; n++) {
        tn_matrix_unpack(w, n, 0, w->cols, scratch);
        for (size_t i = 0; i < m; i++)
            y[i * ldy + n] = tn_reference_dot(x + i * ldx, scratch, w->cols);
    }
}

void tn_reference_linear_dx(const tn_matrix *w, size_t begin, size_t end, const tn_real *dy, size_t lddy,
                            size_t m, tn_real *dx, size_t lddx, tn_real *scratch)
{
    for (size_t n = 0; n < w->rows; n++) {
        tn_matrix_unpack(w, n, begin, end - begin, scratch);
        for (size_t i = 0; i < m; i++)
            tn_reference_axpy(dx + i * lddx + begin, dy[i * lddy + n], scratch, end - begin);
    }
}

void tn_reference_linear_dw(tn_real *dw, size_t k, size_t begin, size_t end, const tn_real *dy, size_t lddy,
                            const tn_real *x, size_t ldx, size_t m, tn_real *scratch)
{
    (void)scratch;
    for (size_t n = begin; n < end; n++)
        for (size_t i = 0; i < m; i++)
            tn_reference_axpy(dw + n * k, dy[i * lddy + n], x + i * ldx, k);
}

void tn_reference_multiply(const tn_real *a, size_t row_a, size_t column_a, const tn_real *b, size_t ldb,
                           size_t m, size_t n, size_t k, tn_real *c, size_t ldc)
{
    for (size_t i = 0; i < m; i++)
        for (size_t l = 0; l < k; l++)
            tn_reference_axpy(c + i * ldc, a[i * row_a + l * column_a], b + l * ldb, n);
}

tn_real tn_reference_max(const tn_real *x, size_t n)
{
    tn_real largest = x[0];
    for (size_t i = 0; i < n; i++) {
        if (isnan(x[i]))
            return x[i];
        if (x[i] > largest)
            largest = x[i];
    }
    return largest;
}

tn_real tn_reference_exp_sum(tn_real *x, size_t n, tn_real shift)
{
    tn_real sum = 0;
    for (size_t i = 0; i < n; i++) {
        x[i] = exp(x[i] - shift);
        sum += x[i];
    }
    return sum;
}

void tn_reference_silu_mul(tn_real *gate, const tn_real *up, size_t n)
{
    for (size_t i = 0; i < n; i++)
        gate[i] = gate[i] / (1 + exp(-gate[i])) * up[i];
}

void tn_reference_quick_gelu(tn_real *x, size_t n)
{
    for (size_t i = 0; i < n; i++)
        x[i] = x[i] / (1 + exp((tn_real)-1.702 * x[i]));
}

const tn_kernels tn_reference_kernels = {
    .name = "reference",
    .linear_chunk = CHUNK,
    .linear_scratch = tn_reference_linear_scratch,
    .input_bytes = tn_reference_input_bytes,
    .input = tn_reference_input,
    .linear = tn_reference_linear,
    .linear_dx = tn_reference_linear_dx,
    .linear_dw = tn_reference_linear_dw,
    TN_VECTOR_ENTRIES(reference),
};

const tn_kernels *tn_kernels_reference(void)
{
    return &tn_reference_kernels;
}
