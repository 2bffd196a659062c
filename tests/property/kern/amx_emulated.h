/* The tile instructions (kern/amx_tile.h) and the vectors that products in tiles need, in plain C: so that the rest of
 * them runs on every machine. What the processor would refuse fails the test. */
#ifndef TENEBRA_TESTS_KERN_AMX_EMULATED_H
#define TENEBRA_TESTS_KERN_AMX_EMULATED_H

#include "property/kern/exact.h"

#define TN_KERN_AMX_TILE_H /* in its place */

/* --------------------------------------------------------------- tiles -- */

typedef struct tn_tile_shapes {
    uint8_t palette, start_row, reserved[14];
    uint16_t row_bytes[16];
    uint8_t rows[16];
} tn_tile_shapes;

typedef struct tn_machine {
    bool configured;
    tn_tile_shapes shapes;
    unsigned char tiles[8][16][64];
    size_t products, loads_once; /* how many so far */
} tn_machine;

static tn_machine machine;

static inline void tile_configure(const tn_tile_shapes *shapes)
{
    assert_int_equal(shapes->palette, 1);
    assert_int_equal(shapes->start_row, 0);
    for (size_t i = 0; i < 16; i++) {
        assert_true(i >= 14 || shapes->reserved[i] == 0);
        assert_true(shapes->row_bytes[i] <= (i < 8 ? 64 : 0) && shapes->rows[i] <= (i < 8 ? 16 : 0));
        assert_int_equal(shapes->row_bytes[i] == 0, shapes->rows[i] == 0);
    }
    memset(machine.tiles, 0, sizeof machine.tiles);
    machine.shapes = *shapes;
    machine.configured = true;
}

static inline void tile_release(void) { machine.configured = false; }

static inline void tile_usable(size_t tile)
{
    assert_true(machine.configured && machine.shapes.rows[tile] > 0 && machine.shapes.row_bytes[tile] % 4 == 0);
}

static inline void tile_zero(size_t tile)
{
    tile_usable(tile);
    memset(machine.tiles[tile], 0, sizeof machine.tiles[tile]);
}

static inline void tile_load(size_t tile, const void *from, size_t stride)
{
    tile_zero(tile);
    for (size_t i = 0; i < machine.shapes.rows[tile]; i++)
        memcpy(machine.tiles[tile][i], (const unsigned char *)from + i * stride, machine.shapes.row_bytes[tile]);
}

static inline void tile_store(size_t tile, void *to, size_t stride)
{
    tile_usable(tile);
    for (size_t i = 0; i < machine.shapes.rows[tile]; i++)
        memcpy((unsigned char *)to + i * stride, machine.tiles[tile][i], machine.shapes.row_bytes[tile]);
}

/* sums [m, n] += x [m, k] w [k, n] in numbers of 4 bytes; different tiles whose shapes fit. */
static inline void tile_check(size_t sums, size_t x, size_t w)
{
    const tn_tile_shapes *s = &machine.shapes;
    tile_usable(sums);
    tile_usable(x);
    tile_usable(w);
    assert_true(sums != x && x != w && sums != w);
    assert_int_equal(s->rows[sums], s->rows[x]);
    assert_int_equal(s->row_bytes[sums], s->row_bytes[w]);
    assert_int_equal(s->row_bytes[x] / 4, s->rows[w]);
    machine.products++;
}

/* The first `rows` rows of a tile as numbers. */
static inline void tile_bf16(size_t tile, size_t rows, float values[16][32])
{
    for (size_t i = 0; i < rows; i++) {
        tn_dtype_of(TN_BF16)->unpack(machine.tiles[tile][i], 32, values[i]);
        for (size_t k = 0; k < 32; k++)
            values[i][k] = flushed(values[i][k]);
    }
}

static inline void tile_add_bf16(size_t sums, size_t x, size_t w)
{
    float left[16][32], right[16][32];
    tile_check(sums, x, w);
    tile_bf16(x, machine.shapes.rows[sums], left);
    tile_bf16(w, machine.shapes.rows[w], right);
    for (size_t i = 0; i < machine.shapes.rows[sums]; i++)
        for (size_t n = 0; n < machine.shapes.row_bytes[sums] / 4u; n++) {
            float chain[2] = { 0, 0 }, sum;
            unsigned char *to = machine.tiles[sums][i] + 4 * n;
            for (size_t k = 0; k < machine.shapes.rows[w]; k++)
                for (size_t odd = 0; odd < 2; odd++)
                    chain[odd] = flushed(fmaf(left[i][2 * k + odd], right[k][2 * n + odd], chain[odd]));
            memcpy(&sum, to, sizeof sum);
            sum = flushed(flushed(sum) + flushed(chain[0] + chain[1]));
            memcpy(to, &sum, sizeof sum);
        }
}

