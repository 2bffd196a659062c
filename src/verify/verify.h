/* Recomputes the contents of a golden case with the product's own parts, observed from outside, and compares. */
#ifndef TN_VERIFY_VERIFY_H
#define TN_VERIFY_VERIFY_H

#include "model/session.h"
#include "store/store.h"

/* One compared quantity. */
typedef struct tn_verify_row {
    const char *name; /* in the case */
    bool exact;       /* integers    */
    double absolute, relative; /* largest differences; integers: number of differences; NaN: it could not be computed */
    double bound;
    bool passed;
    size_t at;        /* first element outside the bound */
    double got, expected;
} tn_verify_row;

typedef struct tn_verify {
    tn_store *golden;
    tn_model *model;     /* NULL if the case requires none */
    tn_session *session;
    tn_arena wide;       /* memory of the model's matrices as F32 */
    bool *handled;       /* one per tensor of the case */
    tn_verify_row *rows;
    size_t row_count;
    tenebra_error failure; /* the first quantity that could not be computed at all */
} tn_verify;

typedef struct tn_verify_options {
    const char *model;   /* directory; NULL: "model" beside the case    */
    const char *base;    /* as in tn_model_options                      */
    double lora_alpha;
    const char *kernels; /* name of a kernel set; NULL or "": the best  */
    size_t threads;      /* 0: all processors                           */
} tn_verify_options;

/* Opens a case, and a model if the case requires one; must always be closed. If the case itself could be opened,
 * `golden` is set and its contents can be listed (tn_verify_is_covered). Errors: of tn_store_open, tn_model_open and
 * tn_session_open; MEMORY. */
tenebra_code tn_verify_open(tn_verify *verify, const char *path, const tn_verify_options *options, tenebra_error *error);

/* Computes and compares all known quantities: fills rows, handled and failure. */
void tn_verify_run(tn_verify *verify);

/* True if tensor `index` of the case was compared, or is an input or for information only. */
bool tn_verify_is_covered(const tn_verify *verify, size_t index);

/* A zeroed record may be closed. */
void tn_verify_close(tn_verify *verify);

#endif
