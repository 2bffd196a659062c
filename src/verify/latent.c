/* Verifies the latent loop: the product's own loop (reason/), observed from outside, against a golden case. */
#include "verify/parts.h"

#include "base/checked.h"
#include "reason/reasoner.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { STEPS_MAX = TN_VERIFY_STEPS, PICKS_MAX = 1024, CALLS_MAX = 256, TOKENS_MAX = 512 };

/* The results of one run of the loop, with the names of a golden case. */
typedef struct loop_run {
    tn_verify *verify;
    tn_reasoner reasoner;
    size_t steps, picks, prompt, pick_rows;
    int64_t selected[STEPS_MAX * PICKS_MAX];
    tn_real *scores;  /* [steps, J] */
    tn_real *hidden;  /* [steps, C] */
    tn_real *first;   /* [V] logits of the first answer token */
    int64_t calls[CALLS_MAX];
    size_t call_count;
    bool *used;       /* [J] */
} loop_run;

/* NULL is allowed. */
static void close_run(loop_run *run)
{
    if (run == NULL)
        return;
    tn_reasoner_close(&run->reasoner);
    free(run->scores);
    free(run->hidden);
    free(run->first);
    free(run->used);
    free(run);
}

/* The rows of each call of the engine, which divides a long span into rounds. */
static void count_call(void *user, const char *name, size_t index, const tn_tensor *value)
{
    loop_run *run = user;
    const tn_sequence *sequence = &run->verify->session->sequence;
    if (strcmp(name, "decoder.layer") != 0 || index != 0)
        return;
    if (run->call_count > 0 && sequence->length > sequence->reusable) /* the round continues a call */
        run->calls[run->call_count - 1] += (int64_t)value->rows;
    else if (run->call_count < CALLS_MAX)
        run->calls[run->call_count++] = (int64_t)value->rows;
}

/* Before step `step` (or the answer): the scores used for its choice and the hidden state that it feeds. */
static void keep_state(loop_run *run, size_t step)
{
    tn_session *session = run->verify->session;
    const tn_tensor hidden = tn_session_hidden(session);
    size_t cols = hidden.cols, count = run->reasoner.conversation.candidate_count;
    if (step < run->steps) {
        tn_op_read(&session->engine->ops, hidden, run->hidden + step * cols);
        for (size_t j = 0; j < count; j++)
            run->scores[step * count + j] = run->used[j] ? -(tn_real)INFINITY : run->reasoner.span.scores[j];
    } else if (tn_session_logits(run->verify->session, &run->verify->failure) == TENEBRA_OK) {
        memcpy(run->first, session->logits.data, session->logits.cols * sizeof *run->first);
    }
}

static bool on_event(void *user, const tenebra_event *event)
{
    loop_run *run = user;
    if (event->kind == TENEBRA_EVENT_PROMPT)
        keep_state(run, 0);
    if (event->kind != TENEBRA_EVENT_STEP)
        return true;
    for (size_t i = 0; i < event->step->pick_count && i < run->picks; i++) {
        size_t index = event->step->picks[i].index;
        run->selected[event->index * run->picks + i] = (int64_t)run->reasoner.conversation.candidates[index].row;
        run->used[index] = true;
        run->pick_rows++;
    }
    keep_state(run, event->index + 1);
    return true;
}

typedef struct run_options {
    size_t steps, picks, tokens;
    const char *order;
    bool recompute;
} run_options;

