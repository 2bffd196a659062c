/* ivt-lr-words: steps in words with picked embeddings after each. The contents of a training example, and that answering with
 * the words of an example runs the same rows as training: the same picks, positions and loss. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "reason/training.h"
#include "unit/reason/tiny.h"

enum { STEPS = 3, PICKS = 4, CANDIDATES = 16, LABELS_MAX = 200 };

static const char *const steps[STEPS] = { "the cat sits left", "it looks at a ball", "the ball is green" };

/* The results of training with one example. */
typedef struct taught {
    tn_train_example example;
    size_t picks[STEPS][PICKS], counts[STEPS], inserted;
    double loss;
    int32_t words[LABELS_MAX]; /* tokens after the prompt */
} taught;

static void note_picks(void *user, size_t example, size_t step, const size_t *picks, size_t count)
{
    taught *t = user;
    (void)example;
    assert_true(step < STEPS && count <= PICKS);
    memcpy(t->picks[step], picks, count * sizeof *picks);
    t->counts[step] = count;
    t->inserted++;
}

static tenebra_code prepare(tn_training *training, const question *q, const char *const around[2], size_t limit, tn_train_example *example,
                            tenebra_error *error)
{
    const tn_train_example_source source = { .messages = &q->message, .message_count = 1, .steps = steps, .step_count = STEPS,
                                      .step = { around[0], around[1] }, .answer = "Therefore, the answer is B", .limit = limit };
    return tn_training_prepare(training, &source, example, error);
}

static tn_training *open_training(const tiny *here, const question *q, taught *t)
{
    tenebra_error error = { 0 };
    const tn_training_options options = { .method = q->request.method, .settings = q->settings,
                                         .setting_count = q->request.setting_count, .positions = q->request.positions,
                                         .threads = 1, .image.width = 112, .image.height = 112, .on_picks = note_picks,
                                         .user = t };
    tn_training *training;
    if (tn_training_open(here->model, &options, &training, &error) != TENEBRA_OK)
        fail_msg("%s: %s", error.where, error.sentence);
    return training;
}

static void learn(const tiny *here, const question *q, taught *t)
{
    static const char *const around[2] = { NULL, NULL };
    tenebra_error error = { 0 };
    tn_training_result result;
    memset(t, 0, sizeof *t);
    tn_training *training = open_training(here, q, t);
    const tn_train_example *pointer = &t->example;
    if (prepare(training, q, around, 0, &t->example, &error) != TENEBRA_OK ||
        tn_training_measure(training, &pointer, 1, &result, &error) != TENEBRA_OK)
        fail_msg("%s: %s", error.where, error.sentence);
    t->loss = result.loss;
    tn_training_close(training);
}

static void ask_words(question *q, const char *picture, const char *picks)
{
    ask_about(q, "ivt-lr-words", picture, NULL, "What is small and green?");
    ask_set(q, "k-select", "4");
    ask_set(q, "latent-picks", picks);
}

/* ---------------------------------------------------------------- example -- */

/* Prompt and step, picks, step, picks, step, picks, answer. */
static void test_example(void **state)
{
    question q;
    taught t;
    ask_words(&q, PICTURE, "top");
    learn(*state, &q, &t);
    assert_int_equal(t.example.part_count, 2 * STEPS + 1);
    for (size_t part = 0; part < t.example.part_count; part++)
        assert_int_equal(t.example.parts[part].latents, part % 2);
    assert_int_equal(t.example.latent_steps, STEPS);
    assert_int_equal(t.example.rows, t.example.count + STEPS * PICKS);
    assert_int_equal(t.example.prompt + t.example.label_count, t.example.count); /* all words have a loss */
    assert_int_equal(t.inserted, STEPS);
    tn_train_example_free(&t.example);
}

/* Without an image nothing can be picked, and a chain of thought in words remains. */
static void test_without_picture(void **state)
{
    question q, cot;
    taught t, words;
    ask_words(&q, NULL, "top");
    ask_about(&cot, "cot", NULL, NULL, "What is small and green?");
    ask_set(&cot, "cue", "");
    cot.request.positions = "sequential";
    learn(*state, &q, &t);
    learn(*state, &cot, &words);
    assert_int_equal(t.inserted, 0);
    assert_true(same_number(t.loss, words.loss));
    tn_train_example_free(&t.example);
    tn_train_example_free(&words.example);
}

/* A wording whose steps are not lines has no place for picks. */
static void test_steps_are_lines(void **state)
{
    static const char *const wordings[][2] = { { " ", "" }, { NULL, "\nand\n" }, { NULL, "\nand" } };
    question q;
    taught t = { 0 };
    ask_words(&q, PICTURE, "top");
    for (size_t i = 0; i < 3; i++) {
        tenebra_error error = { 0 };
        tn_training *training = open_training(*state, &q, &t);
        assert_int_equal(prepare(training, &q, wordings[i], 0, &t.example, &error), TENEBRA_ERROR_UNSUPPORTED);
        assert_string_equal(error.where, "prompt");
        assert_null(t.example.text);
        tn_training_close(training);
    }
}

