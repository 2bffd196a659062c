/* A training example: a sample as the sequence that is trained on, with labels for the tokens that have a loss.
 * 
 * An example is a list of parts: text (rows of input, some of whose tokens are labelled) and latent steps. The prompt with its
 * images is the first text; further turns of a dialogue may show further images. A method's `arrange_training` (reason/method.h)
 * adds what follows the prompt; a method has no training loop. Source of the sequence of the latent methods: arXiv:2510.12603,
 * section 3.3. */
#ifndef TN_REASON_TRAIN_EXAMPLE_H
#define TN_REASON_TRAIN_EXAMPLE_H

#include "data/sample.h"
#include "model/session.h"
#include "reason/latent.h"

/* The source of an example. Borrowed during tn_training_prepare. */
typedef struct tn_train_example_source {
    const tenebra_message *messages; /* messages up to the question, as in a request */
    size_t message_count;
    const char *const *steps;        /* [step_count] steps of the rationale, without the texts around them */
    size_t step_count;
    const char *step[2];             /* the texts before and after each step; NULL: nothing, and a newline */
    const char *answer;              /* the answer without the end token */
    const tn_sample_region *regions; /* [region_count] that the solution looks at; `after` counts `steps` */
    size_t region_count;
    size_t latents;                  /* number of latent steps of this stage                */
    size_t skip;                     /* number of steps of the rationale that they replace  */
    size_t limit;                    /* maximum rows; complete steps are dropped from the end until the example fits; 0: no
                                      * limit */
} tn_train_example_source;

typedef struct tn_train_example_part {
    size_t rows;    /* rows of text, the next ones of tn_train_example.text; 0: latent steps */
    size_t latents; /* number of latent steps                                      */
} tn_train_example_part;

struct tn_train_example {
    tn_row *text;       /* [count] rows of all text parts, without positions; a vector without a tensor is a row of tn_method.marks */
    int32_t *labels;    /* [count] the token that the row before predicts if it has a loss, else -1; that of the row itself, or the end
                         * token where a turn follows a reply. labels[0] is -1 */
    size_t count;
    size_t capacity;
    tn_train_example_part *parts;
    size_t part_count, part_capacity;
    size_t prompt;      /* rows of the prompt, whose images latent steps may pick from */
    tn_latent_settings latent; /* settings of the latent parts */
    tn_image_rows *pictures; /* [picture_count] measured, not encoded */
    tn_prepared *prepared;   /* the input of the encoder for each     */
    size_t picture_count;
    size_t look_count;       /* 0, or picture_count: as many images follow in both lists, those that picks are read from (look.h); no
                              * rows: as the prompt shows them */
    uint64_t number;         /* number in the data set; random numbers depend only on it and the seed */
    /* For losses of the method (tn_method.batch_losses); nothing without them. */
    int32_t *words;          /* [word_count] tokens of its text: of the rationale, or without one of question and answer */
    size_t word_count;
    tn_image *small;         /* [picture_count] the images as the model sees them, shrunk to squares by averaging areas; NULL: the method
                              * takes none */
    tn_digest image_mark, words_mark; /* of all images, and of `words`; equal ones are the same; zero: there are none */
    /* Totals for planning. */
    size_t label_count; /* tokens with a loss                             */
    size_t latent_steps;
    size_t rows;        /* maximum rows that the decoder runs             */
    size_t steps_dropped; /* steps that were dropped because of the limit */
    const tn_train_example_source *source; /* while it is being arranged */
    tn_reasoner *reasoner;
    bool tail_ahead;      /* the tail of the prompt comes before the next text */
};

/* For methods, in arrange_training: add what follows the prompt. */

/* Adds `steps` latent steps; 0 adds nothing. All latent parts of an example have the settings of the last one. Errors: MEMORY,
 * UNSUPPORTED (a latent text that is only an intervention in answering). */
tenebra_code tn_train_example_add_latents(tn_train_example *example, size_t steps, const tn_latent_settings *settings,
                                   tenebra_error *error);
/* Adds the method's row before the latent steps (0), or after them (1): tn_method.marks. Errors: MEMORY. */
tenebra_code tn_train_example_add_mark(tn_train_example *example, size_t which, tenebra_error *error);
/* Adds text, which is tokenised separately, after the tail of the prompt if it is the first; `labelled`: its tokens have a
 * loss. Errors: MEMORY, those of the tokenizer. */
tenebra_code tn_train_example_add_text(tn_train_example *example, const char *text, bool labelled, tenebra_error *error);
/* Add a step of the source with the texts around it; all steps from `first` on; the answer and the end token. All are labelled. */
tenebra_code tn_train_example_add_step(tn_train_example *example, size_t step, tenebra_error *error);
tenebra_code tn_train_example_add_steps(tn_train_example *example, size_t first, tenebra_error *error);
tenebra_code tn_train_example_add_answer(tn_train_example *example, tenebra_error *error);
/* Adds the end token, labelled. Errors: MEMORY, MISMATCH (the model has none). */
tenebra_code tn_train_example_add_end(tn_train_example *example, tenebra_error *error);
/* Adds the further turn that the method's `arrange` writes for the next pass, with the images that were added to the conversation since
 * the last one: the rows that answering lays (reason/turn.c), without labels. `ends`: the reply before it ends with the end token, which
 * has a loss. Errors: MEMORY, LIMIT, MISMATCH, UNSUPPORTED (the template). */
tenebra_code tn_train_example_add_turn(tn_train_example *example, bool ends, tenebra_error *error);

/* Adds rows. labels may be NULL: none. Cells must be those of example->pictures (while a method arranges the example: of the
 * conversation). Errors: MEMORY. */
tenebra_code tn_train_example_add_rows(tn_train_example *example, const tn_row *rows, const int32_t *labels, size_t count,
                                        tenebra_error *error);
/* The same from token ids. In the ids that begin the example, runs of the image token are its images. Errors: MEMORY,
 * MISMATCH. */
tenebra_code tn_train_example_add_ids(tn_train_example *example, const tn_model_config *config, const int32_t *ids, const int32_t *labels,
                               size_t count, tenebra_error *error);
/* Makes room for this number of images, zeroed, and as many that picks are read from, before rows refer to them. The caller fills
 * pictures and prepared, which then belong to the example, and sets look_count. Errors: MEMORY. */
tenebra_code tn_train_example_set_pictures(tn_train_example *example, size_t count, tenebra_error *error);

/* Sets `words` and its mark, after the prompt was added. Errors: MEMORY, those of the tokenizer. */
tenebra_code tn_train_example_keep_words(tn_train_example *example, tenebra_error *error);
/* Sets the mark of the images, and small pictures of side x side pixels if `side` is not 0. Errors: MEMORY. */
tenebra_code tn_train_example_keep_pictures(tn_train_example *example, const tn_conversation *conversation, size_t side,
                                            tenebra_error *error);

/* The number of input rows of the image encoder for its images [0], and for those that picks are read from [1]. */
size_t tn_train_example_prepared(const tn_train_example *example, size_t looks);

/* What picks from image `picture` are read from; NULL: the image itself. */
static inline const tn_image_rows *tn_train_example_look(const tn_train_example *example, const tn_image_rows *pictures, size_t picture)
{
    return example->look_count > 0 ? &pictures[example->picture_count + picture] : NULL;
}

/* Drops the images that picks are read from. */
void tn_train_example_drop_looks(tn_train_example *example);

/* Frees the memory and leaves an empty example. A zeroed one may be freed. */
void tn_train_example_free(tn_train_example *example);

#endif
