/* The question asked of a sample: one conversation for validation, for evaluation and for lessons. */
#ifndef TN_REASON_ASKED_H
#define TN_REASON_ASKED_H

#include "data/sample.h"

/* Pictures stand before the text or inside of it, as the wording says. */
typedef struct tn_asked {
    tn_prompt prompt;
    tenebra_part *parts;
    tenebra_message message;
    size_t letters; /* options that the text shows with letters */
} tn_asked;

/* Writes the conversation; its texts live as long as the sample's set and *asked. Errors: MEMORY; *asked is empty
 * then. Threads: any. */
tenebra_code tn_asked_write(tn_asked *asked, const tn_prompt_preset *preset, const tn_sample *sample, tenebra_error *error);
void tn_asked_free(tn_asked *asked);

/* The turn that asks for one of the options after an answer in words: names their letters, or without options (0: there are
 * none, or nothing is known of them) asks for the answer alone. As in the LLaVA runs of arXiv:2405.16473, in our words. */
enum { TN_ANSWER_TURN_SIZE = 320 };
void tn_answer_turn_write(char text[TN_ANSWER_TURN_SIZE], size_t options);

/* A request with that one message, and pictures taken as data set scripts take them: EXIF orientation is ignored.
 * Borrows from *asked. */
tenebra_request tn_asked_request(const tn_asked *asked);

#endif
