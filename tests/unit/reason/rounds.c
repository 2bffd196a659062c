/* Many answers at once: each has the same bits as by itself, whatever else runs, and an error ends only its own answer. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "model/lora.h"
#include "reason/latent_step.h"
#include "reason/modules.h"
#include "reason/rounds.h"
#include "unit/reason/tiny.h"

enum { QUESTIONS = 20, LONG_WORDS = 40 };

/* Questions of many kinds: with no to two images, short ones and ones with hundreds of rows, with recomputation, the mean of
 * the prompt, noise, sampling, watched layers, and a turn for the answer. */
typedef struct questions {
    question q[QUESTIONS];
    size_t count;
    char words[LONG_WORDS * 32];
    size_t layers; /* in events */
    bool stop;     /* the next of them ends the answer */
} questions;

static bool on_event(void *user, const tenebra_event *event)
{
    questions *all = user;
    all->layers += event->kind == TENEBRA_EVENT_WORK;
    return event->kind != TENEBRA_EVENT_WORK || !all->stop;
}

static question *add(questions *all, const char *method, const char *picture, const char *second, const char *text)
{
    question *q = &all->q[all->count++];
    assert_true(all->count <= QUESTIONS);
    ask_about(q, method, picture, second, text);
    q->request.no_reuse = true;
    return q;
}

static question *add_latent(questions *all, const char *text)
{
    question *q = add(all, "ivt-lr", PICTURE, NULL, "What is small and green?");
    ask_set(q, "n-latent", "3");
    ask_set(q, "k-select", "4");
    ask_set(q, "latent-text", text);
    return q;
}

static questions *make_questions(void)
{
    questions *all = calloc(1, sizeof *all);
    assert_non_null(all);
    for (size_t i = 0; i < LONG_WORDS; i++)
        strcat(all->words, "Which of them is small? ");
    for (size_t m = 0; tn_methods[m] != NULL; m++)
        add(all, tn_methods[m]->name, PICTURE, NULL, "Look at the picture.")->request.max_tokens = 3 + m;
    add(all, tn_method_default(), NULL, NULL, all->words);
    add(all, tn_method_default(), OTHER_PICTURE, PICTURE, all->words);
    add_latent(all, "mean");
    add_latent(all, "noise");
    add_latent(all, "keep")->request.recompute = true;
    ask_set(add_latent(all, "keep"), "look-size", "224x224");
    add_latent(all, "keep")->request.answer_turn = "Say only the word.";
    question *q = add(all, tn_method_default(), PICTURE, NULL, "Which one?");
    q->request.sampling = (tenebra_sampling){ .temperature = 1, .seed = 3 };
    q->request.work = true;
    q->request.on_event = on_event;
    q->request.user = all;
    return all;
}

/* What is compared of an answer, to the bit. */
typedef struct answer {
    tenebra_code code;
    tenebra_error error;
    size_t positions, injected, passes, prompt, step_count;
    int32_t tokens[256];
    size_t token_count;
    char text[4096];
    double norms[64];
    tenebra_pick picks[64];
    size_t pick_count;
} answer;

static void keep_answer(answer *kept, tenebra_code code, const tenebra_error *error, const tenebra_trace *trace)
{
    memset(kept, 0, sizeof *kept);
    kept->code = code;
    if (code != TENEBRA_OK) {
        kept->error.code = error->code;
        strcpy(kept->error.where, error->where);
        strcpy(kept->error.sentence, error->sentence);
        return;
    }
    kept->positions = trace->positions_computed;
    kept->injected = trace->injected_tokens;
    kept->passes = trace->passes;
    kept->prompt = trace->prompt_tokens;
    kept->step_count = trace->step_count;
    assert_true(trace->token_count <= 256 && trace->step_count <= 64 && strlen(trace->text) < sizeof kept->text);
    kept->token_count = trace->token_count;
    memcpy(kept->tokens, trace->tokens, trace->token_count * sizeof *trace->tokens);
    strcpy(kept->text, trace->text);
    for (size_t s = 0; s < trace->step_count; s++) {
        kept->norms[s] = trace->steps[s].hidden_norm;
        for (size_t p = 0; p < trace->steps[s].pick_count; p++)
            kept->picks[kept->pick_count++ % 64] = trace->steps[s].picks[p];
    }
}

static answer *answer_alone(const tn_model *model, const questions *all)
{
    answer *answers = calloc(QUESTIONS, sizeof *answers);
    assert_non_null(answers);
    for (size_t i = 0; i < all->count; i++) {
        tenebra_error error = { 0 };
        tn_reasoner *reasoner = calloc(1, sizeof *reasoner);
        assert_non_null(reasoner);
        tn_session *session;
        assert_int_equal(tn_session_open(model, &(tn_session_options){ .context = 2048, .threads = 1 }, &session, NULL), TENEBRA_OK);
        tenebra_code code = tn_reasoner_open(reasoner, session, &all->q[i].request, NULL, &error);
        if (code == TENEBRA_OK)
            code = tn_reasoner_answer(reasoner, &error);
        keep_answer(&answers[i], code, &error, &reasoner->trace);
        tn_reasoner_close(reasoner);
        tn_session_close(session);
        free(reasoner);
    }
    return answers;
}

