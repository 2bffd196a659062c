/* A small random model with a tokenizer, questions to it, and the results of a run. Include after cmocka.h. */
#ifndef TN_TESTS_REASON_TINY_H
#define TN_TESTS_REASON_TINY_H

#include "model/random.h"
#include "reason/parts.h"
#include "unit/store/files.h"

#define PICTURE TENEBRA_TEST_DATA "/image/rgb8.png"
#define OTHER_PICTURE TENEBRA_TEST_DATA "/image/444.jpg"

enum { TINY_SETTINGS = 16, TINY_PARTS = 8, TINY_CONTEXT = 512 };

/* ---------------------------------------------------------------- model -- */

typedef struct tiny {
    char *directory; /* contains "model" */
    char path[1024];
    tn_model *model; /* reference kernels */
} tiny;

static inline tn_model *tiny_open_model(const tiny *here, const char *kernels)
{
    tenebra_error error = { 0 };
    tn_model *model;
    if (tn_model_open(here->path, &(tn_model_options){ .kernels = kernels }, &model, &error) != TENEBRA_OK)
        fail_msg("%s: %s", error.where, error.sentence);
    return model;
}

/* Writes a random model of a shape with the vocabulary of a tokenizer directory, and opens it. */
static inline int tiny_set_up_as(void **state, const char *shape, const char *tokenizer, uint64_t seed)
{
    tiny *here = calloc(1, sizeof *here);
    assert_non_null(here);
    here->directory = make_directory();
    snprintf(here->path, sizeof here->path, "%s/model", here->directory);
    const tn_random_options options = { .shape = shape, .tokenizer = tokenizer, .seed = seed, .type = TN_F32 };
    tenebra_error error = { 0 };
    if (tn_random_model_write(here->path, &options, &error) != TENEBRA_OK)
        fail_msg("%s: %s", error.where, error.sentence);
    here->model = tiny_open_model(here, "reference");
    *state = here;
    return 0;
}

static inline int tiny_set_up(void **state)
{
    return tiny_set_up_as(state, "tiny", TENEBRA_TEST_DATA "/tokenizer-small", 7);
}

static inline int tiny_tear_down(void **state)
{
    tiny *here = *state;
    tn_model_close(here->model);
    remove_directory(strdup(here->path));
    remove_directory(here->directory);
    free(here);
    return 0;
}

/* ------------------------------------------------------------- question -- */

typedef struct question {
    tenebra_request request;
    tenebra_message message;
    tenebra_part parts[TINY_PARTS];
    tenebra_setting settings[TINY_SETTINGS];
} question;

static inline void ask_method(question *q, const char *method)
{
    q->request.method = method;
    q->request.setting_count = 0;
}

static inline void ask_set(question *q, const char *name, const char *value)
{
    assert_true(q->request.setting_count < TINY_SETTINGS);
    q->settings[q->request.setting_count++] = (tenebra_setting){ name, value };
}

/* A question of one turn: images (NULL: none), then text. Images are resized to 112 x 112, 16 embeddings. */
static inline void ask_about(question *q, const char *method, const char *picture, const char *second, const char *text)
{
    memset(q, 0, sizeof *q);
    size_t count = 0;
    if (picture != NULL)
        q->parts[count++] = (tenebra_part){ .kind = TENEBRA_PART_IMAGE_FILE, .text = picture };
    if (second != NULL)
        q->parts[count++] = (tenebra_part){ .kind = TENEBRA_PART_IMAGE_FILE, .text = second };
    q->parts[count++] = (tenebra_part){ .kind = TENEBRA_PART_TEXT, .text = text };
    q->message = (tenebra_message){ "user", q->parts, count };
    q->request = (tenebra_request){ .size = sizeof q->request, .messages = &q->message, .message_count = 1, .settings = q->settings,
                                    .max_tokens = 6, .image.width = 112, .image.height = 112 };
    ask_method(q, method);
}

/* The usual one: the latent loop with 3 steps of 4 picks. */
static inline void ask_latent(question *q, const char *picture, const char *second)
{
    ask_about(q, "ivt-lr", picture, second, "What is small and green?");
    ask_set(q, "n-latent", "3");
    ask_set(q, "k-select", "4");
}

/* ------------------------------------------------------------------ run -- */

/* An answered question with its results: the cache's rows, hidden states, images. */
typedef struct run {
    tn_session *session;
    tn_reasoner reasoner;
    const tenebra_trace *trace;
} run;

static inline tn_session *tiny_session(const tn_model *model, size_t threads)
{
    tenebra_error error = { 0 };
    tn_session *session;
    if (tn_session_open(model, &(tn_session_options){ .context = TINY_CONTEXT, .threads = threads }, &session, &error) != TENEBRA_OK)
        fail_msg("%s: %s", error.where, error.sentence);
    return session;
}

