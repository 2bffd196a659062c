/* Recomputing what a golden case holds, with the product's own parts watched from outside, and comparing. */
#ifndef TN_VERIFY_VERIFY_H
#define TN_VERIFY_VERIFY_H

#include "model/session.h"
#include "store/store.h"

/* One compared quantity. */
typedef struct tn_verify_row {
    const char *name; /* in the case */
    bool exact;       /* integers    */
    double absolute, relative; /* largest differences; integers: how many differ; NaN: it could not be computed */
    double bound;
    bool passed;
    size_t at;        /* first element out of bounds */
    double got, expected;
} tn_verify_row;

typedef struct tn_verify {
    tn_store *golden;
    tn_model *model;     /* NULL where the case needs none */
    tn_session *session;
    bool *handled;       /* one a tensor of the case */
    tn_verify_row *rows;
    size_t row_count;
    tenebra_error failure; /* the first thing that could not be computed at all */
} tn_verify;

typedef struct tn_verify_options {
    const char *model;   /* directory; NULL: "model" beside the case    */
    const char *kernels; /* name of a kernel set; NULL or "": the best  */
    size_t threads;      /* 0: all processors                           */
} tn_verify_options;

/* Opens a case, and a model where anything in the case needs one; to be closed in any case. What the case holds can be listed
 * (tn_verify_is_covered) where the case itself could be opened: `golden` is set then. Errors: of tn_store_open, tn_model_open
 * and tn_session_open; MEMORY. */
tenebra_code tn_verify_open(tn_verify *verify, const char *path, const tn_verify_options *options, tenebra_error *error);

/* Computes and compares all that is known: fills rows, handled and failure. */
void tn_verify_run(tn_verify *verify);

/* Whether tensor `index` of the case was compared, or is an input or for information only. */
bool tn_verify_is_covered(const tn_verify *verify, size_t index);

/* A zeroed record may be closed. */
void tn_verify_close(tn_verify *verify);

#endif