static inline void tile_add_bytes(size_t sums, size_t x, size_t w, bool is_signed)
{
    tile_check(sums, x, w);
    for (size_t i = 0; i < machine.shapes.rows[sums]; i++)
        for (size_t n = 0; n < machine.shapes.row_bytes[sums] / 4u; n++) {
            int32_t sum;
            memcpy(&sum, machine.tiles[sums][i] + 4 * n, sizeof sum);
            for (size_t k = 0; k < machine.shapes.rows[w]; k++)
                for (size_t t = 0; t < 4; t++) {
                    unsigned char code = machine.tiles[w][k][4 * n + t];
                    sum += (int8_t)machine.tiles[x][i][4 * k + t] * (is_signed ? (int8_t)code : code);
                }
            memcpy(machine.tiles[sums][i] + 4 * n, &sum, sizeof sum);
        }
}

#define TILE_ZERO(tile) tile_zero(tile)
#define TILE_LOAD(tile, from, stride) tile_load(tile, from, stride)
#define TILE_LOAD_ONCE(tile, from, stride) (machine.loads_once++, tile_load(tile, from, stride))
#define TILE_STORE(tile, to, stride) tile_store(tile, to, stride)
#define TILE_ADD_BF16(sums, x, w) tile_add_bf16(sums, x, w)
#define TILE_ADD_UNSIGNED(sums, x, w) tile_add_bytes(sums, x, w, false)
#define TILE_ADD_SIGNED(sums, x, w) tile_add_bytes(sums, x, w, true)

/* ------------------------------------------------------------- vectors -- */

enum { LANES = 16 };

typedef struct vec {
    float at[LANES];
} vec;

static inline vec vec_load_part(const float *from, size_t count)
{
    vec a = { { 0 } };
    memcpy(a.at, from, count * sizeof *from);
    return a;
}

static inline void vec_store_part(float *to, vec a, size_t count) { memcpy(to, a.at, count * sizeof *to); }
static inline vec vec_load(const float *from) { return vec_load_part(from, LANES); }
static inline void vec_store(float *to, vec a) { vec_store_part(to, a, LANES); }

static inline vec vec_set(float a)
{
    vec all;
    for (size_t i = 0; i < LANES; i++)
        all.at[i] = a;
    return all;
}

static inline vec vec_mul(vec a, vec b)
{
    for (size_t i = 0; i < LANES; i++)
        a.at[i] *= b.at[i];
    return a;
}

static inline vec vec_fma(vec a, vec b, vec c)
{
    for (size_t i = 0; i < LANES; i++)
        c.at[i] = fmaf(a.at[i], b.at[i], c.at[i]);
    return c;
}

static inline vec vec_load_f32(const unsigned char *from)
{
    vec a;
    memcpy(a.at, from, sizeof a.at);
    return a;
}

static inline vec vec_load_f16(const unsigned char *from)
{
    vec a;
    tn_dtype_of(TN_F16)->unpack(from, LANES, a.at);
    return a;
}

static inline void vec_store_bf16(unsigned char *to, vec a) { tn_dtype_of(TN_BF16)->pack(a.at, LANES, to); }

static inline vec vec_of_integers(const int32_t *from, int32_t start)
{
    vec a;
    for (size_t i = 0; i < LANES; i++)
        a.at[i] = (float)(from[i] + start);
    return a;
}

static inline void codes_flip(const unsigned char *from, unsigned char *to)
{
    for (size_t i = 0; i < TN_LINE; i++)
        to[i] = (unsigned char)(from[i] - 128);
}

static inline void codes_look_up(const unsigned char *from, const int8_t *table, unsigned char *low, unsigned char *high)
{
    for (size_t i = 0; i < TN_LINE; i++) {
        low[i] = (unsigned char)table[from[i] & 15];
        high[i] = (unsigned char)table[from[i] >> 4];
    }
}

#endif
