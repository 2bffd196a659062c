/* The question of `tenebra run`, from its options to the turns of a request. */
#ifndef TN_APP_RUN_QUESTION_H
#define TN_APP_RUN_QUESTION_H

#include "app/app.h"
#include "app/messages.h"
#include "reason/question.h"
#include "reason/scope.h"

typedef struct tn_run_question {
    const char *prompt, *system; /* NULL: stdin; none */
    const char *messages;        /* a file that replaces these and the images */
    const char *preset;          /* wording, with or without choices; NULL: `standard` with choices, otherwise unchanged */
    tn_option_list images, choices;

    const char *text; /* of the original question; NULL: in `messages` */
    const tenebra_message *turns; /* [turn_count], made by open */
    size_t turn_count;
    tn_question written;   /* the turns of a prompt    */
    tn_messages given;     /* the turns of `messages`  */
    json_t *json; /* owns the texts of `messages`  */
    char *input;  /* owns the text from stdin      */
    char **streams; /* [stream_count] images from stdin and pipes */
    size_t stream_count;
} tn_run_question;

/* Describes a conflict between options; NULL if there is none. */
const char *tn_run_question_mistake(const tn_run_question *question);

/* Makes the turns. `standard` is the wording of questions with choices. Errors: ARGUMENT, IO, FORMAT, LIMIT, MEMORY.
 * Must always be freed. */
tenebra_code tn_run_question_open(tn_run_question *question, const tn_prompt_preset *standard, tenebra_error *error);

/* Writes a note to stderr if no turn has a word that the model was made for, if one asks for what it did not learn, or if
 * none has an image. `where` is the beginning of the note, e.g. "note: ". Without a scope there is no note. */
void tn_run_question_note_scope(const tn_scope *scope, const tenebra_message *turns, size_t turn_count, const char *where);

void tn_run_question_free(tn_run_question *question);

#endif
