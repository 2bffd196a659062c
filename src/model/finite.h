/* Numbers that are none: noticed where results leave the engine, and traced back to the layer in which they came up first. */
#ifndef TN_MODEL_FINITE_H
#define TN_MODEL_FINITE_H

#include "model/engine.h"

/* False with the place of the first value that is NaN or infinite. Reads the whole tensor. Threads: any. */
bool tn_stored_is_finite(const tn_stored *stored, size_t *row, size_t *col);

/* Each fails with FORMAT. They compute again what gave such numbers, looking on, and name the first layer; and of its weights the
 * tensor that holds such a value, if one does: else the numbers grew too large on their way.
 * Rows that follow those of the sequence; pictures; the logits of a normed row. */
tenebra_code tn_fail_rows(tn_engine *engine, const tn_sequence *sequence, const tn_row *rows, size_t count, tenebra_error *error);
tenebra_code tn_fail_pictures(tn_engine *engine, const tn_prepared *const *pictures, size_t count, tenebra_error *error);
tenebra_code tn_fail_logits(const tn_model *model, const tn_real *normed, const tn_real *logits, tenebra_error *error);

#endif
