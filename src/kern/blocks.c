#include "kern/blocks.h"

#include <math.h>
#include <stdint.h>
#include <string.h>

enum { SCALE_BYTES = 2, BYTES_4 = SCALE_BYTES + TN_BLOCK / 2 };
enum { WIDE_SCALE = 4, WIDE_HEAD = WIDE_SCALE + 4, WIDE_4 = WIDE_HEAD + TN_WIDE_BLOCK / 2 };

const unsigned char tn_codebook_q4_0[16] = { 0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15 };
const unsigned char tn_codebook_iq4_nl[16] = { 1,   24,  45,  63,  79,  93,  106, 118,
                                               129, 141, 153, 166, 181, 197, 217, 241 };
const unsigned char tn_codebook_q4_256[16] = { 0, 3, 5, 7, 9, 11, 12, 14, 15, 17, 18, 20, 22, 24, 26, 30 };

/* Candidate scales around the one that maps the largest value to the end of the codebook, in steps of a sixteenth of
 * it. */
enum { TRIES_BELOW = 4, TRIES_ABOVE = 4 };

/* An amplitude of a block below this counts as 0, because the inverse of its scale might be infinite. */
static const double LEAST = 1e-30;

static tn_real scale_of(const unsigned char *block)
{
    tn_real scale;
    tn_dtype_of(TN_F16)->unpack(block, 1, &scale);
    return scale;
}

/* Writes the scale and returns the value that a reader will see. */
static tn_real write_scale(double scale, unsigned char *block)
{
    tn_real stored = (tn_real)fmax(-65504, fmin(65504, scale));
    tn_dtype_of(TN_F16)->pack(&stored, 1, block);
    return scale_of(block);
}

/* The same for a scale in F32. */
static tn_real wide_scale_of(const unsigned char *block)
{
    float scale;
    memcpy(&scale, block, sizeof scale);
    return scale;
}

static tn_real write_wide_scale(double scale, unsigned char *block)
{
    float stored = (float)scale;
    memcpy(block, &stored, sizeof stored);
    return stored;
}

/* The value of largest magnitude, with its sign. */
static double extreme(const tn_real *values, size_t count)
{
    double most = 0;
    for (size_t i = 0; i < count; i++)
        if (fabs((double)values[i]) > fabs(most))
            most = values[i];
    return most;
}

/* --------------------------------------------------------------- 8 bits -- */

/* Blocks of `length` values, a signed byte each, after the scale: F16 for 32 values, F32 for 256. */
static void pack_8(const tn_real *values, size_t count, size_t length, unsigned char *block)
{
    const size_t head = length == TN_BLOCK ? SCALE_BYTES : WIDE_SCALE;
    for (size_t at = 0; at < count; at += length, block += head + length) {
        double most = fabs(extreme(values + at, length)), scale = most / 127;
        scale = length == TN_BLOCK ? write_scale(scale, block) : write_wide_scale(most < LEAST ? 0 : scale, block);
        for (size_t i = 0; i < length; i++) {
            double code = scale > 0 ? rint((double)values[at + i] / scale) : 0;
            block[head + i] = (unsigned char)(int8_t)fmax(-127, fmin(127, code));
        }
    }
}

static void unpack_8(const unsigned char *block, size_t count, size_t length, tn_real *values)
{
    const size_t head = length == TN_BLOCK ? SCALE_BYTES : WIDE_SCALE;
    for (size_t at = 0; at < count; at += length, block += head + length) {
        tn_real scale = length == TN_BLOCK ? scale_of(block) : wide_scale_of(block);
        for (size_t i = 0; i < length; i++)
            values[at + i] = scale * (tn_real)(int8_t)block[head + i];
    }
}

void tn_pack_q8_0(const tn_real *values, size_t count, void *packed) { pack_8(values, count, TN_BLOCK, packed); }
void tn_pack_q8_256(const tn_real *values, size_t count, void *packed) { pack_8(values, count, TN_WIDE_BLOCK, packed); }
void tn_unpack_q8_0(const void *packed, size_t count, tn_real *values) { unpack_8(packed, count, TN_BLOCK, values); }
void tn_unpack_q8_256(const void *packed, size_t count, tn_real *values) { unpack_8(packed, count, TN_WIDE_BLOCK, values); }

/* --------------------------------------------------------------- 4 bits -- */

/* A codebook without its offset. Its entries are integers, and so are the midpoints between them times two. The entry
 * nearest to a value therefore depends only on the doubled value, rounded down. */
enum { TWICE_LEAST = -512, TWICE_COUNT = 1024 };

