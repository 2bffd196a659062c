/* A generation in progress can be asked what it needs next; reason/rounds.c asks one generation, or many. */
#ifndef TN_REASON_LOOP_H
#define TN_REASON_LOOP_H

#include "reason/parts.h"

typedef enum tn_need {
    TN_NEED_PICTURES, /* tn_reasoner_encode_pictures */
    TN_NEED_SPAN,     /* tn_engine_run of *span      */
    TN_NEED_NOTHING   /* the answer is complete      */
} tn_need;

/* Continues until something has to be computed. It uses the results of the span that it returned before; span->out must still
 * be valid. After an error, the generation cannot be continued. */
tenebra_code tn_reasoner_advance(tn_reasoner *reasoner, tn_need *need, tn_span *span, tenebra_error *error);

#endif
