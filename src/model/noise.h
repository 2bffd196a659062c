/* Random weights in any form, generated faster than a disk can write them. Internal to model/random. */
#ifndef TN_MODEL_NOISE_H
#define TN_MODEL_NOISE_H

#include "base/rng.h"
#include "model/plan.h"
#include "store/form.h"

enum { TN_NOISE_STREAMS = 8 };

/* Packed noise of one type, order and deviation, as units of 1024 values: a whole number of them in either order. */
typedef struct tn_noise_stream {
    tn_dtype type;
    tn_order order;
    size_t inputs;        /* deviation of the matrices; 0: none yet */
    unsigned char *bytes;
} tn_noise_stream;

typedef struct tn_noise {
    tn_real *values;       /* normal numbers, stored twice in a row, so that a run may start anywhere */
    unsigned char *packed; /* the packed numbers of one plain tensor                           */
    tn_noise_stream streams[TN_NOISE_STREAMS];
    size_t next;           /* the stream to replace next */
    tn_rng rng;            /* chooses the start of a tensor */
} tn_noise;

/* A function that receives the next bytes of a tensor. */
typedef tenebra_code tn_noise_fn(void *user, const void *bytes, size_t size, tenebra_error *error);

/* Errors: MEMORY. Must also be closed after a failure. */
tenebra_code tn_noise_open(tn_noise *noise, uint64_t seed, tenebra_error *error);
void tn_noise_close(tn_noise *noise);

/* Passes the weights of one tensor to `put`: a matrix of variance 1 / inputs, or a vector. Errors: MEMORY, those of
 * put. */
tenebra_code tn_noise_tensor(tn_noise *noise, const tn_place *place, const tn_form *form, tn_noise_fn *put, void *user,
                             tenebra_error *error);

#endif
