/* The directory of a model that a command writes: weights, and copies of the files beside them. */
#ifndef TN_APP_MODEL_OUTPUT_H
#define TN_APP_MODEL_OUTPUT_H

#include "app/app.h"

enum { TN_MODEL_SOURCES = 2 };

typedef struct tn_model_output {
    const char *path;                      /* without '/' at its end                         */
    const char *sources[TN_MODEL_SOURCES]; /* what is read, which must not be the path; NULL after the last */
    bool force;                            /* replace an existing model                      */
} tn_model_output;

/* Fills the directory `partial`. */
typedef tenebra_code tn_model_fill_fn(void *user, const char *partial, tenebra_error *error);

/* Makes a directory beside the path, whose name contains the process id, fills it, and moves it to the path, which is therefore
 * never incomplete. Nothing remains of it after a failure. Errors: ARGUMENT (the path exists), IO, those of `fill`. */
tenebra_code tn_model_output_write(const tn_model_output *output, tn_model_fill_fn *fill, void *user, tenebra_error *error);

/* Copies configuration, tokenizer, templates, a method's module and texts from the directory of a model. Errors: IO, LIMIT, MEMORY. */
tenebra_code tn_model_output_copy(const char *directory, const char *output, tenebra_error *error);

#endif