/* Runs `ids` [count] (without latents) through the loop. NULL on failure. The session keeps the cache. */
static loop_run *run_loop(tn_verify *verify, const tn_verify_picture *picture, const int64_t *ids, size_t count,
                     const run_options *options)
{
    size_t cols = verify->model->config.decoder.hidden_size, rows_of_picture = picture->rows.rows;
    loop_run *run = tn_verify_take(verify, 1, sizeof *run);
    int32_t *tokens = tn_verify_take(verify, count, sizeof *tokens);
    tn_row *rows = tn_verify_take(verify, count, sizeof *rows);
    if (run != NULL) {
        *run = (loop_run){ .verify = verify, .steps = options->steps, .picks = options->picks, .prompt = count };
        run->scores = tn_verify_take(verify, options->steps * rows_of_picture, sizeof *run->scores);
        run->hidden = tn_verify_take(verify, options->steps * cols, sizeof *run->hidden);
        run->first = tn_verify_take(verify, verify->session->logits.cols, sizeof *run->first);
        run->used = tn_verify_take(verify, rows_of_picture, sizeof *run->used);
    }
    if (run == NULL || tokens == NULL || rows == NULL || run->scores == NULL || run->hidden == NULL || run->first == NULL ||
        run->used == NULL || options->steps >= STEPS_MAX || options->picks > PICKS_MAX) {
        close_run(run);
        free(tokens);
        free(rows);
        return NULL;
    }
    for (size_t i = 0; i < count; i++)
        tokens[i] = (int32_t)ids[i];
    char steps[24], picks[24];
    snprintf(steps, sizeof steps, "%zu", options->steps);
    snprintf(picks, sizeof picks, "%zu", options->picks);
    const tenebra_setting settings[] = { { "n-latent", steps }, { "k-select", picks },
                                         { "pick-order", options->order }, { "exhausted", "repick" } };
    tenebra_request request = { .method = "ivt-lr", .settings = settings, .setting_count = 4,
                                .max_tokens = options->tokens, .recompute = options->recompute, .no_reuse = true,
                                .on_event = on_event, .user = run };
    tenebra_code code = tn_reasoner_open(&run->reasoner, verify->session, &request, NULL, &verify->failure);
    if (code == TENEBRA_OK) {
        run->reasoner.conversation.pictures[0] = (tn_picture){ .rows = picture->rows, .width = picture->width, .height = picture->height };
        run->reasoner.conversation.picture_count = 1;
        run->reasoner.answer.test_first_token = false;
        verify->session->engine->ops.watch = count_call;
        verify->session->engine->ops.watch_user = run;
        const tn_image_rows *pictures[] = { &run->reasoner.conversation.pictures[0].rows };
        code = tn_rows_of_ids(&verify->model->config, tokens, count, pictures, 1, rows, &verify->failure);
        if (code == TENEBRA_OK)
            code = tn_reasoner_answer_rows(&run->reasoner, rows, count, &verify->failure);
        verify->session->engine->ops.watch = NULL;
    }
    run->reasoner.request = NULL; /* ends with this function */
    free(tokens);
    free(rows);
    if (code != TENEBRA_OK) {
        close_run(run);
        return NULL;
    }
    return run;
}

/* Rows of the latent blocks, between the prompt and the answer. */
static size_t latent_rows(const loop_run *run)
{
    return run->pick_rows + run->steps;
}

/* Appends the text after the latents of a training sample, and returns the normed rows of the whole sequence [*total,
 * C]; the caller frees them. */
static tn_real *run_rest(tn_verify *verify, const loop_run *run, const int64_t *rest, size_t count, size_t *total)
{
    tn_session *session = verify->session;
    size_t start = run->prompt + latent_rows(run), cols = verify->model->config.decoder.hidden_size;
    tn_row *rows = tn_verify_take(verify, count + 1, sizeof *rows);
    tn_real *normed = tn_verify_take(verify, (start + count) * cols, sizeof *normed);
    bool ok = rows != NULL && normed != NULL && start > 0;
    if (ok) {
        tn_sequence_truncate(&session->sequence, start - 1);
        rows[0] = run->reasoner.span.rows[start - 1]; /* which predicts the first token of the text */
    }
    for (size_t i = 0; ok && i < count; i++) {
        int32_t position = (int32_t)(start + i);
        rows[i + 1] = tn_row_of_token((int32_t)rest[i]);
        rows[i + 1].position = (tn_position){ { position, position, position } };
    }
    ok = ok && tn_session_append(session, rows, count + 1, NULL, normed + (start - 1) * cols, &verify->failure) == TENEBRA_OK;
    free(rows);
    *total = start + count;
    if (ok)
        return normed;
    free(normed);
    return NULL;
}

