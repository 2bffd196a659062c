/* A question as people ask it (tenebra_question), and the turns of a conversation that it becomes. */
#ifndef TN_REASON_QUESTION_H
#define TN_REASON_QUESTION_H

#include "reason/asked.h"

enum { TN_CHOICES_MAX = 26 }; /* one for each letter */

/* Borrows the texts of the question. */
typedef struct tn_question {
    tenebra_message turns[2]; /* [turn_count] the system's, if there is one, and the user's */
    size_t turn_count;
    tenebra_part system;
    tenebra_part *parts; /* of the user's turn, where no wording writes it */
    tn_asked asked;      /* where one does */
} tn_question;

/* Writes the turns. With choices or a preset the user's turn is worded as questions of a data set are; the wording is that of
 * question->preset, else `standard`. Otherwise it holds the pictures and the text as they are. Errors: ARGUMENT (a preset that
 * does not exist, too many choices, a text that is missing), MEMORY; *written is empty then. Threads: any. */
tenebra_code tn_question_write(tn_question *written, const tenebra_question *question, const tn_prompt_preset *standard,
                               tenebra_error *error);
void tn_question_free(tn_question *written);

#endif
