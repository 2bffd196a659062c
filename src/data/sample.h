/* A question with its images, and data sets of questions.
 *
 *     tn_data *data;
 *     tn_data_open("NAME:DIRECTORY", "train", NULL, &data, &error);
 *     for (size_t i = 0; i < tn_data_count(data); i++) {
 *         const tn_sample *sample = tn_data_sample(data, i);
 *         tn_steps steps;
 *         tn_steps_split(&steps, sample->rationale, TN_STEPS_GROUPS, &error);
 *         ...
 *         tn_steps_free(&steps);
 *     }
 *     tn_data_close(data);
 *
 * Images are paths; the image layer decodes them. An open data set is read-only, and any number of threads may share
 * it. The texts of a sample live as long as its data set. */
#ifndef TN_DATA_SAMPLE_H
#define TN_DATA_SAMPLE_H

#include "base/status.h"

/* -------------------------------------------------------------- sample -- */

/* A part of the first image that a solution looks at before it goes on. */
typedef struct tn_sample_region {
    double box[4]; /* left, top, right, bottom in parts of the image, 0..1, independent of its size */
    size_t after;  /* steps of the rationale that come before the look */
} tn_sample_region;

/* All texts are UTF-8 as published (not stripped), zero-terminated, and never NULL ("" if there is none). */
typedef struct tn_sample {
    const char *id;       /* unique in its split                                                       */
    const char *question;
    const char *context;  /* hint; the IVT-LR authors never use it                                     */
    const char *const *options; /* [option_count]                                                      */
    size_t option_count;  /* 0: an open question                                                       */
    size_t answer;        /* index of the correct option; 0 for an open question                       */
    const char *label;    /* the correct answer: "B", the index "1", or the words of an open answer    */
    bool open;            /* an open question: even a label such as "7" or "B" is text                 */
    const char *const *answers; /* [answer_count] further correct answers of an open question            */
    size_t answer_count;
    const char *const *images; /* [image_count] paths, including the data set's directory              */
    size_t image_count;
    const char *rationale; /* the explanation as one text; tn_steps_split divides it into steps        */
    const tn_sample_region *regions; /* [region_count] in the order of the looks; `after` counts steps before any are merged */
    size_t region_count;
    const char *lecture, *solution; /* its two parts if a data set publishes two                       */
    const char *split, *domain, *topic, *category, *subject, *grade, *skill, *task; /* for scoring     */
} tn_sample;

/* Makes the option with this letter the correct one: sets its index and the label, which belong together. Returns false
 * and leaves the sample unchanged if the text, without white space around it, is not the letter of one of the options. */
bool tn_sample_set_letter(tn_sample *sample, const char *letter);

/* --------------------------------------------------------------- steps -- */

/* Steps as the IVT-LR authors train on: at most 3. */
enum { TN_STEPS_GROUPS = 3 };

typedef struct tn_steps {
    const char *const *items; /* [count], zero-terminated, without the newline that training adds */
    size_t count;
    size_t pieces; /* number of steps before some were merged */
    void *memory;
} tn_steps;

/* Splits a rationale into steps as the IVT-LR authors do: each '\n' becomes a blank, white space at the ends is removed
 * (that of Python's str.strip), the text is split at ". ", and an empty last piece is dropped. More than `groups`
 * pieces (0: no limit) become `groups` runs of neighbours, joined by ". " again; the first runs take the remainder. The
 * period between two runs is lost, as in the original. A rationale of white space alone gives no step. Source:
 * arXiv:2510.12603 with its published training code. Errors: LIMIT (2^30 bytes), MEMORY; *steps is then empty. Threads:
 * any. */
tenebra_code tn_steps_split(tn_steps *steps, const char *rationale, size_t groups, tenebra_error *error);
void tn_steps_free(tn_steps *steps);

/* The number of items that consist of the first `pieces` steps, before some were merged: of whole ones only. */
size_t tn_steps_within(const tn_steps *steps, size_t pieces);

/* -------------------------------------------------------------- prompt -- */

/* The wording of a question; data, chosen by name. */
typedef struct tn_prompt_preset {
    const char *name, *summary;
    const char *front;       /* before the question                                               */
    const char *behind;      /* after the question                                                */
    const char *options;     /* before the first option; NULL: options are left out               */
    const char *mark[2];     /* around an option's letter                                         */
    const char *option_end;  /* after an option's text                                            */
    const char *option_join; /* between options                                                   */
    const char *end;         /* after the last option                                             */
    const char *answer[2];   /* around the label in the answer                                    */
    const char *step[2];     /* around each step of the rationale; NULL: nothing, and a newline   */
    bool image_inside;       /* images come after `front` instead of before everything            */
    bool keep_left;          /* white space before the question is kept (it follows image tokens) */
    bool in_words;           /* the answer is the text of the correct option, not its letter         */
    bool with_context;       /* the context goes before the question, on a line of its own        */
    bool bare;               /* the chat template writes nothing around it (the message's role is "bare") */
    size_t picks;            /* image embeddings that a latent step picks unless a setting says otherwise; 0: as the method says */
    bool fused;              /* for backbones that represent images as tokens                     */
    const char *counterpart; /* the same authors' wording for other backbones (for these, if not fused); NULL: this one is for all */
} tn_prompt_preset;

