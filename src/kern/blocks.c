#include "kern/blocks.h"

#include <math.h>
#include <stdint.h>
#include <string.h>

enum { SCALE_BYTES = 2, BYTES_8 = SCALE_BYTES + TN_BLOCK, BYTES_4 = SCALE_BYTES + TN_BLOCK / 2 };

const unsigned char tn_codebook_q4_0[16] = { 0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15 };
const unsigned char tn_codebook_iq4_nl[16] = { 1,   24,  45,  63,  79,  93,  106, 118,
                                               129, 141, 153, 166, 181, 197, 217, 241 };

/* Scales that are tried around the one at which the largest value falls on the end of the codebook, in
 * steps of a sixteenth of it. */
enum { TRIES_BELOW = 4, TRIES_ABOVE = 4 };

static tn_real scale_of(const unsigned char *block)
{
    tn_real scale;
    tn_dtype_of(TN_F16)->unpack(block, 1, &scale);
    return scale;
}

/* Writes the scale and returns what a reader will see. */
static tn_real write_scale(double scale, unsigned char *block)
{
    tn_real stored = (tn_real)fmax(-65504, fmin(65504, scale));
    tn_dtype_of(TN_F16)->pack(&stored, 1, block);
    return scale_of(block);
}

/* The value of largest magnitude, with its sign. */
static double extreme(const tn_real *values)
{
    double most = 0;
    for (size_t i = 0; i < TN_BLOCK; i++)
        if (fabs((double)values[i]) > fabs(most))
            most = values[i];
    return most;
}

void tn_pack_q8_0(const tn_real *values, size_t count, void *packed)
{
    unsigned char *block = packed;
    for (size_t at = 0; at < count; at += TN_BLOCK, block += BYTES_8) {
        double scale = write_scale(fabs(extreme(values + at)) / 127, block);
        for (size_t i = 0; i < TN_BLOCK; i++) {
            double code = scale > 0 ? rint(values[at + i] / scale) : 0;
            block[SCALE_BYTES + i] = (unsigned char)(int8_t)fmax(-127, fmin(127, code));
        }
    }
}

void tn_unpack_q8_0(const void *packed, size_t count, tn_real *values)
{
    const unsigned char *block = packed;
    for (size_t at = 0; at < count; at += TN_BLOCK, block += BYTES_8) {
        tn_real scale = scale_of(block);
        for (size_t i = 0; i < TN_BLOCK; i++)
            values[at + i] = scale * (tn_real)(int8_t)block[SCALE_BYTES + i];
    }
}

/* --------------------------------------------------------------- 4 bits -- */

/* A codebook with the offset taken off, and the middles between its entries. */
typedef struct tn_levels {
    float values[16], middles[15];
} tn_levels;

static tn_levels levels_of(const unsigned char *codebook, int offset)
{
    tn_levels levels;
    for (int i = 0; i < 16; i++)
        levels.values[i] = (float)(codebook[i] - offset);
    for (int i = 0; i < 15; i++)
        levels.middles[i] = (levels.values[i] + levels.values[i + 1]) / 2;
    return levels;
}

/* The nearest codes of a block at scale 1 / inverse, and the sums that give the best scale for them:
 * sum of level * value, sum of level^2. */
static void nearest(const tn_levels *levels, const float *values, float inverse, unsigned char *codes,
                    double *product, double *square)
{
    int32_t index[TN_BLOCK] = { 0 };
    for (int j = 0; j < 15; j++)
        for (int i = 0; i < TN_BLOCK; i++)
            index[i] += values[i] * inverse > levels->middles[j];
    *product = *square = 0;
    for (int i = 0; i < TN_BLOCK; i++) {
        float level = levels->values[index[i]];
        codes[i] = (unsigned char)index[i];
        *product += (double)level * (double)values[i];
        *square += (double)level * (double)level;
    }
}

/* The error of the best scale for some codes is sum of value^2 - product^2 / square: the largest quotient
 * wins. Both ends of the codebook are tried for the extreme value. */
static void pack_block(const tn_levels *levels, const tn_real *input, unsigned char *block)
{
    float values[TN_BLOCK];
    unsigned char codes[TN_BLOCK], best[TN_BLOCK] = { 0 };
    double product, square, scale = 0, gain = 0, most = extreme(input);
    for (int i = 0; i < TN_BLOCK; i++)
        values[i] = (float)input[i];
    for (int end = 0; end < 16 && most != 0; end += 15)
        for (int step = -TRIES_BELOW; step <= TRIES_ABOVE; step++) {
            double inverse = (double)levels->values[end] * (1 + step / 16.0) / most;
            nearest(levels, values, (float)inverse, codes, &product, &square);
            if (square > 0 && product * product / square > gain) {
                gain = product * product / square;
                scale = product / square;
                memcpy(best, codes, sizeof best);
            }
        }
    tn_real stored = write_scale(scale, block);
    if (stored != 0) /* the codes that fit the scale as it was rounded */
        nearest(levels, values, (float)(1 / (double)stored), best, &product, &square);
    for (int i = 0; i < TN_BLOCK / 2; i++)
        block[SCALE_BYTES + i] = (unsigned char)(best[i] | best[i + TN_BLOCK / 2] << 4);
}

static void unpack_block(const unsigned char *codebook, int offset, const unsigned char *block, tn_real *values)
{
    tn_real scale = scale_of(block);
    for (int i = 0; i < TN_BLOCK / 2; i++) {
        values[i] = scale * (tn_real)(codebook[block[SCALE_BYTES + i] & 15] - offset);
        values[i + TN_BLOCK / 2] = scale * (tn_real)(codebook[block[SCALE_BYTES + i] >> 4] - offset);
    }
}

static void pack_4(tn_dtype type, const tn_real *values, size_t count, unsigned char *packed)
{
    const tn_levels levels = levels_of(tn_dtype_of(type)->codebook, tn_dtype_of(type)->offset);
    for (size_t at = 0; at < count; at += TN_BLOCK)
        pack_block(&levels, values + at, packed + at / TN_BLOCK * BYTES_4);
}

static void unpack_4(tn_dtype type, const unsigned char *packed, size_t count, tn_real *values)
{
    const tn_dtype_traits *traits = tn_dtype_of(type);
    for (size_t at = 0; at < count; at += TN_BLOCK)
        unpack_block(traits->codebook, traits->offset, packed + at / TN_BLOCK * BYTES_4, values + at);
}

void tn_pack_q4_0(const tn_real *values, size_t count, void *packed) { pack_4(TN_Q4_0, values, count, packed); }
void tn_pack_iq4_nl(const tn_real *values, size_t count, void *packed) { pack_4(TN_IQ4_NL, values, count, packed); }
void tn_unpack_q4_0(const void *packed, size_t count, tn_real *values) { unpack_4(TN_Q4_0, packed, count, values); }
void tn_unpack_iq4_nl(const void *packed, size_t count, tn_real *values) { unpack_4(TN_IQ4_NL, packed, count, values); }