bool tn_verify_last_logits(tn_verify *verify, const tn_verify_picture *picture, const tn_verify_example *example, tn_real *logits)
{
    run_options options = { example->latents, example->picks, 1, "cuda", false };
    loop_run *run = run_loop(verify, picture, example->ids, example->prompt, &options);
    size_t total;
    tn_session *session = verify->session;
    tn_real *normed = run ? run_rest(verify, run, example->ids + example->prompt + example->latents,
                                     example->count - example->prompt - example->latents, &total) : NULL;
    bool good = normed != NULL && tn_session_logits(session, &verify->failure) == TENEBRA_OK;
    if (good)
        memcpy(logits, session->logits.data, session->logits.cols * sizeof *logits);
    free(normed);
    close_run(run);
    return good;
}

double tn_verify_loss(tn_verify *verify, const tn_real *normed, const int64_t *labels, size_t count,
                      tn_real *label_logits, size_t *labelled)
{
    tn_session *session = verify->session;
    size_t cols = verify->model->config.decoder.hidden_size, vocabulary = session->logits.cols;
    tn_ops *ops = &session->engine->ops;
    double sum = 0;
    *labelled = 0;
    for (size_t i = 1; i < count; i++) {
        if (labels[i] < 0 || (size_t)labels[i] >= vocabulary)
            continue;
        tn_tensor row = tn_op_import(ops, 1, cols, normed + (i - 1) * cols);
        int32_t label = (int32_t)labels[i];
        tn_real *logits = label_logits + *labelled * vocabulary, loss = (tn_real)NAN;
        if (tn_engine_logits(session->engine, row, logits, &verify->failure) != TENEBRA_OK)
            return (double)NAN;
        size_t mark = tn_ops_mark(ops);
        tn_op_read(ops, tn_op_cross_entropy(ops, tn_op_import(ops, 1, vocabulary, logits), &label, 1), &loss);
        sum += (double)loss;
        tn_ops_release(ops, mark);
        ++*labelled;
    }
    return sum / (double)*labelled;
}

/* Labels of the sequence including its latent blocks; the prompt and the blocks have none. */
static int64_t *grow_labels(const loop_run *run, const int64_t *labels, size_t count, size_t total)
{
    int64_t *grown = tn_verify_take(run->verify, total + 1, sizeof *grown);
    size_t rest = count - run->prompt - run->steps;
    for (size_t i = 0; grown != NULL && i < total; i++)
        grown[i] = i + rest < total ? -100 : labels[count - (total - i)];
    return grown;
}

static void check_integers(tn_verify *verify, const char *prefix, const char *name, const int64_t *got, size_t count)
{
    char full[128];
    snprintf(full, sizeof full, "%s.%s", prefix, name);
    tn_verify_compare_integers(verify, full, got, count);
}

static void check_numbers(tn_verify *verify, const char *prefix, const char *name, const tn_real *got, size_t count)
{
    char full[128];
    snprintf(full, sizeof full, "%s.%s", prefix, name);
    tn_verify_compare(verify, full, got, count);
}

/* The results of a training sequence [count], whose prompt and latents have run. */
static void compare_training(tn_verify *verify, const char *prefix, const loop_run *run, const int64_t *ids, const int64_t *labels,
                             size_t count)
{
    tn_session *session = verify->session;
    size_t vocabulary = session->logits.cols, rest = count - run->prompt - run->steps, total = 0, labelled = 0;
    tn_real *normed = run_rest(verify, run, ids + run->prompt + run->steps, rest, &total);
    int64_t *grown = normed ? grow_labels(run, labels, count, total) : NULL;
    tn_real *logits = tn_verify_take(verify, (rest + 1) * vocabulary, sizeof *logits);
    if (grown != NULL && logits != NULL) {
        tn_real loss = (tn_real)tn_verify_loss(verify, normed, grown, total, logits, &labelled);
        check_numbers(verify, prefix, "loss", &loss, 1);
        check_numbers(verify, prefix, "label_logits", logits, labelled * vocabulary);
        if (tn_session_logits(session, &verify->failure) == TENEBRA_OK)
            check_numbers(verify, prefix, "train_last_logits", session->logits.data, vocabulary);
        for (size_t i = 0; i < rest; i++)
            run->reasoner.span.rows[total - rest + i] = tn_row_of_token((int32_t)ids[count - rest + i]);
        tn_tensor input = tn_rows_input(&session->engine->ops, &verify->model->decoder, run->reasoner.span.rows, total);
        const tn_real *values = tn_op_view(&session->engine->ops, input);
        if (values != NULL)
            check_numbers(verify, prefix, "final_inputs_embeds", values, input.rows * input.cols);
        tn_ops_release(&session->engine->ops, 0);
        /* The reference's last pass runs the last block and the text together. */
        int64_t calls[STEPS_MAX + 1];
        for (size_t i = 0; i < run->steps; i++)
            calls[i] = run->calls[i];
        calls[run->steps] = (int64_t)total;
        check_integers(verify, prefix, "train_calls", calls, run->steps + 1);
    }
    free(normed);
    free(grown);
    free(logits);
}

