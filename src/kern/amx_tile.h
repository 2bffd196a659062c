/* The tile instructions (AMX): eight tiles of up to 16 rows of up to 64 bytes, numbered 0 .. 7.
 *
 * A tile's shape comes from the configuration, which belongs to the thread. Numbers of tiles are literals. These are
 * inline assembly because the intrinsics of gcc 12 do not declare that they read and write memory, so that stores can
 * be optimised away. tests/property/kern/amx_emulated.h has the same names in plain C.
 * Source: Intel 64 and IA-32 Architectures SDM, volume 1, chapter 18, and the pages of the instructions. */
#ifndef TN_KERN_AMX_TILE_H
#define TN_KERN_AMX_TILE_H

#include <stddef.h>
#include <stdint.h>

/* The operand of LDTILECFG; reserved fields and tiles without a shape are zero. */
typedef struct tn_tile_shapes {
    uint8_t palette, start_row, reserved[14];
    uint16_t row_bytes[16];
    uint8_t rows[16];
} tn_tile_shapes;

_Static_assert(sizeof(tn_tile_shapes) == 64, "the operand of LDTILECFG has 64 bytes");

static inline void tile_configure(const tn_tile_shapes *shapes)
{
    __asm__ volatile("ldtilecfg %0" : : "m"(*shapes) : "memory");
}

/* Marks the tiles as unused, so that the system need not save them. */
static inline void tile_release(void)
{
    __asm__ volatile("tilerelease" : : : "memory");
}

#define TILE_ZERO(tile) __asm__ volatile("tilezero %%tmm" #tile : : : "memory")

/* Rows start `stride` bytes apart. ONCE: they will not be read again soon and should not occupy the first-level cache. */
#define TILE_LOAD(tile, from, stride)                                                            \
    __asm__ volatile("tileloadd (%0,%1,1), %%tmm" #tile                                          \
                     : : "r"((const void *)(from)), "r"((size_t)(stride)) : "memory")
#define TILE_LOAD_ONCE(tile, from, stride)                                                       \
    __asm__ volatile("tileloaddt1 (%0,%1,1), %%tmm" #tile                                        \
                     : : "r"((const void *)(from)), "r"((size_t)(stride)) : "memory")
#define TILE_STORE(tile, to, stride)                                                             \
    __asm__ volatile("tilestored %%tmm" #tile ", (%0,%1,1)"                                      \
                     : : "r"((void *)(to)), "r"((size_t)(stride)) : "memory")

/* sums[i][n] += sum over lines k of x[i][k] . w[k][n]: pairs of BF16, or four signed bytes of x by four unsigned or
 * signed bytes of w.
 * BF16: the even inputs of all lines form one chain of fused additions from 0, the odd ones another; the two are added,
 * and then added to the sum. Every step rounds to nearest and treats denormals as 0. */
#define TILE_MULTIPLY(name, sums, x, w) \
    __asm__ volatile(name " %%tmm" #w ", %%tmm" #x ", %%tmm" #sums : : : "memory")
#define TILE_ADD_BF16(sums, x, w) TILE_MULTIPLY("tdpbf16ps", sums, x, w)
#define TILE_ADD_UNSIGNED(sums, x, w) TILE_MULTIPLY("tdpbsud", sums, x, w)
#define TILE_ADD_SIGNED(sums, x, w) TILE_MULTIPLY("tdpbssd", sums, x, w)

#endif
