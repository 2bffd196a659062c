/* The contents of a trace as members of a record (docs/evaluation.md lists them). */
#ifndef TN_EVAL_RECORD_H
#define TN_EVAL_RECORD_H

#include "base/json.h"

/* Adds text, counts, times and latent steps; several passes as `turns`; requested regions as `regions`. With steps, or
 * with the request's `scores`, also `pictures` as [width, height, rows, columns, source]. With `scores` also
 * `prompt_scores`, and `scores` of each step: attention to every image embedding of the prompt, image by image, with
 * four digits. `parallel`: answers that were in progress at once, at most; more than 1 is told with the times. False without memory. */
bool tn_record_add_trace(json_t *record, const tenebra_trace *trace, size_t parallel);

/* A request with the same images and a neutral prompt. Maps of attention are compared with that of its last row, since some places
 * attract attention whatever the question is. */
typedef struct tn_neutral {
    tenebra_part *parts; /* NULL: the request has no image, so there is no neutral request */
    tenebra_message message;
    tenebra_request request; /* points into this struct */
} tn_neutral;

/* `positions` as for the answer. Errors: MEMORY. */
tenebra_code tn_neutral_write(tn_neutral *neutral, const tenebra_request *request, const char *positions, tenebra_error *error);
void tn_neutral_free(tn_neutral *neutral); /* a zeroed one is allowed */

/* Adds the attention of its answer as `neutral`. False without memory. */
bool tn_record_add_neutral(json_t *record, const tenebra_trace *trace);

#endif