/* `prompt`: the ids of the run, with its latents. */
static void check_training(tn_verify *verify, const char *prefix, const loop_run *run, const int64_t *prompt)
{
    size_t count = 0, marked = 0, begin = run->prompt + run->steps;
    int64_t *ids = tn_verify_sequence(verify, run->steps, "train", &count);
    int64_t *labels = tn_verify_sequence(verify, run->steps, "labels", &marked);
    bool fits = ids != NULL && labels != NULL && marked == count && count >= begin;
    if (fits && memcmp(ids, prompt, begin * sizeof *ids) != 0) {
        tn_fail(&verify->failure, TENEBRA_ERROR_MISMATCH, prefix, "ids.N%zu.train does not begin with the prompt and the latents of "
                "ids.N%zu.gen", run->steps, run->steps);
        fits = false;
    }
    if (fits)
        compare_training(verify, prefix, run, ids, labels, count);
    free(ids);
    free(labels);
}

static void compare_tokens(tn_verify *verify, const char *name, const loop_run *run)
{
    int64_t tokens[TOKENS_MAX];
    for (size_t i = 0; i < run->reasoner.answer.token_count; i++)
        tokens[i] = run->reasoner.answer.tokens[i];
    tn_verify_compare_integers(verify, name, tokens, run->reasoner.answer.token_count);
}

static void compare_generation(tn_verify *verify, const char *prefix, const loop_run *run)
{
    char name[128];
    snprintf(name, sizeof name, "%s.generated", prefix);
    compare_tokens(verify, name, run);
    check_numbers(verify, prefix, "gen_first_logits", run->first, verify->session->logits.cols);
    check_integers(verify, prefix, "gen_calls", run->calls, run->call_count);
    check_integers(verify, prefix, "selected", run->selected, run->steps * run->picks);
    check_numbers(verify, prefix, "scores", run->scores, run->steps * run->reasoner.conversation.candidate_count);
    check_numbers(verify, prefix, "latent_hidden", run->hidden, run->steps * verify->model->config.decoder.hidden_size);
}

/* The prompt of a run of `steps` latents: *count ids, followed by the latents. */
static int64_t *prompt_of(tn_verify *verify, size_t steps, size_t *count)
{
    int64_t *ids = tn_verify_sequence(verify, steps, "gen", count);
    *count = ids != NULL ? *count - steps : 0;
    return ids;
}

static void check_case(tn_verify *verify, const tn_verify_picture *picture, size_t picks, size_t steps, const char *order)
{
    char prefix[96], name[128];
    size_t count, tokens = 12;
    snprintf(prefix, sizeof prefix, "ivtlr.K%zu.N%zu.%s", picks, steps, order);
    snprintf(name, sizeof name, "%s.generated", prefix);
    const tn_stored *generated = tn_verify_input(verify, "%s", name);
    int64_t *ids = prompt_of(verify, steps, &count);
    if (generated != NULL)
        tokens = tn_min(generated->elements, TOKENS_MAX);
    run_options options = { steps, picks, tokens, strcmp(order, "any") == 0 ? "cuda" : order, true };
    loop_run *slow = ids ? run_loop(verify, picture, ids, count, &options) : NULL;
    options.recompute = false;
    loop_run *fast = slow ? run_loop(verify, picture, ids, count, &options) : NULL;
    if (fast != NULL) {
        /* The incremental loop is verified; the calls are those of the recomputing one. */
        memcpy(fast->calls, slow->calls, sizeof fast->calls);
        fast->call_count = slow->call_count;
        compare_generation(verify, prefix, fast);
        check_training(verify, prefix, fast, ids);
        close_run(fast);
    } else {
        tn_verify_fail(verify, name);
    }
    close_run(slow);
    free(ids);
}

