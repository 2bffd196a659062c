/* What training left beside a model or an adapter (training.json): how its weights want to be asked. */
#ifndef TN_APP_TRAINED_H
#define TN_APP_TRAINED_H

#include "app/method_table.h"

#include <jansson.h>

typedef struct tn_trained {
    const char *preset;    /* the wording; NULL: nothing is known of it    */
    const char *positions; /* NULL: as the method defines                  */
    const char *method;    /* that was taught; NULL: nothing is known      */
    tenebra_setting settings[TN_METHOD_OPTIONS_MAX]; /* of that method     */
    size_t setting_count;
    char latents[24];      /* text of the number of latent steps           */
    json_t *about;         /* owns the other texts                         */
} tn_trained;

/* Reads what the last adapter with such a file tells, else what the model tells. NULL is what neither tells, what cannot be
 * read, and what this program does not know: it is advice. Free with tn_trained_free. */
void tn_trained_read(tn_trained *trained, const char *model, const tenebra_model_options *options);
void tn_trained_free(tn_trained *trained);

/* The value that training had for an option; NULL: it says nothing. */
const char *tn_trained_setting(const tn_trained *trained, const char *name);

#endif
