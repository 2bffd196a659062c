/* Converts one stored tensor from any form to another and streams it into a file, with all threads of a pool. */
#ifndef TN_MODEL_CONVERT_H
#define TN_MODEL_CONVERT_H

#include "base/pool.h"
#include "model/lora.h"
#include "store/writer.h"

/* The difference between the new values and the original ones. */
typedef struct tn_conversion {
    double errors, squares; /* sums of squares of the errors, of the values               */
    double largest;         /* error                                                      */
    double relative_rms;    /* sqrt(errors / squares)                                     */
    double cosine;          /* between both, as vectors; 1 if both are zero               */
} tn_conversion;

/* Called with the bytes of the source that were read since the last call; false stops. */
typedef bool tn_convert_fn(void *user, size_t bytes);

typedef struct tn_convert_how {
    tn_pool *pool;              /* NULL: the caller's thread alone                                    */
    const tn_adapter *merged;   /* its additions to the tensor are added to the values; NULL: none    */
    const char *name;           /* of the tensor in the model, for these                              */
    tn_convert_fn *advance;     /* may be NULL                                                        */
    void *user;
} tn_convert_how;

/* Writes `stored`, a weight, as `form`, which has the same shape and is the next declared tensor of `writer` without
 * data. If the type is the same and nothing is merged, every bit is kept. Memory is limited to a few pieces of 16 rows. The result
 * does not depend on the threads. Errors: FORMAT (a value is not finite, or too large for the type: tensor, row and column are
 * named), CANCELLED, MEMORY, those of tn_writer_write. */
tenebra_code tn_convert(const tn_stored *stored, const tn_form *form, tn_writer *writer, const tn_convert_how *how,
                        tn_conversion *result, tenebra_error *error);

#endif
