/* The question asked of a sample: one conversation for validation, for evaluation and for lessons. */
#ifndef TN_REASON_ASKED_H
#define TN_REASON_ASKED_H

#include "data/sample.h"

/* Pictures stand before the text or inside of it, as the wording says. */
typedef struct tn_asked {
    tn_prompt prompt;
    tenebra_part *parts;
    tenebra_message message;
} tn_asked;

/* Writes the conversation; its texts live as long as the sample's set and *asked. Errors: MEMORY; *asked is empty
 * then. Threads: any. */
tenebra_code tn_asked_write(tn_asked *asked, const tn_prompt_preset *preset, const tn_sample *sample, tenebra_error *error);
void tn_asked_free(tn_asked *asked);

/* A request with that one message, and pictures taken as data set scripts take them: EXIF orientation is ignored.
 * Borrows from *asked. */
tenebra_request tn_asked_request(const tn_asked *asked);

#endif
