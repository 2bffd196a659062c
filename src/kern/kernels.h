/* The table of inner loops. The plain reference set is always present; faster sets replace entries if the processor and
 * the system support them.
 *
 * All kernels are pure functions of their arguments: no state, no threads. The operations that call them divide the
 * work into chunks of outputs whose borders do not depend on the number of threads, so within one set results are equal
 * bit for bit for any number of threads. Shape letters: m rows of x, n outputs, k inputs. */
#ifndef TN_KERN_KERNELS_H
#define TN_KERN_KERNELS_H

#include "base/status.h"
#include "kern/panel.h"

/* The gradients of one product with narrow weights, from copies of dy and x that are rounded to BF16 once for all
 * chunks; sums stay F32. */
typedef struct tn_backward {
    const tn_matrix *w;
    size_t m;
    bool dx, dw;  /* which of the two are needed  */
    void *input;  /* the copies, 64-byte aligned  */
} tn_backward;

typedef struct tn_narrow {
    size_t (*bytes)(const tn_backward *b); /* of `input` */
    /* Copies rows begin .. end-1; begin is a multiple of TN_UNIT, and so is end, or it is m. */
    void (*input)(const tn_backward *b, const tn_real *dy, size_t lddy, const tn_real *x, size_t ldx, size_t begin,
                  size_t end);
    /* As linear_dx and linear_dw of tn_kernels. */
    void (*dx)(const tn_backward *b, size_t begin, size_t end, tn_real *dx, size_t lddx, tn_real *scratch);
    void (*dw)(const tn_backward *b, size_t begin, size_t end, tn_real *dw, tn_real *scratch);
} tn_narrow;

typedef struct tn_kernels {
    const char *name;

    /* Outputs in one chunk of `linear` (rows of dw in `linear_dw`, columns of dx in `linear_dx`); a constant of the
     * set. */
    size_t linear_chunk;

    /* Reals of scratch that one call of linear, linear_dx or linear_dw may use. */
    size_t (*linear_scratch)(const tn_matrix *w, size_t m);

    /* The form in which linear reads m rows of x for a weight of this kind: its size in bytes (0: linear reads x
     * itself), and a function that fills in rows begin .. end-1 of it; it is aligned to 64 bytes. If the products of a
     * set use narrower numbers, x is rounded here: to BF16 (relative error 2^-8), or, in blocks of as many inputs as
     * those of the weights, to 8 bits (error at most 1/254 of the largest value of the block). A row depends only on
     * itself. */
    size_t (*input_bytes)(const tn_matrix *w, size_t m);
    void (*input)(const tn_matrix *w, const tn_real *x, size_t ldx, size_t begin, size_t end, size_t m, void *input);

    /* y[i, n] = sum_k x[i, k] w[n, k]   for i < m and begin <= n < end; begin is a multiple of the chunk.
     * x [m, w->cols] with row stride ldx, y [m, w->rows] with row stride ldy; `input` as above, or NULL. In
     * every set but "openblas" the bits of a row of y do not depend on m: prefill and decoding agree. */
    void (*linear)(const tn_matrix *w, size_t begin, size_t end, const tn_real *x, size_t ldx, const void *input,
                   size_t m, tn_real *y, size_t ldy, tn_real *scratch);

    /* dx[i, k] += sum_n dy[i, n] w[n, k]   for begin <= k < end (begin: a multiple of the
     * chunk, and so of what tn_matrix_unpack can begin at). dy [m, w->rows] stride lddy, dx [m, w->cols]. */
    void (*linear_dx)(const tn_matrix *w, size_t begin, size_t end, const tn_real *dy, size_t lddy,
                      size_t m, tn_real *dx, size_t lddx, tn_real *scratch);

    /* dw[n, k] += sum_i dy[i, n] x[i, k]   for begin <= n < end; dw [n, k] dense, k inputs. */
    void (*linear_dw)(tn_real *dw, size_t k, size_t begin, size_t end, const tn_real *dy,
                      size_t lddy, const tn_real *x, size_t ldx, size_t m, tn_real *scratch);

    /* The same two for BF16 and quantised weights, faster and rounded; NULL if the set has none. */
    const tn_narrow *narrow;

    /* The upper limit of the speed of products with weights of `type`: runs `turns` times a number of independent
     * multiply-adds of the kind that this set uses for them, enough to hide their latency, in registers only. Returns
     * the number of operations, two per multiply-add; *sink receives a value that depends on them. NULL: not known. */
    double (*spin)(tn_dtype type, size_t turns, tn_real *sink);

    /* sum_i a[i] b[i] */
    tn_real (*dot)(const tn_real *a, const tn_real *b, size_t n);
    /* y[i] += a x[i] */
    void (*axpy)(tn_real *y, tn_real a, const tn_real *x, size_t n);
    /* Largest entry; n > 0. A NaN anywhere gives NaN. */
    tn_real (*max)(const tn_real *x, size_t n);
    /* x[i] = exp(x[i] - shift), returns their sum. x[i] <= shift; -inf gives 0. */
    tn_real (*exp_sum)(tn_real *x, size_t n, tn_real shift);
    /* gate[i] = gate[i] / (1 + exp(-gate[i])) * up[i] */
    void (*silu_mul)(tn_real *gate, const tn_real *up, size_t n);
    /* x[i] = x[i] / (1 + exp(-1.702 x[i])) */
    void (*quick_gelu)(tn_real *x, size_t n);

    /* c[i, j] += sum_l a[i row_a + l column_a] b[l, j]   for i < m, j < n, l < k; rows of b and c are ldb and ldc
     * apart. For small dense blocks of attention (m up to about 100, n and k up to 128). Each output is one chain of
     * additions over ascending l that starts at its old value, so its bits depend neither on m and n nor on its place. */
    void (*multiply)(const tn_real *a, size_t row_a, size_t column_a, const tn_real *b, size_t ldb,
                     size_t m, size_t n, size_t k, tn_real *c, size_t ldc);
} tn_kernels;

/* The set called `name`, or the best one that this processor and system run if name is NULL or "". *chosen is
 * NULL on failure. Errors: ARGUMENT (unknown; the sentence lists the sets), UNSUPPORTED (known, but not on this machine).
 * Threads: any. */
tenebra_code tn_kernels_choose(const char *name, const tn_kernels **chosen, tenebra_error *error);

/* The plain set, which runs everywhere. Threads: any. */
const tn_kernels *tn_kernels_reference(void);

/* The sets that this machine runs, slowest first, for tests and `tenebra bench`; NULL past the last. Set 0 is the
 * reference. Each call queries the processor, which takes a few microseconds in a virtual machine. */
const tn_kernels *tn_kernels_at(size_t index);

/* The names of all sets of this build, also of those that the machine does not run; NULL past the last. */
const char *tn_kernels_name_at(size_t index);

#endif
