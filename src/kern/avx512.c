/* The set for AVX-512 F, BW, DQ, VL. bfloat16 is widened by integer shifts, exactly. The bfloat16 product instruction
 * is not used because it would round activations to 8 bits of mantissa. */
#include "kern/avx512_vec.h"
#include "kern/sets.h"

#define TN_KERNEL(entry) tn_avx512_##entry
#define TN_KERNEL_TABLE tn_avx512_kernels
#define TN_KERNEL_NAME "avx512"
#define TN_CODES(entry) tn_avx2_codes_##entry

/* Register tiles. linear: 6 rows x 4 outputs, so 24 of the 32 registers are sums, 6 hold x, 1 holds w. multiply: 6 rows
 * x 4 vectors, so 24 are sums, 4 hold b, 1 holds a. Widening a vector of weights takes 2 of about 30 instructions of a
 * tile, which is always cheaper than a copy. */
enum { TILE_ROWS = 6, PANEL_VECTORS = 4, WIDEN_ROWS = 1 << 20 };
#define TN_TILE_CASES(CASE) CASE(1) CASE(2) CASE(3) CASE(4) CASE(5) CASE(6)

#include "kern/vector.h"
