/* NaN and infinity: they are noticed when results leave the engine, and traced back to the layer in which they first occurred. */
#ifndef TN_MODEL_FINITE_H
#define TN_MODEL_FINITE_H

#include "model/engine.h"

/* Whether all values are finite; if not, sets the place of the first one that is not. Reads the complete tensor. Threads: any. */
bool tn_stored_is_finite(const tn_stored *stored, size_t *row, size_t *col);

/* Each of these fails with FORMAT. They repeat the computation with watched values and name the first layer with such a number,
 * and the tensor of this layer that contains one; if no tensor does, the numbers grew too large. For rows that follow those of
 * the sequence, for images, and for the logits of a normed row. */
tenebra_code tn_fail_rows(tn_engine *engine, const tn_sequence *sequence, const tn_row *rows, size_t count, tenebra_error *error);
tenebra_code tn_fail_pictures(tn_engine *engine, const tn_prepared *const *pictures, size_t count, tenebra_error *error);
tenebra_code tn_fail_logits(const tn_model *model, const tn_real *normed, const tn_real *logits, tenebra_error *error);

#endif
