/* The training forward and backward of a batch of lessons.
 *
 *     tn_teacher *teacher = tn_teacher_open(model, &options, &error);
 *     tn_teacher_prepare(teacher, &source, &lesson, &error);              any number of lessons
 *     tn_teacher_teach(teacher, lessons, count, 1.0 / labels, &result, &error);
 *     ... the gradients stand in the parameters (model/parameters.h); the optimizer's turn ...
 *
 * One forward and one backward per lesson, however many latent steps: the spans of inference, recorded. All
 * lessons of a batch run together, packed row behind row without padding; attention, the cache and the choice of
 * image embeddings stay inside each lesson, so the result is that of each lesson alone.
 *
 * The loss is scale times the SUM of the cross entropies of all labelled tokens. For the mean over the tokens of
 * several micro-batches, add up lesson.label_count first and pass 1 / that sum to each call. */
#ifndef TN_REASON_TEACH_H
#define TN_REASON_TEACH_H

#include "reason/lesson.h"

/* Told what each latent step picked, e.g. to compare with a reference. `lesson` counts in the batch. */
typedef void tn_picks_fn(void *user, size_t lesson, size_t step, const size_t *picks, size_t count);

typedef struct tn_teacher_options {
    const char *method;             /* NULL: "direct", as in a request */
    const tenebra_setting *settings;
    size_t setting_count;
    const char *positions;          /* "sequential", "mrope"; NULL: the method's */
    size_t threads;                 /* 0: all processors */
    bool through_hidden; /* gradients flow through the latent text into the pass that made it; the reference detaches */
    bool through_picks;  /* and through picked image embeddings into the tower */
    bool checkpoint;     /* keep only the input of each decoder layer and run the layer again in the backward */
    uint64_t seed;       /* dropout, random picks */
    tenebra_image_rule image;
    bool ignore_orientation;
    tn_picks_fn *on_picks;
    void *user;
} tn_teacher_options;

typedef struct tn_teach_result {
    double loss;        /* sum of the cross entropies, not scaled         */
    size_t labels;      /* over so many tokens                            */
    double auxiliary;   /* the method's own loss, mean over the training examples; NaN: it has none */
    size_t correct;     /* of them the head's first choice                */
    size_t rows;        /* rows that ran through the decoder              */
    size_t prepared;    /* rows of input that ran through the tower       */
    size_t latent_steps;
    size_t peak_bytes;  /* working memory in use at most                  */
} tn_teach_result;

typedef struct tn_teacher tn_teacher;

/* The model must outlive the teacher. Errors: ARGUMENT (method, settings; a latent text that training does not
 * know), MEMORY. */
tn_teacher *tn_teacher_open(const tn_model *model, const tn_teacher_options *options, tenebra_error *error);
void tn_teacher_close(tn_teacher *teacher); /* NULL is allowed */

/* The threads, for the optimizer; NULL: one. The flag (may be NULL) stops a teach early: CANCELLED. */
tn_pool *tn_teacher_pool(tn_teacher *teacher);
void tn_teacher_watch_cancel(tn_teacher *teacher, const atomic_bool *cancel);

/* The seed of dropout and random picks, e.g. of (seed, number of the update): then a resumed run draws what an uninterrupted one
 * draws. What an example draws depends on this seed and its number only (tn_lesson.number), not on the batch. */
void tn_teacher_seed(tn_teacher *teacher, uint64_t seed);

/* Reads the pictures, renders the conversation and lets the method arrange the lesson. On failure *lesson is empty.
 * Errors: those of pictures and tokenizer, LIMIT (it does not fit source->limit even without steps). Free with
 * tn_lesson_free. Threads: one at a time a teacher. */
tenebra_code tn_teacher_prepare(tn_teacher *teacher, const tn_lesson_source *source, tn_lesson *lesson,
                                tenebra_error *error);

/* Forward and backward; gradients are added to. Errors: LIMIT, MEMORY, MISMATCH (ids, pictures), CANCELLED; the
 * gradients are then not to be used. */
tenebra_code tn_teacher_teach(tn_teacher *teacher, const tn_lesson *const *lessons, size_t count, double scale,
                              tn_teach_result *result, tenebra_error *error);

/* The forward alone, without dropout: the loss of held-out lessons. */
tenebra_code tn_teacher_measure(tn_teacher *teacher, const tn_lesson *const *lessons, size_t count,
                                tn_teach_result *result, tenebra_error *error);

/* Working memory [bytes] that a batch of these lessons takes in a recorded forward, estimated from the shapes. */
size_t tn_teacher_cost(const tn_teacher *teacher, const tn_lesson *const *lessons, size_t count);

#endif
