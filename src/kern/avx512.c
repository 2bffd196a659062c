/* The set for AVX-512 F, BW, DQ, VL. bfloat16 is widened by integer shifts, exactly; the bfloat16
 * product instruction would round activations to 8 bits of mantissa and is not used. */
#include "kern/avx512_vec.h"
#include "kern/sets.h"

#define TN_KERNEL(entry) tn_avx512_##entry
#define TN_KERNEL_TABLE tn_avx512_kernels
#define TN_KERNEL_NAME "avx512"
#define TN_CODES(entry) tn_avx2_codes_##entry

/* Register tiles. Of linear, 6 rows x 4 outputs: 24 of the 32 registers are sums, 6 hold x, 1 holds w.
 * Of multiply, 6 rows x 4 vectors: 24 sums, 4 hold b, 1 holds a.
 * Widening a vector of weights takes 2 of some 30 instructions of a tile: always cheaper than a copy. */
enum { TILE_ROWS = 6, PANEL_VECTORS = 4, WIDEN_ROWS = 1 << 20 };
#define TN_TILE_CASES(CASE) CASE(1) CASE(2) CASE(3) CASE(4) CASE(5) CASE(6)

#include "kern/vector.h"