/* All questions in order, `places` at once; question `cancelled` is from the beginning. *rounds_run: how many rounds that took. */
static answer *answer_together(const tn_model *model, const questions *all, size_t places, size_t cancelled, size_t *rounds_run)
{
    answer *answers = calloc(QUESTIONS, sizeof *answers);
    atomic_bool cancel = true;
    tn_rounds *rounds;
    tenebra_error error = { 0 };
    size_t next = 0;
    const tn_session_options options = { .context = 2048, .threads = 2 };
    assert_non_null(answers);
    *rounds_run = 0;
    assert_int_equal(tn_rounds_open(&rounds, model, &options, places, &error), TENEBRA_OK);
    while (next < all->count || tn_rounds_busy(rounds) > 0) {
        tn_rounds_end ended;
        for (; next < all->count && tn_rounds_has_room(rounds); next++) {
            tenebra_code code = tn_rounds_begin(rounds, &all->q[next].request, NULL, next == cancelled ? &cancel : NULL,
                                                &answers[next], &error);
            if (code != TENEBRA_OK)
                keep_answer(&answers[next], code, &error, NULL);
        }
        tn_rounds_run(rounds);
        ++*rounds_run;
        while (tn_rounds_take(rounds, &ended))
            keep_answer(ended.user, ended.code, &ended.error, ended.trace);
    }
    tn_rounds_close(rounds);
    return answers;
}

static bool same(const answer *a, const answer *b)
{
    return memcmp(a, b, sizeof *a) == 0;
}

static void answers_are_those_alone(void **state)
{
    const tiny *here = *state;
    questions *all = make_questions();
    answer *alone = answer_alone(here->model, all);
    size_t most = 0, least = SIZE_MAX;
    for (size_t i = 0; i < all->count; i++)
        if (alone[i].code != TENEBRA_OK)
            fail_msg("%s: %s", alone[i].error.where, alone[i].error.sentence);
    static const size_t places[] = { 1, 3, 16, TN_ROUNDS_PLACES_MAX };
    for (size_t k = 0; k < 4; k++) {
        size_t count;
        all->layers = 0;
        answer *together = answer_together(here->model, all, places[k], SIZE_MAX, &count);
        for (size_t i = 0; i < all->count; i++)
            assert_true(same(&alone[i], &together[i]));
        assert_true(all->layers >= here->model->config.decoder.num_hidden_layers); /* layers of the tower, if the image was not
                                                                                    * cached */
        most = count > most ? count : most;
        least = count < least ? count : least;
        free(together);
    }
    assert_true(most > 4 * least); /* they do share rounds */
    assert_false(same(&alone[0], &alone[1]));
    free(alone);
    free(all);
}

/* A missing image, an option's value, a context that is too small, NaN in the engine, cancelled by flag and by an event. */
static void errors_end_their_own_answer(void **state)
{
    const tiny *here = *state;
    questions *all = make_questions();
    size_t cancelled = 3, stopped = all->count - 1, count;
    float latents[3 * 256];
    for (size_t i = 0; i < 3 * 256; i++)
        latents[i] = NAN;
    const tenebra_input input = { TN_INPUT_LATENTS, latents, 3, here->model->config.decoder.hidden_size };
    answer *good = answer_alone(here->model, all);
    all->q[1].parts[0].text = "no such picture.png";
    all->q[2].request.max_tokens = 9999;
    char *book = calloc(60, sizeof all->words);
    assert_non_null(book);
    for (size_t i = 0; i < 60; i++)
        strcat(book, all->words);
    all->q[2].parts[1].text = book;
    question *nan = &all->q[all->count - 2];
    nan->request.answer_turn = NULL;
    nan->settings[2].value = "given";
    nan->request.inputs = &input;
    nan->request.input_count = 1;
    ask_set(&all->q[0], "nothing", "1");
    all->stop = true;
    answer *alone = answer_alone(here->model, all);
    assert_int_equal(alone[0].code, TENEBRA_ERROR_ARGUMENT);
    assert_int_equal(alone[1].code, TENEBRA_ERROR_IO);
    assert_int_equal(alone[2].code, TENEBRA_ERROR_LIMIT);
    assert_int_equal(alone[all->count - 2].code, TENEBRA_ERROR_FORMAT);
    assert_int_equal(alone[stopped].code, TENEBRA_ERROR_CANCELLED);
    for (size_t places = 3; places <= 16; places += 13) {
        answer *together = answer_together(here->model, all, places, cancelled, &count);
        assert_int_equal(together[cancelled].code, TENEBRA_ERROR_CANCELLED);
        for (size_t i = 0; i < all->count; i++)
            assert_true(i == cancelled || same(&alone[i], &together[i]));
        assert_true(same(&good[4], &together[4]) && !same(&good[1], &together[1]));
        free(together);
    }
    free(book);
    free(good);
    free(alone);
    free(all);
}

