/* Numbers that are none: noticed where results leave a session, and traced back to the layer in which they came up first. */
#ifndef TN_MODEL_FINITE_H
#define TN_MODEL_FINITE_H

#include "model/session.h"

bool tn_all_finite(const tn_real *values, size_t count);

/* False with the place of the first value that is NaN or infinite. Reads the whole tensor. Threads: any. */
bool tn_stored_is_finite(const tn_stored *stored, size_t *row, size_t *col);

/* Each fails with FORMAT. They compute again what gave such numbers, looking on, and name the first layer; and of its weights the
 * tensor that holds such a value, if one does: else the numbers grew too large on their way.
 * Rows begin .. begin+count-1 of session->slots, which ran last; pictures; the logits of a normed row. */
tenebra_code tn_fail_rows(tn_session *session, size_t begin, size_t count, tenebra_error *error);
tenebra_code tn_fail_pictures(tn_session *session, const tn_real *patches, const tn_grid *grids, size_t count,
                              tenebra_error *error);
tenebra_code tn_fail_logits(tn_session *session, tn_tensor normed, tenebra_error *error);

#endif
