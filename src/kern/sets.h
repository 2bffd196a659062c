/* The kernel sets by name, for use inside this layer.
 *
 * A set is a table of functions tn_<set>_<entry>. They have external names so that a set can use entries of another one
 * (blas.h). The files that kernels.cmake compiles for the platform decide which sets exist. */
#ifndef TN_KERN_SETS_H
#define TN_KERN_SETS_H

#include "kern/tiling.h"

/* Outputs of a chunk in the sets with vector registers. */
enum { TN_CHUNK = 64 };

/* Declares the table and the functions of a set. */
#define TN_DECLARE_KERNELS(set)                                                                              \
    extern const tn_kernels tn_##set##_kernels;                                                              \
    size_t tn_##set##_linear_scratch(const tn_matrix *w, size_t m);                                          \
    void tn_##set##_linear(const tn_matrix *w, size_t begin, size_t end, const tn_real *x, size_t ldx,       \
                           const void *input, size_t m, tn_real *y, size_t ldy, tn_real *scratch);           \
    size_t tn_##set##_input_bytes(const tn_matrix *w, size_t m);                                             \
    void tn_##set##_input(const tn_matrix *w, const tn_real *x, size_t ldx, size_t begin, size_t end,        \
                          size_t m, void *input);                                                            \
    void tn_##set##_linear_dx(const tn_matrix *w, size_t begin, size_t end, const tn_real *dy, size_t lddy,  \
                              size_t m, tn_real *dx, size_t lddx, tn_real *scratch);                         \
    void tn_##set##_linear_dw(tn_real *dw, size_t k, size_t begin, size_t end, const tn_real *dy,            \
                              size_t lddy, const tn_real *x, size_t ldx, size_t m, tn_real *scratch);        \
    double tn_##set##_spin(tn_dtype type, size_t turns, tn_real *sink);                                      \
    tn_real tn_##set##_dot(const tn_real *a, const tn_real *b, size_t n);                                    \
    void tn_##set##_axpy(tn_real *y, tn_real a, const tn_real *x, size_t n);                                 \
    tn_real tn_##set##_max(const tn_real *x, size_t n);                                                      \
    tn_real tn_##set##_exp_sum(tn_real *x, size_t n, tn_real shift);                                         \
    void tn_##set##_silu_mul(tn_real *gate, const tn_real *up, size_t n);                                    \
    void tn_##set##_quick_gelu(tn_real *x, size_t n);                                                        \
    void tn_##set##_multiply(const tn_real *a, size_t row_a, size_t column_a, const tn_real *b, size_t ldb,  \
                             size_t m, size_t n, size_t k, tn_real *c, size_t ldc)

/* The entries of a table that do not read a weight matrix, in the order of tn_kernels. */
#define TN_VECTOR_ENTRIES(set)                                                                               \
    .dot = tn_##set##_dot, .axpy = tn_##set##_axpy, .max = tn_##set##_max, .exp_sum = tn_##set##_exp_sum,    \
    .silu_mul = tn_##set##_silu_mul, .quick_gelu = tn_##set##_quick_gelu, .multiply = tn_##set##_multiply

/* Declares a set's products with 8-bit x: the tiling for a quantised type (NULL for other types), and the entry `input`
 * for it. */
#define TN_DECLARE_CODES(set)                                                                                \
    const tn_tiling *tn_##set##_codes_tiling(tn_dtype type);                                                 \
    double tn_##set##_codes_spin(size_t turns, float *sink);                                                 \
    void tn_##set##_codes_relay_wide(const tn_matrix *w, size_t panel, size_t unit, size_t units,            \
                                     unsigned char *to);                                                     \
    void tn_##set##_codes_input(const tn_matrix *w, const float *x, size_t ldx, size_t begin, size_t end,    \
                                size_t m, void *input)

TN_DECLARE_KERNELS(reference);
TN_DECLARE_KERNELS(avx2);
TN_DECLARE_CODES(avx2);
TN_DECLARE_KERNELS(avx512);
TN_DECLARE_KERNELS(avx512vnni);
TN_DECLARE_CODES(avx512vnni);
TN_DECLARE_KERNELS(avx512bf16);
TN_DECLARE_KERNELS(amx);
TN_DECLARE_KERNELS(neon);

/* True if the system allows this process to use tiles (AMX); requests it if necessary. The system must save the tile
 * registers. Threads: any. */
bool tn_amx_permitted(void);

/* A set of this build, and whether this processor and system can run it. */
typedef struct tn_kernels_entry {
    const tn_kernels *set;
    bool runs;
} tn_kernels_entry;

enum { TN_KERNELS_LIMIT = 12 };

/* Fills in the sets of this platform, slowest first, the reference at 0; returns their number. */
size_t tn_kernels_platform(tn_kernels_entry entries[TN_KERNELS_LIMIT]);

/* The set that uses BLAS for large matrix products and `native` for the rest; NULL if this build has no BLAS, or none
 * on top of that set. */
const tn_kernels *tn_kernels_blas_over(const tn_kernels *native);

#endif
