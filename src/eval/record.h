/* The contents of a trace as members of a record (docs/evaluation.md lists them). */
#ifndef TN_EVAL_RECORD_H
#define TN_EVAL_RECORD_H

#include "base/json.h"

/* Adds text, counts, times and latent steps; several passes as `turns`; requested regions as `regions`. With steps, or
 * with the request's `scores`, also `pictures` as [width, height, rows, columns, source]. With `scores` also
 * `prompt_scores`, and `scores` of each step: attention to every image embedding of the prompt, image by image, with
 * four digits. False without memory. */
bool tn_record_add_trace(json_t *record, const tenebra_trace *trace);

/* Asks the session with the same images and a neutral prompt, and adds the attention of that prompt's last row as
 * `neutral`. Maps of attention are compared with it, since some places attract attention whatever the question is. Adds
 * nothing if the request has no image. `positions` as for the answer. The session's previous trace becomes invalid.
 * Errors: those of tenebra_session_ask. */
tenebra_code tn_record_add_neutral(json_t *record, tenebra_session *session, const tenebra_request *request,
                                   const char *positions, tenebra_error *error);

#endif
