/* What a trace tells, as members of a record (docs/evaluation.md has them all). */
#ifndef TN_EVAL_RECORD_H
#define TN_EVAL_RECORD_H

#include "base/json.h"

/* Adds text, account, times and latent steps, of several passes each as `turns`, and `regions` that were asked for; with
 * steps, or with the request's `scores`, also `pictures` as [width, height, rows, columns, source]; with these scores also
 * `prompt_scores`, and `scores` of each step: attention to every image embedding of the prompt, picture after picture, each with
 * four digits. False: no memory. */
bool tn_record_add_trace(json_t *record, const tenebra_trace *trace);

/* Asks the session the same pictures with a neutral prompt, and adds the attention of that prompt's last row as `neutral`:
 * what a map of attention is compared with, since some places draw attention whatever is asked. Nothing is added where the
 * request has no picture. `positions` as the answer had them. The session's last trace is gone after it.
 * Errors: those of tenebra_session_ask. */
tenebra_code tn_record_add_neutral(json_t *record, tenebra_session *session, const tenebra_request *request,
                                   const char *positions, tenebra_error *error);

#endif