/* The names of a case contain its K, N and order. */
static void check_all_cases(tn_verify *verify, const tn_verify_picture *picture)
{
    static const char *const orders[] = { "any", "cuda", "desc", "asc" };
    for (size_t picks = 0; picks <= PICKS_MAX; picks++)
        for (size_t steps = 0; steps < STEPS_MAX; steps++)
            for (size_t o = 0; o < 4; o++)
                if (tn_verify_has(verify, "ivtlr.K%zu.N%zu.%s.loss", picks, steps, orders[o]) ||
                    tn_verify_has(verify, "ivtlr.K%zu.N%zu.%s.generated", picks, steps, orders[o]))
                    check_case(verify, picture, picks, steps, orders[o]);
}

/* The K of eos.* and batch2.*: the first that the case contains for N = 2. */
static size_t first_picks(tn_verify *verify)
{
    for (size_t picks = 1; picks <= PICKS_MAX; picks++)
        if (tn_verify_has(verify, "ivtlr.K%zu.N2.cuda.generated", picks))
            return picks;
    return 0;
}

static void check_end(tn_verify *verify, const tn_verify_picture *picture, const char *which)
{
    char name[64];
    size_t count, picks = first_picks(verify);
    const tn_stored *end = tn_verify_input(verify, "eos.%s.eos_id", which);
    int64_t *id = end && end->elements == 1 ? tn_verify_integers(verify, end) : NULL;
    int64_t *ids = id ? prompt_of(verify, 2, &count) : NULL;
    snprintf(name, sizeof name, "eos.%s.generated", which);
    if (ids != NULL && picks > 0) {
        tn_model_config *config = &verify->model->config;
        tn_model_config kept = *config;
        config->eos_tokens[0] = (int32_t)id[0];
        config->eos_count = 1;
        run_options options = { 2, picks, 12, "cuda", false };
        loop_run *run = run_loop(verify, picture, ids, count, &options);
        *config = kept;
        if (run != NULL) {
            compare_tokens(verify, name, run);
            close_run(run);
        } else {
            tn_verify_fail(verify, name);
        }
    }
    free(id);
    free(ids);
}

void tn_verify_latent(tn_verify *verify)
{
    tn_verify_picture picture;
    if (!tn_verify_open_picture(verify, &picture))
        return;
    check_all_cases(verify, &picture);
    check_end(verify, &picture, "first");
    check_end(verify, &picture, "later");
    tn_verify_close_picture(&picture);
}

double tn_verify_sample(tn_verify *verify, const tn_verify_picture *picture, size_t picks, const int64_t *ids, const int64_t *mask,
                        const int64_t *labels, size_t width, int64_t latent, int64_t *selected, size_t sample_stride, size_t *labelled)
{
    size_t begin = 0, end = width, prompt, steps = 0, total = 0;
    while (begin < width && mask[begin] == 0)
        begin++;
    while (end > begin && mask[end - 1] == 0)
        end--;
    for (prompt = 0; begin + prompt < end && ids[begin + prompt] != latent; prompt++)
        ;
    while (begin + prompt + steps < end && ids[begin + prompt + steps] == latent)
        steps++;
    run_options options = { steps, picks, 1, "cuda", false };
    loop_run *run = run_loop(verify, picture, ids + begin, prompt, &options);
    if (run == NULL)
        return (double)NAN;
    for (size_t step = 0; step < steps; step++)
        for (size_t i = 0; i < picks; i++)
            selected[step * sample_stride + i] = run->selected[step * picks + i] + (int64_t)begin;
    size_t rest = end - begin - prompt - steps;
    tn_real *normed = run_rest(verify, run, ids + begin + prompt + steps, rest, &total);
    int64_t *grown = normed ? grow_labels(run, labels + begin, end - begin, total) : NULL;
    tn_real *logits = tn_verify_take(verify, (rest + 1) * verify->session->logits.cols, sizeof *logits);
    double loss = (double)NAN;
    if (grown != NULL && logits != NULL)
        loss = tn_verify_loss(verify, normed, grown, total, logits, labelled);
    free(normed);
    free(grown);
    free(logits);
    close_run(run);
    return loss;
}