/* Adapters of the second pass apply to answers in that pass only, although others run in the first at the same time. */
static void passes_have_their_own_weights(void **state)
{
    const tiny *here = *state;
    tn_model *model = tiny_open_model(here, "reference");
    questions *all = make_questions();
    answer *without = answer_alone(model, all);
    tn_rng rng = tn_rng_seed(5);
    const tn_lora_options every = { .rank = 2, .alpha = 64, .targets = { .pattern = "all-linear" } };
    tn_adapter *adapter;
    assert_int_equal(tn_adapter_make(model, &every, &rng, &adapter, NULL), TENEBRA_OK);
    for (size_t m = 0; m < adapter->module_count; m++) /* the second factor begins with zeros */
        for (size_t i = 0; i < adapter->modules[m].outputs * 2; i++)
            adapter->modules[m].b[i] = (tn_real)(tn_rng_uniform(&rng) - 0.5);
    adapter->pass = 2;
    tn_adapter_refresh(adapter);
    tn_adapter_attach(adapter);
    free(model->adapters); /* the list without any */
    model->adapters = calloc(1, sizeof *model->adapters);
    assert_non_null(model->adapters);
    model->adapters[0] = adapter;
    model->adapter_count = 1;
    answer *alone = answer_alone(model, all);
    size_t changed = 0, count;
    answer *together = answer_together(model, all, 16, SIZE_MAX, &count);
    for (size_t i = 0; i < all->count; i++) {
        assert_true(same(&alone[i], &together[i]));
        assert_true(alone[i].code != TENEBRA_OK || alone[i].passes > 1 || same(&alone[i], &without[i]));
        changed += !same(&alone[i], &without[i]);
    }
    assert_true(changed > 0);
    free(without);
    free(alone);
    free(together);
    free(all);
    tn_model_close(model);
}

static void places_are_counted(void **state)
{
    const tiny *here = *state;
    tn_rounds *rounds;
    tenebra_error error = { 0 };
    tn_rounds_end ended;
    question q;
    const tn_session_options options = { .context = 256, .threads = 1 };
    for (size_t wrong = 0; wrong <= TN_ROUNDS_PLACES_MAX + 1; wrong += TN_ROUNDS_PLACES_MAX + 1) {
        assert_int_equal(tn_rounds_open(&rounds, here->model, &options, wrong, &error), TENEBRA_ERROR_ARGUMENT);
        assert_null(rounds);
    }
    ask_about(&q, tn_method_default(), NULL, NULL, "Which one?");
    assert_int_equal(tn_rounds_open(&rounds, here->model, &options, 2, &error), TENEBRA_OK);
    assert_false(tn_rounds_take(rounds, &ended));
    for (int i = 0; i < 2; i++) {
        assert_true(tn_rounds_has_room(rounds));
        assert_int_equal(tn_rounds_begin(rounds, &q.request, NULL, NULL, &q, &error), TENEBRA_OK);
    }
    assert_false(tn_rounds_has_room(rounds));
    assert_int_equal(tn_rounds_begin(rounds, &q.request, NULL, NULL, &q, &error), TENEBRA_ERROR_LIMIT);
    while (!tn_rounds_take(rounds, &ended))
        tn_rounds_run(rounds);
    assert_true(ended.user == &q && ended.trace->token_count > 0);
    assert_true(tn_rounds_has_room(rounds));
    assert_int_equal(tn_rounds_busy(rounds), 1);
    tn_rounds_close(rounds); /* with one in progress */
}

/* With a module for the method that computes with one. */
static int set_up(void **state)
{
    static const tenebra_setting width = { "lq-width", "32" };
    tenebra_error error = { 0 };
    int result = tiny_set_up(state);
    tiny *here = *state;
    for (size_t m = 0; tn_methods[m] != NULL; m++)
        if (tn_modules_train(here->model, tn_methods[m], &width, 1, 3, &error) != TENEBRA_OK)
            fail_msg("%s: %s", error.where, error.sentence);
    return result;
}

int main(void)
{
    const struct CMUnitTest tests[] = { cmocka_unit_test(answers_are_those_alone), cmocka_unit_test(errors_end_their_own_answer),
                                        cmocka_unit_test(passes_have_their_own_weights), cmocka_unit_test(places_are_counted) };
    return cmocka_run_group_tests(tests, set_up, tiny_tear_down);
}
