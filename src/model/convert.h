/* One stored tensor from any form into another, streamed into a file by all threads of a pool. */
#ifndef TN_MODEL_CONVERT_H
#define TN_MODEL_CONVERT_H

#include "base/pool.h"
#include "store/writer.h"

/* What became of the values, against those that they were made from. */
typedef struct tn_conversion {
    double errors, squares; /* sums of squares of the errors, of the values               */
    double largest;         /* error                                                      */
    double relative_rms;    /* sqrt(errors / squares)                                     */
    double cosine;          /* between both, as vectors; 1 where both are zero            */
} tn_conversion;

/* Called with the bytes of the source that were read since the last call; false stops. */
typedef bool tn_convert_fn(void *user, size_t bytes);

/* Writes `stored`, a weight, as `form`, which has its shape and was declared next of what `writer` still lacks. The same
 * type again keeps every bit. Memory is bounded by some pieces of 16 rows. The result does not depend on the threads.
 * Errors: FORMAT (a value is not finite, or too large for the type: tensor, row and column are named), CANCELLED,
 * MEMORY, those of tn_writer_write. */
tenebra_code tn_convert(const tn_stored *stored, const tn_form *form, tn_writer *writer, tn_pool *pool,
                        tn_convert_fn *advance, void *user, tn_conversion *result, tenebra_error *error);

#endif