/* Asks in a session that may know something. method NULL: the one that the question names. */
static inline run *run_in(tn_session *session, const question *q, const tn_method *method)
{
    tenebra_error error = { 0 };
    run *made = calloc(1, sizeof *made);
    assert_non_null(made);
    made->session = session;
    tenebra_code code = tn_reasoner_open_method(&made->reasoner, session, &q->request, method, NULL, &error);
    if (code == TENEBRA_OK)
        code = tn_reasoner_answer(&made->reasoner, &error);
    if (code != TENEBRA_OK)
        fail_msg("%s: %s", error.where, error.sentence);
    made->trace = &made->reasoner.trace;
    return made;
}

static inline run *run_method(const tn_model *model, size_t threads, const question *q, const tn_method *method)
{
    return run_in(tiny_session(model, threads), q, method);
}

static inline run *run_question(const tn_model *model, const question *q)
{
    return run_method(model, 1, q, NULL);
}

static inline void run_free(run *made)
{
    tn_reasoner_close(&made->reasoner);
    tn_session_close(made->session);
    free(made);
}

/* Values of an input row that is not a token. */
static inline const tn_real *row_values(const tn_row *row)
{
    assert_true(row->kind != TN_ROW_TOKEN);
    const tn_row_ref ref = row->kind == TN_ROW_CELL ? (tn_row_ref){ row->picture->embeds, row->cell } : row->vector;
    return ref.source.data + ref.row * ref.source.cols;
}

/* Runs the first `count` rows of a run once more, in one span of a fresh session. */
static inline tn_session *replay(const run *made, size_t count, const tn_span_tap *tap)
{
    tenebra_error error = { 0 };
    tn_session *session = tiny_session(made->session->model, 1);
    if (tn_session_append(session, made->reasoner.span.rows, count, tap, NULL, &error) != TENEBRA_OK)
        fail_msg("%s: %s", error.where, error.sentence);
    return session;
}

static inline double norm_of_row(const tn_real *row, size_t count)
{
    double sum = 0;
    for (size_t i = 0; i < count; i++)
        sum += (double)row[i] * (double)row[i];
    return sqrt(sum);
}

/* ------------------------------------------------------------- comparing -- */

/* |a - b| <= bound; false for anything that is not a number. */
static inline bool within(double a, double b, double bound)
{
    return fabs(a - b) <= bound;
}

static inline bool rows_within(const tn_real *a, const tn_real *b, size_t count, double bound)
{
    for (size_t i = 0; i < count; i++)
        if (!within((double)a[i], (double)b[i], bound))
            return false;
    return true;
}

static inline bool same_tokens(const tenebra_trace *a, const tenebra_trace *b)
{
    return a->token_count == b->token_count &&
           memcmp(a->tokens, b->tokens, a->token_count * sizeof *a->tokens) == 0 && strcmp(a->text, b->text) == 0;
}

/* Equal to the last bit, NaN equal to NaN. */
static inline bool same_number(double a, double b)
{
    return memcmp(&a, &b, sizeof a) == 0 || (isnan(a) && isnan(b));
}

static inline bool same_steps(const tenebra_trace *a, const tenebra_trace *b)
{
    if (a->step_count != b->step_count)
        return false;
    for (size_t s = 0; s < a->step_count; s++) {
        const tenebra_step *x = &a->steps[s], *y = &b->steps[s];
        if (x->pick_count != y->pick_count || !same_number(x->hidden_norm, y->hidden_norm) ||
            !same_number(x->attention_ratio, y->attention_ratio) || !same_number(x->attention_focus, y->attention_focus))
            return false;
        for (size_t p = 0; p < x->pick_count; p++)
            if (x->picks[p].image != y->picks[p].image || x->picks[p].index != y->picks[p].index ||
                !same_number(x->picks[p].score, y->picks[p].score))
                return false;
    }
    return true;
}

static inline bool same_picks(const tenebra_step *a, const tenebra_step *b)
{
    bool same = a->pick_count == b->pick_count;
    for (size_t p = 0; same && p < a->pick_count; p++)
        same = a->picks[p].image == b->picks[p].image && a->picks[p].index == b->picks[p].index;
    return same;
}

static inline bool same_hidden(const run *a, const run *b)
{
    return memcmp(tn_session_hidden(a->session).data, tn_session_hidden(b->session).data,
                  tn_session_hidden(a->session).cols * sizeof *tn_session_hidden(a->session).data) == 0;
}

#endif
