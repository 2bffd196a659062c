/* The note about the size to which images are resized. */
#ifndef TN_APP_SEEN_H
#define TN_APP_SEEN_H

#include "eval/plan.h"
#include "reason/trained.h"

/* Prints a note to stderr that images are resized as in training. There is no note if the size of training is not known, or if
 * all images have this size already: those of the turns (turn_count 0: no turn is known yet), or of the plan's questions.
 * Images that cannot be read are ignored here; they are reported when they are used. */
void tn_app_tell_size(const tn_trained *trained, const tenebra_message *turns, size_t turn_count);
void tn_app_tell_plan_size(const tn_trained *trained, const tn_eval_plan *plan);

#endif