/* ------------------------------------------------------------- agreement -- */

/* The sum of the cross entropies of the labelled words, from the rows of an answer, each run of them in a fresh session. */
static double loss_of_rows(const run *made, const taught *t)
{
    double loss = 0;
    size_t id = t->example.prompt, row = t->example.prompt;
    for (; id < t->example.count; id++, row++) {
        while (row < made->session->sequence.length && made->reasoner.span.rows[row].token < 0)
            row++; /* picks */
        tn_session *session = replay(made, row, NULL);
        assert_int_equal(tn_session_logits(session, NULL), TENEBRA_OK);
        const tn_real *logits = session->logits.data;
        double most = (double)logits[0], sum = 0;
        for (size_t i = 0; i < session->logits.cols; i++)
            most = fmax(most, (double)logits[i]);
        for (size_t i = 0; i < session->logits.cols; i++)
            sum += exp((double)logits[i] - most);
        loss -= (double)logits[t->example.text[id].token] - most - log(sum);
        tn_session_close(session);
    }
    return loss;
}

/* An answer with the words of the example. */
static run *say_words(const tiny *here, question *q, taught *t)
{
    q->request.forced_count = t->example.count - t->example.prompt;
    assert_true(q->request.forced_count <= LABELS_MAX);
    for (size_t i = 0; i < q->request.forced_count; i++)
        t->words[i] = t->example.text[t->example.prompt + i].token;
    q->request.forced = t->words;
    q->request.max_tokens = q->request.forced_count;
    return run_question(here->model, q);
}

static bool same_as_taught(const run *made, const taught *t)
{
    bool same = made->trace->step_count == t->inserted;
    for (size_t s = 0; same && s < t->inserted; s++) {
        const tenebra_step *step = &made->trace->steps[s];
        same = step->pick_count == t->counts[s];
        for (size_t p = 0; same && p < step->pick_count; p++)
            same = step->picks[p].image == 0 && step->picks[p].index == t->picks[s][p];
    }
    return same;
}

/* Training runs its rows in other spans than answering, so sums of f32 have another order. */
#define LOSS_BOUND 1e-5

static void test_answering_does_what_training_did(void **state)
{
    static const char *const sources[] = { "top", "lowest", "repeat", "none" }, *const positions[] = { "sequential", "mrope" };
    for (size_t i = 0; i < 8; i++) {
        question q;
        taught t;
        ask_words(&q, PICTURE, sources[i / 2]);
        q.request.positions = positions[i % 2];
        learn(*state, &q, &t);
        run *made = say_words(*state, &q, &t);
        assert_int_equal(made->trace->finish, TENEBRA_FINISH_END_TOKEN);
        assert_int_equal(t.inserted, i / 2 == 3 ? 0 : STEPS);
        assert_true(same_as_taught(made, &t));
        assert_int_equal(made->trace->injected_tokens, t.inserted * PICKS);
        assert_int_equal(made->session->sequence.length + 1, t.example.count + t.inserted * PICKS); /* the end token does not run */
        assert_true(within(loss_of_rows(made, &t), t.loss, LOSS_BOUND * t.loss));
        run_free(made);
        /* Negative controls: other picks, other positions. */
        q.request.positions = positions[1 - i % 2];
        made = say_words(*state, &q, &t);
        assert_false(within(loss_of_rows(made, &t), t.loss, LOSS_BOUND * t.loss));
        run_free(made);
        q.request.positions = positions[i % 2];
        ask_set(&q, "latent-picks", sources[(i / 2 + 1) % 4]);
        q.settings[1] = q.settings[--q.request.setting_count];
        made = say_words(*state, &q, &t);
        assert_false(same_as_taught(made, &t) && within(loss_of_rows(made, &t), t.loss, LOSS_BOUND * t.loss));
        run_free(made);
        tn_train_example_free(&t.example);
    }
}

/* The trace: each step's picks, none twice, and numbers of figure 5. */
static void test_trace(void **state)
{
    question q;
    taught t;
    bool used[CANDIDATES] = { false };
    ask_words(&q, PICTURE, "top");
    learn(*state, &q, &t);
    run *made = say_words(*state, &q, &t);
    for (size_t s = 0; s < made->trace->step_count; s++) {
        const tenebra_step *step = &made->trace->steps[s];
        assert_true(step->attention_ratio > 0 && step->attention_focus > 0 && isnan(step->hidden_norm));
        for (size_t p = 0; p < step->pick_count; p++) {
            assert_false(used[step->picks[p].index]);
            used[step->picks[p].index] = true;
        }
    }
    assert_int_equal(made->trace->latent_steps, 0);
    run_free(made);
    tn_train_example_free(&t.example);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_example),          cmocka_unit_test(test_without_picture),
        cmocka_unit_test(test_steps_are_lines), cmocka_unit_test(test_answering_does_what_training_did),
        cmocka_unit_test(test_trace),
    };
    return cmocka_run_group_tests(tests, tiny_set_up, tiny_tear_down);
}