typedef struct tn_levels {
    unsigned char codes[TWICE_COUNT];
    double values[TWICE_COUNT]; /* of those codes */
    double ends[2];             /* the smallest and the largest */
} tn_levels;

static tn_levels levels_of(tn_dtype type)
{
    const tn_dtype_traits *traits = tn_dtype_of(type);
    tn_levels levels = { .ends = { traits->codebook[0] - traits->offset, traits->codebook[15] - traits->offset } };
    for (int place = 0; place < TWICE_COUNT; place++) {
        int index = 0;
        while (index < 15 && place + TWICE_LEAST >= traits->codebook[index] + traits->codebook[index + 1] - 2 * traits->offset)
            index++;
        levels.codes[place] = (unsigned char)index;
        levels.values[place] = traits->codebook[index] - traits->offset;
    }
    return levels;
}

/* The sums that determine the best scale for the nearest codes at scale 1 / inverse: sum of level * value, sum of
 * level^2. No value may be 2^29 times the scale. */
static void sums_of(const tn_levels *levels, const float *values, float inverse, double *product, double *square)
{
    int32_t places[TN_BLOCK];
    double products = 0, squares = 0, odd_products = 0, odd_squares = 0; /* two chains of additions each */
    for (int i = 0; i < TN_BLOCK; i++) {
        int32_t place = (int32_t)(values[i] * inverse * 2 - TWICE_LEAST);
        place = place < 0 ? 0 : place;
        places[i] = place < TWICE_COUNT ? place : TWICE_COUNT - 1;
    }
    for (int i = 0; i < TN_BLOCK; i += 2) {
        double even = levels->values[places[i]], odd = levels->values[places[i + 1]];
        products += even * (double)values[i];
        odd_products += odd * (double)values[i + 1];
        squares += even * even;
        odd_squares += odd * odd;
    }
    *product = products + odd_products;
    *square = squares + odd_squares;
}

/* The scale at which the levels are closest to the values of a block, whose extreme value is `most`. For given codes,
 * the best scale leaves an error of sum of value^2 - product^2 / square, so the largest quotient wins. Both ends of the
 * codebook are tried for the extreme value. */
static double best_scale(const tn_levels *levels, const float *values, double most)
{
    double product, square, scale = 0, gain = 0;
    for (int end = 0; end < 2 && fabs(most) >= LEAST; end++)
        for (int step = -TRIES_BELOW; step <= TRIES_ABOVE; step++) {
            double inverse = levels->ends[end] * (1 + step / 16.0) / most;
            sums_of(levels, values, (float)inverse, &product, &square);
            if (square > 0 && product * product / square > gain) {
                gain = product * product / square;
                scale = product / square;
            }
        }
    return scale;
}

static unsigned nearest_code(const tn_levels *levels, double value)
{
    return levels->codes[(int)fmax(0, fmin(TWICE_COUNT - 1, floor(2 * value) - TWICE_LEAST))];
}

/* The nearest codes at a scale, 4 bits each. */
static void write_codes(const tn_levels *levels, const float *values, double scale, unsigned char *to)
{
    for (int i = 0; i < TN_BLOCK / 2; i++)
        to[i] = (unsigned char)(nearest_code(levels, (double)values[i] / scale) |
                                nearest_code(levels, (double)values[i + TN_BLOCK / 2] / scale) << 4);
}

