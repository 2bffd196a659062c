/* Whether the size in which pictures are seen has to be told. */
#ifndef TN_APP_SEEN_H
#define TN_APP_SEEN_H

#include "eval/plan.h"
#include "reason/trained.h"

/* A note on stderr that pictures are seen as in training, unless nothing is known of that, or all pictures have this size already: those
 * of the turns (turn_count 0: no turn is known yet), or of the plan's questions. Pictures that cannot be read are left to what reads
 * them. */
void tn_app_tell_size(const tn_trained *trained, const tenebra_message *turns, size_t turn_count);
void tn_app_tell_plan_size(const tn_trained *trained, const tn_eval_plan *plan);

#endif