/* All presets, ending with name == NULL:
 *   ivtlr-train, ivtlr-fused-train        the authors' for training, with backbones that have a vision tower, and with those
 *                                         that represent images as tokens
 *   ivtlr-infer, ivtlr-infer-parens       the authors' at test time, by data set
 *   ivtlr-fused-infer                     the second, with the number of picks of backbones that represent images as tokens
 *   words, brief                          the authors' at test time; answers are an option's text (the default model)
 *   plain                                 question, options and "Answer:" on separate lines
 * and one by name, NULL if there is none. */
extern const tn_prompt_preset tn_prompt_presets[];
const tn_prompt_preset *tn_prompt_find(const char *name);

/* The same for a name from a user. *preset is NULL on failure. Errors: ARGUMENT (suggests the nearest name). */
tenebra_code tn_prompt_choose(const char *name, const tn_prompt_preset **preset, tenebra_error *error);

/* The default wording if nothing is known about the model: the authors' at test time. A data set may define another
 * (tn_data_prompt). */
const tn_prompt_preset *tn_prompt_standard(void);

typedef struct tn_prompt {
    char *text;      /* of the user's turn, zero-terminated */
    size_t length;   /* bytes                               */
    size_t image_at; /* the images come before this byte */
} tn_prompt;

/* Writes the user's turn. Question and options are stripped as by Python's str.strip. Errors: MEMORY; *prompt is then
 * empty. Threads: any. */
tenebra_code tn_prompt_write(tn_prompt *prompt, const tn_prompt_preset *preset, const tn_sample *sample,
                             tenebra_error *error);
void tn_prompt_free(tn_prompt *prompt);

/* The answer used for training, e.g. "Therefore, the answer is B" (no end token); the caller frees it.
 * Errors: MEMORY (*answer is NULL). */
tenebra_code tn_prompt_answer(const tn_prompt_preset *preset, const tn_sample *sample, char **answer, tenebra_error *error);

/* ---------------------------------------------------------------- sets -- */

typedef struct tn_data tn_data;

/* Parts of a split: a share of it is held out for validation, by a hash of each sample's first image (of its id if it
 * has none). Questions about one image stay together, and the parts are the same on every machine and in every version. */
typedef enum tn_data_part { TN_PART_OF_SPLIT, TN_PART_KEPT, TN_PART_HELD, TN_PART_ALL } tn_data_part;

/* The share that is held out from a data set without a dev split. */
#define TN_DATA_HELD_OUT 0.05

typedef struct tn_data_options {
    bool without_images; /* also samples without an image; the authors leave them out       */
    const char *topics;  /* only samples of these topics, comma-separated; NULL: all */
    size_t limit;        /* only the first `limit` of the remaining samples; 0: all         */
    tn_data_part part;   /* OF_SPLIT: as the split's name says; others: parts of all its rows */
    double held_out;     /* the share for KEPT and HELD, 0..1                               */
} tn_data_options;

/* Opens a split of a data set. `place` is "NAME:DIRECTORY" with a name from tn_dataset_name_at ("jsonl:FILE" is a
 * file). Splits are "train", "dev" (also "val", "validation"), "test", and further ones of the data set; if it
 * publishes no dev split, "train" and "dev" are parts of its train split. options may be NULL. An invalid row is FORMAT
 * with file and line. Errors: ARGUMENT (no such data set or split), IO, FORMAT, LIMIT, MEMORY. Close with
 * tn_data_close. */
tenebra_code tn_data_open(const char *place, const char *split, const tn_data_options *options, tn_data **data, tenebra_error *error);
void tn_data_close(tn_data *data); /* NULL is allowed */

size_t tn_data_count(const tn_data *data);
const tn_sample *tn_data_sample(const tn_data *data, size_t index); /* index < count */

/* Rows of the split before any are left out, and how many of them have an image. */
size_t tn_data_rows(const tn_data *data);
size_t tn_data_rows_with_image(const tn_data *data);

/* Samples before topics and limit are applied: those of the part, with an image if that is required. */
size_t tn_data_eligible(const tn_data *data);

/* A note about the rows, as a sentence: names of fields that are not read. "" if there are none. */
enum { TN_DATA_NOTE = 400 };
const char *tn_data_note(const tn_data *data, char text[TN_DATA_NOTE]);

/* The name of the data set. */
const char *tn_data_name(const tn_data *data);

/* The wording of the data set's questions if nothing is known about the model. */
const tn_prompt_preset *tn_data_prompt(const tn_data *data);

/* Names of data sets by index, NULL past the last, and a line about each. */
const char *tn_dataset_name_at(size_t index, const char **summary);

#endif
