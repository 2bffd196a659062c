/* Quantised number types: 32 values share a scale, stored as F16 before their codes.
 *
 * Source: the block layouts Q8_0, Q4_0 and IQ4_NL of ggml, which GGUF files hold. Q8_0: 32 signed bytes.
 * The 4-bit types: 16 bytes, of which byte i holds value i in its lower and value i + 16 in its upper half. */
#ifndef TN_KERN_BLOCKS_H
#define TN_KERN_BLOCKS_H

#include "kern/dtype.h"

enum { TN_BLOCK = 32 };

/* The values of the 16 codes, plus the type's offset: 0 .. 15 and, for IQ4_NL, steps that widen towards
 * both ends, as the weights of a network are spread. */
extern const unsigned char tn_codebook_q4_0[16], tn_codebook_iq4_nl[16];

/* count: whole blocks. The scale of a 4-bit block is the one among some candidates that leaves the least sum
 * of squared errors. Values must be finite; a scale beyond F16 is cut to its largest number. */
void tn_pack_q8_0(const tn_real *values, size_t count, void *packed);
void tn_pack_q4_0(const tn_real *values, size_t count, void *packed);
void tn_pack_iq4_nl(const tn_real *values, size_t count, void *packed);
void tn_unpack_q8_0(const void *packed, size_t count, tn_real *values);
void tn_unpack_q4_0(const void *packed, size_t count, tn_real *values);
void tn_unpack_iq4_nl(const void *packed, size_t count, tn_real *values);

#endif
