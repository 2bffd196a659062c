/* A lesson: a sample as the sequence that is trained on, and which tokens bear loss.
 *
 * A lesson is a list of parts: text (rows of input, some of the tokens labelled) and latent steps. The prompt with its pictures
 * is the first text. A method says in `arrange_lesson` (reason/method.h) what follows it; it brings no
 * training loop. Source of the sequence of the latent methods: arXiv:2510.12603, section 3.3. */
#ifndef TN_REASON_LESSON_H
#define TN_REASON_LESSON_H

#include "model/session.h"
#include "reason/latent.h"

/* What a lesson is made from. Borrowed during tn_teacher_prepare. */
typedef struct tn_lesson_source {
    const tenebra_message *messages; /* up to the question, as in a request */
    size_t message_count;
    const char *const *steps;        /* [step_count] of the rationale, without what training puts around them */
    size_t step_count;
    const char *step[2];             /* that: before and after each; NULL: nothing, and a newline */
    const char *answer;              /* without the end token */
    size_t latents;                  /* latent steps of this stage                          */
    size_t skip;                     /* steps of the rationale that they stand for          */
    size_t limit;                    /* most rows; whole steps go from the end until the lesson fits; 0: none */
} tn_lesson_source;

typedef struct tn_lesson_part {
    size_t rows;    /* of text, taken from tn_lesson.text in turn; 0: latent steps */
    size_t latents; /* steps                                                       */
} tn_lesson_part;

struct tn_lesson {
    tn_row *text;       /* [count] rows of all text parts, without positions                             */
    int32_t *labels;    /* [count] the token where it bears loss, else -1. labels[0] is -1        */
    size_t count;
    size_t capacity;
    tn_lesson_part *parts;
    size_t part_count, part_capacity;
    size_t prompt;      /* rows of the prompt: pictures stand only here */
    tn_latent_settings latent; /* of the latent parts */
    tn_image_rows *pictures; /* [picture_count] measured, not encoded */
    tn_prepared *prepared;   /* what the encoder reads of each        */
    size_t picture_count;
    uint64_t number;         /* of the example in its data: its random draws depend on nothing else but the seed */
    /* Sums that a trainer plans with. */
    size_t label_count; /* tokens that bear loss                          */
    size_t latent_steps;
    size_t rows;        /* most rows that the decoder runs                */
    size_t steps_dropped; /* by the limit */
    const tn_lesson_source *source; /* while it is being arranged */
    tn_reasoner *reasoner;
};

/* For methods, in arrange_lesson: what follows the prompt. */

/* `steps` latent steps; 0 adds nothing. All latent parts of a lesson have the settings of the last. Errors: MEMORY,
 * UNSUPPORTED (a latent text that is no training target: interventions of answering). */
tenebra_code tn_lesson_add_latents(tn_lesson *lesson, size_t steps, const tn_latent_settings *settings,
                                   tenebra_error *error);
/* Text, tokenised by itself; `labelled`: it bears loss. Errors: MEMORY, those of the tokenizer. */
tenebra_code tn_lesson_add_text(tn_lesson *lesson, const char *text, bool labelled, tenebra_error *error);
/* A step of the source with what goes around it; all steps from `first` on; the answer and the end token. All labelled. */
tenebra_code tn_lesson_add_step(tn_lesson *lesson, size_t step, tenebra_error *error);
tenebra_code tn_lesson_add_steps(tn_lesson *lesson, size_t first, tenebra_error *error);
tenebra_code tn_lesson_add_answer(tn_lesson *lesson, tenebra_error *error);

/* The building stones, also for those who have rows already. labels may be NULL: none. Cells are those of lesson->pictures.
 * Errors: MEMORY. */
tenebra_code tn_lesson_add_rows(tn_lesson *lesson, const tn_row *rows, const int32_t *labels, size_t count, tenebra_error *error);
/* The same from token ids; in those that begin the lesson, runs of the token that stands for pictures are its pictures. Errors: MEMORY,
 * MISMATCH. */
tenebra_code tn_lesson_add_ids(tn_lesson *lesson, const tn_model_config *config, const int32_t *ids, const int32_t *labels,
                               size_t count, tenebra_error *error);
/* Places for that many pictures, zeroed, before rows refer to them; the caller fills pictures and prepared, which are the
 * lesson's from then on. Errors: MEMORY. */
tenebra_code tn_lesson_set_pictures(tn_lesson *lesson, size_t count, tenebra_error *error);

/* Rows of input that the image encoder reads of all its pictures. */
size_t tn_lesson_prepared(const tn_lesson *lesson);

/* Gives the memory back and leaves an empty lesson. A zeroed one may be freed. */
void tn_lesson_free(tn_lesson *lesson);

#endif