static void pack_block(const tn_levels *levels, const tn_real *input, unsigned char *block)
{
    float values[TN_BLOCK];
    for (int i = 0; i < TN_BLOCK; i++)
        values[i] = (float)input[i];
    tn_real stored = write_scale(best_scale(levels, values, extreme(input, TN_BLOCK)), block);
    if (stored != 0) /* the codes for the rounded scale */
        write_codes(levels, values, (double)stored, block + SCALE_BYTES);
    else
        memset(block + SCALE_BYTES, 0, TN_BLOCK / 2);
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
    const tn_levels levels = levels_of(type);
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

/* --------------------------------------------------------- blocks of 256 -- */

/* Candidate scales of a block: those at which its extreme part would have the factors -6 .. -8.5, in steps of a
 * quarter. The best one is then refined, with all factors close to the best of each part. */
enum { FACTOR_LEAST = -8, FACTOR_MOST = 7, FIRST_QUARTERS = 24, LAST_QUARTERS = 34, REFINEMENTS = 2 };

/* A block while its parts are fitted. */
typedef struct tn_wide_fit {
    int factors[TN_PARTS];
    double scale, gain; /* of the best scale for the nearest codes, and how much it reduces the sum of squares */
} tn_wide_fit;

/* The best factor of a part at a scale, among `wanted` rounded and its neighbours up to `reach` away; returns its sums. */
static int fit_part(const tn_levels *levels, const float *values, double wanted, double scale, int reach, double *product,
                    double *square)
{
    const int centre = (int)fmax(FACTOR_LEAST, fmin(FACTOR_MOST, rint(wanted / scale)));
    double most = -INFINITY;
    int chosen = 0;
    *product = *square = 0;
    for (int factor = centre - reach; factor <= centre + reach; factor++) {
        double p, s, step = scale * factor;
        if (factor == 0 || factor < FACTOR_LEAST || factor > FACTOR_MOST)
            continue;
        sums_of(levels, values, (float)(1 / step), &p, &s);
        double gain = step * (2 * p - step * s); /* reduction of the sum of squares */
        if (gain > most) {
            most = gain;
            chosen = factor;
            *product = factor * p;
            *square = (double)(factor * factor) * s;
        }
    }
    return chosen;
}

/* All parts at a scale. `wanted`: the best scale of each part by itself. */
static void fit_parts(const tn_levels *levels, const float *values, const double wanted[TN_PARTS], double scale, int reach,
                      tn_wide_fit *fit)
{
    double products = 0, squares = 0;
    for (size_t p = 0; p < TN_PARTS; p++) {
        double product, square;
        fit->factors[p] = fit_part(levels, values + p * TN_BLOCK, wanted[p], scale, reach, &product, &square);
        products += product;
        squares += square;
    }
    fit->scale = squares > 0 ? products / squares : 0;
    fit->gain = fit->scale * products;
}

/* The codes fit the scale as it is stored; the codes of a part with factor 0 have no effect. */
static void write_wide(const tn_levels *levels, const float *values, const int factors[TN_PARTS], float scale,
                       unsigned char *block)
{
    uint32_t word = 0;
    memset(block, 0, WIDE_4);
    write_wide_scale(scale, block);
    for (size_t p = 0; p < TN_PARTS; p++) {
        word |= (uint32_t)(factors[p] & 15) << 4 * p;
        if (factors[p] != 0)
            write_codes(levels, values + p * TN_BLOCK, (double)scale * factors[p], block + WIDE_HEAD + p * TN_BLOCK / 2);
    }
    memcpy(block + WIDE_SCALE, &word, sizeof word);
}

static void pack_wide(const tn_levels *levels, const tn_real *input, unsigned char *block)
{
    float values[TN_WIDE_BLOCK], scale = 0;
    double wanted[TN_PARTS], most = 0;
    tn_wide_fit fit, best = { .gain = -1 };
    for (size_t i = 0; i < TN_WIDE_BLOCK; i++)
        values[i] = (float)input[i];
    for (size_t p = 0; p < TN_PARTS; p++) {
        wanted[p] = best_scale(levels, values + p * TN_BLOCK, extreme(input + p * TN_BLOCK, TN_BLOCK));
        most = fabs(wanted[p]) > fabs(most) ? wanted[p] : most;
    }
    for (int quarters = FIRST_QUARTERS; quarters <= LAST_QUARTERS && most != 0; quarters++) {
        fit_parts(levels, values, wanted, most * -4 / quarters, 0, &fit);
        if (fit.gain > best.gain)
            best = fit;
    }
    for (int i = 0; i < REFINEMENTS && most != 0; i++) { /* factors for the best scale of the factors before */
        scale = (float)best.scale;
        fit_parts(levels, values, wanted, (double)scale, 1, &best);
    }
    write_wide(levels, values, best.factors, scale, block);
}

void tn_pack_q4_256(const tn_real *values, size_t count, void *packed)
{
    const tn_levels levels = levels_of(TN_Q4_256);
    for (size_t at = 0; at < count; at += TN_WIDE_BLOCK)
        pack_wide(&levels, values + at, (unsigned char *)packed + at / TN_WIDE_BLOCK * WIDE_4);
}

void tn_unpack_q4_256(const void *packed, size_t count, tn_real *values)
{
    const int offset = tn_dtype_of(TN_Q4_256)->offset;
    const unsigned char *block = packed;
    for (size_t at = 0; at < count; at += TN_WIDE_BLOCK, block += WIDE_4) {
        uint32_t factors;
        memcpy(&factors, block + WIDE_SCALE, sizeof factors);
        for (size_t i = 0; i < TN_WIDE_BLOCK; i++) {
            size_t part = i / TN_BLOCK, in = i % TN_BLOCK;
            unsigned code = block[WIDE_HEAD + part * TN_BLOCK / 2 + in % 16] >> (in / 16 * 4) & 15u;
            values[at + i] = wide_scale_of(block) * (tn_real)(tn_factor(factors, part) * (tn_codebook_q4_256[code] - offset));
        }
    }
}
