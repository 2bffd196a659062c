/* The question of a sample as a conversation, for validation, evaluation and training examples. */
#ifndef TN_REASON_ASKED_H
#define TN_REASON_ASKED_H

#include "data/sample.h"
#include "reason/method.h"

/* Images are before the text or inside it, as the wording says. */
typedef struct tn_asked {
    tn_prompt prompt;
    tenebra_part *parts;
    tenebra_message message;
    size_t letters; /* number of options that the text shows with letters */
} tn_asked;

/* Writes the conversation; its texts live as long as the sample's data set and *asked. Errors: MEMORY; *asked is then empty.
 * Threads: any. */
tenebra_code tn_asked_write(tn_asked *asked, const tn_prompt_preset *preset, const tn_sample *sample, tenebra_error *error);
/* The setting of `method` that a wording brings with it, unless one of `settings` [count] is of the same option: *setting, whose value
 * is stored in `text`. False if there is none. `wording` may be NULL. */
bool tn_wording_setting(const tn_prompt_preset *wording, const char *method, const tenebra_setting *settings, size_t count,
                        char text[TN_SETTING_TEXT_SIZE], tenebra_setting *setting);

void tn_asked_free(tn_asked *asked);

/* The turn that asks for one of the options after an answer in words. It names their letters; without options (0: there are
 * none, or they are unknown) it asks only for the answer. As in the LLaVA runs of arXiv:2405.16473, in our words. */
enum { TN_ANSWER_TURN_SIZE = 320 };
void tn_answer_turn_write(char text[TN_ANSWER_TURN_SIZE], size_t options);

/* A request with this one message. EXIF orientation of images is ignored, as in the scripts of data sets. Borrows from *asked. */
tenebra_request tn_asked_request(const tn_asked *asked);

#endif
