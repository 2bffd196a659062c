/* Quantised number types: 32 or 256 values share a scale, which is stored before their codes.
 *
 * Blocks of 32, whose scale is F16, are the layouts Q8_0, Q4_0 and IQ4_NL of ggml, which GGUF files contain. Q8_0: 32
 * signed bytes. The 4-bit types: 16 bytes, of which byte i holds value i in its lower and value i + 16 in its upper
 * half.
 *
 * Blocks of 256 belong to this project: a product adds 256 terms in integers before it applies a scale, which is F32.
 * Q8_256: 256 signed bytes. Q4_256: each part of 32 values has a factor of -8 .. 7, eight of them in 4 bytes (that of
 * part p in bits 4p .. 4p+3, two's complement); then come the codes, part by part as above. Factor times level fits 8
 * bits, so that a product multiplies by it as by one code. */
#ifndef TN_KERN_BLOCKS_H
#define TN_KERN_BLOCKS_H

#include "kern/dtype.h"

#include <stdint.h>

enum { TN_BLOCK = 32, TN_WIDE_BLOCK = 256, TN_PARTS = TN_WIDE_BLOCK / TN_BLOCK };

/* The values of the 16 codes, plus the type's offset: 0 .. 15 and, for the other two, steps that widen towards both
 * ends, like the distribution of a network's weights. Those of Q4_256 are integers up to 15 with about the smallest
 * error for normally distributed values. */
extern const unsigned char tn_codebook_q4_0[16], tn_codebook_iq4_nl[16], tn_codebook_q4_256[16];

/* The factor of a part (< TN_PARTS) in its block's 4 bytes. */
static inline int tn_factor(uint32_t factors, size_t part)
{
    int bits = (int)(factors >> 4 * part & 15);
    return bits < 8 ? bits : bits - 16;
}

/* count: whole blocks. The scale of a 4-bit block is the candidate with the smallest sum of squared errors. Values must
 * be finite. A scale beyond F16 is clipped to its largest number; a block of 256 values below 1e-30 counts as zeros. */
void tn_pack_q8_0(const tn_real *values, size_t count, void *packed);
void tn_pack_q4_0(const tn_real *values, size_t count, void *packed);
void tn_pack_iq4_nl(const tn_real *values, size_t count, void *packed);
void tn_unpack_q8_0(const void *packed, size_t count, tn_real *values);
void tn_unpack_q4_0(const void *packed, size_t count, tn_real *values);
void tn_unpack_iq4_nl(const void *packed, size_t count, tn_real *values);
void tn_pack_q8_256(const tn_real *values, size_t count, void *packed);
void tn_pack_q4_256(const tn_real *values, size_t count, void *packed);
void tn_unpack_q8_256(const void *packed, size_t count, tn_real *values);
void tn_unpack_q4_256(const void *packed, size_t count, tn_real *values);

#endif
