/* include/tenebra.h: events, cancelling, using a session again, errors of every kind, threads. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "base/file.h"
#include "unit/reason/tiny.h"

#include <pthread.h>
#include <stdatomic.h>

#define GOLDEN_MODEL TENEBRA_TEST_DATA "/golden/qwen2vl_tied/model"

static tenebra_session *open_session(const tn_model *model, size_t context)
{
    tenebra_error error = { 0 };
    const tenebra_session_options options = { .size = sizeof options, .context = context, .threads = 1 };
    tenebra_session *session;
    if (tenebra_session_open(&session, model, &options, &error) != TENEBRA_OK)
        fail_msg("%s: %s", error.where, error.sentence);
    return session;
}

static const tenebra_trace *answer(tenebra_session *session, const question *q)
{
    tenebra_error error = { 0 };
    const tenebra_trace *trace = NULL;
    if (tenebra_session_ask(session, &q->request, &trace, &error) != TENEBRA_OK)
        fail_msg("%s: %s", error.where, error.sentence);
    return trace;
}

/* ----------------------------------------------------------------- events -- */

typedef struct witness {
    size_t prompts, steps, texts, stop_after; /* events; stop_after 0: never */
    char text[4096];
} witness;

static bool watch(void *user, const tenebra_event *event)
{
    witness *seen = user;
    size_t before = seen->prompts + seen->steps + seen->texts;
    switch (event->kind) {
    case TENEBRA_EVENT_PROMPT:
        assert_int_equal(before, 0);
        assert_true(event->trace->prompt_tokens > 16 && event->trace->image_tokens == 16);
        seen->prompts++;
        break;
    case TENEBRA_EVENT_STEP:
        assert_int_equal(seen->texts, 0);
        assert_int_equal(event->index, seen->steps);
        assert_int_equal(event->trace->step_count, seen->steps + 1);
        assert_int_equal(event->step->pick_count, 4);
        seen->steps++;
        break;
    case TENEBRA_EVENT_TEXT:
        assert_int_equal(event->trace->step_count, 3);
        assert_true(strlen(seen->text) + strlen(event->text) < sizeof seen->text);
        strcat(seen->text, event->text);
        seen->texts++;
        break;
    case TENEBRA_EVENT_DRAFT:
        fail_msg("a draft of an answer in one pass");
        break;
    case TENEBRA_EVENT_WORK:
        fail_msg("work was not asked for");
    }
    return before + 1 != seen->stop_after;
}

static void watched_question(question *q, witness *seen, size_t stop_after)
{
    ask_latent(q, PICTURE, NULL);
    q->request.max_tokens = 20;
    memset(seen, 0, sizeof *seen);
    seen->stop_after = stop_after;
    q->request.on_event = watch;
    q->request.user = seen;
}

static void test_events(void **state)
{
    const tiny *here = *state;
    question q;
    witness seen;
    tenebra_session *session = open_session(here->model, 0);
    watched_question(&q, &seen, 0);
    const tenebra_trace *trace = answer(session, &q);
    assert_true(seen.prompts == 1 && seen.steps == 3 && seen.texts > 3);
    assert_string_equal(seen.text, trace->text);
    assert_true(trace->text[0] != '\0');
    assert_true(trace->total_ms > 0 && trace->vision_ms > 0 && trace->prefill_ms > 0 && trace->latent_ms > 0 &&
                trace->generation_ms > 0 && trace->decode_ms > 0);
    tenebra_session_close(session);
}

/* ------------------------------------------------------------------- work -- */

typedef struct layers {
    size_t picture, prompt, prompts, stop_after;
} layers;

static bool count_layers(void *user, const tenebra_event *event)
{
    layers *seen = user;
    seen->prompts += event->kind == TENEBRA_EVENT_PROMPT;
    if (event->kind != TENEBRA_EVENT_WORK)
        return true;
    assert_int_equal(seen->prompts, 0);
    bool picture = strcmp(event->text, "image") == 0;
    size_t *count = picture ? &seen->picture : &seen->prompt;
    assert_int_equal(event->index, *count);
    assert_true(event->index < event->count);
    assert_true(picture ? seen->prompt == 0 : strcmp(event->text, "prompt") == 0);
    ++*count;
    return seen->picture + seen->prompt != seen->stop_after;
}

/* Every layer of the tower, then every layer of the decoder for the prompt, none later; and each may cancel. */
static void test_work(void **state)
{
    const tiny *here = *state;
    question q;
    layers seen = { 0 };
    tenebra_session *session = open_session(here->model, 0);
    ask_latent(&q, PICTURE, NULL);
    q.request.work = true;
    q.request.on_event = count_layers;
    q.request.user = &seen;
    answer(session, &q);
    assert_int_equal(seen.picture, tn_encoder_size(here->model->backbone->encoder, &here->model->config.vision, "depth"));
    assert_int_equal(seen.prompt, here->model->decoder.config.num_hidden_layers);
    size_t all = seen.picture + seen.prompt;
    tenebra_session_close(session);
    for (size_t at = 1; at <= all; at++) {
        tenebra_error error = { 0 };
        session = open_session(here->model, 0);
        seen = (layers){ .stop_after = at };
        assert_int_equal(tenebra_session_ask(session, &q.request, NULL, &error), TENEBRA_ERROR_CANCELLED);
        assert_int_equal(seen.picture + seen.prompt, at);
        tenebra_session_close(session);
    }
}

/* A prompt that does not fit is refused before the tower runs, because the number of rows of an image follows from its size. */
static void test_context_comes_first(void **state)
{
    const tiny *here = *state;
    question q;
    layers seen = { 0 };
    tenebra_error error = { 0 };
    char words[2 * TINY_CONTEXT + 1];
    for (size_t i = 0; i < TINY_CONTEXT; i++)
        memcpy(words + 2 * i, "a ", 3);
    tenebra_session *session = open_session(here->model, 64);
    ask_about(&q, "direct", PICTURE, NULL, words);
    q.request.work = true;
    q.request.on_event = count_layers;
    q.request.user = &seen;
    assert_int_equal(tenebra_session_ask(session, &q.request, NULL, &error), TENEBRA_ERROR_LIMIT);
    assert_error(&error, TENEBRA_ERROR_LIMIT, "context", "do not fit into");
    assert_int_equal(seen.picture, 0);
    q.parts[1].text = "a";
    answer(session, &q);
    assert_int_equal(seen.picture, tn_encoder_size(here->model->backbone->encoder, &here->model->config.vision, "depth"));
    tenebra_session_close(session);
}

/* A prompt of more rows than run at once: its layers are counted for all of them. */
static void test_work_of_a_long_prompt(void **state)
{
    const tiny *here = *state;
    question q;
    layers seen = { 0 };
    char words[4 * 700 + 1];
    for (size_t i = 0; i < 700; i++)
        memcpy(words + 4 * i, "a, \n", 5);
    tenebra_session *session = open_session(here->model, 0);
    ask_about(&q, "direct", NULL, NULL, words);
    q.request.work = true;
    q.request.on_event = count_layers;
    q.request.user = &seen;
    const tenebra_trace *trace = answer(session, &q);
    assert_true(trace->prompt_tokens > 512);
    assert_int_equal(seen.prompt, (trace->prompt_tokens + 511) / 512 * here->model->decoder.config.num_hidden_layers);
    tenebra_session_close(session);
}

/* ------------------------------------------------------------- cancelling -- */

/* Cancels at event 1, 2, ...: the prompt, each step, each piece of text. Afterwards the session answers
 * as one that was never interrupted. */
static void test_cancelling_at_every_event(void **state)
{
    const tiny *here = *state;
    question q;
    witness seen;
    tenebra_session *session = open_session(here->model, 0);
    run *wanted;
    watched_question(&q, &seen, 0);
    wanted = run_question(here->model, &q);
    size_t events = seen.prompts + seen.steps + seen.texts;
    for (size_t at = 1; at <= events; at++) {
        tenebra_error error = { 0 };
        const tenebra_trace *trace = NULL;
        watched_question(&q, &seen, at);
        assert_int_equal(tenebra_session_ask(session, &q.request, &trace, &error), TENEBRA_ERROR_CANCELLED);
        assert_error(&error, TENEBRA_ERROR_CANCELLED, "ask", "cancelled");
        assert_null(trace);
        assert_int_equal(seen.prompts + seen.steps + seen.texts, at); /* nothing comes after it */
    }
    watched_question(&q, &seen, 0);
    const tenebra_trace *trace = answer(session, &q);
    assert_true(same_tokens(trace, wanted->trace) && same_steps(trace, wanted->trace));
    run_free(wanted);
    tenebra_session_close(session);
}

/* The asking thread waits in its callback until the other one has cancelled: no time is involved. */
typedef struct meeting {
    tenebra_session *session;
    atomic_bool asking, cancelled;
} meeting;

static void *cancel_from_outside(void *argument)
{
    meeting *shared = argument;
    while (!atomic_load(&shared->asking))
        sched_yield();
    tenebra_session_cancel(shared->session);
    atomic_store(&shared->cancelled, true);
    return NULL;
}

static bool meet(void *user, const tenebra_event *event)
{
    meeting *shared = user;
    assert_int_equal(event->kind, TENEBRA_EVENT_PROMPT); /* no event is sent after the cancel */
    atomic_store(&shared->asking, true);
    while (!atomic_load(&shared->cancelled))
        sched_yield();
    return true;
}

static void test_cancelling_from_another_thread(void **state)
{
    const tiny *here = *state;
    question q, plain;
    pthread_t thread;
    meeting shared = { .session = open_session(here->model, 0) };
    ask_latent(&q, PICTURE, NULL);
    q.request.on_event = meet;
    q.request.user = &shared;
    assert_int_equal(pthread_create(&thread, NULL, cancel_from_outside, &shared), 0);
    tenebra_error error = { 0 };
    assert_int_equal(tenebra_session_ask(shared.session, &q.request, NULL, &error), TENEBRA_ERROR_CANCELLED);
    assert_int_equal(error.code, TENEBRA_ERROR_CANCELLED);
    assert_int_equal(pthread_join(thread, NULL), 0);

    tenebra_session_cancel(shared.session); /* without a running ask: no effect on the next */
    ask_latent(&plain, PICTURE, NULL);
    run *wanted = run_question(here->model, &plain);
    assert_true(same_tokens(answer(shared.session, &plain), wanted->trace));
    run_free(wanted);
    tenebra_session_close(shared.session);
}

/* ------------------------------------------------------------ using again -- */

/* Other questions in between leave no trace, with and without randomness. */
static void test_session_reuse(void **state)
{
    const tiny *here = *state;
    question usual, other;
    tenebra_session *session = open_session(here->model, 0);
    ask_latent(&usual, PICTURE, NULL);
    usual.request.sampling.temperature = 0.9;
    usual.request.sampling.seed = 3;
    run *wanted = run_question(here->model, &usual);
    for (size_t i = 0; i < 4; i++) {
        const tenebra_trace *trace = answer(session, &usual);
        assert_true(same_tokens(trace, wanted->trace) && same_steps(trace, wanted->trace));
        assert_int_equal(trace->positions_computed + trace->prompt_reused, wanted->trace->positions_computed);
        ask_about(&other, i % 2 ? "cot" : "coconut", i % 2 ? NULL : OTHER_PICTURE, NULL, "Something else");
        other.request.recompute = i == 2;
        other.request.sampling.temperature = 2;
        other.request.max_tokens = 30;
        answer(session, &other);
    }
    usual.request.sampling.seed = 4;
    usual.request.max_tokens = 20;
    run *elsewhere = run_question(here->model, &usual);
    usual.request.sampling.seed = 3;
    assert_false(same_tokens(answer(session, &usual), elsewhere->trace)); /* the seed is used */
    run_free(elsewhere);
    run_free(wanted);
    tenebra_session_close(session);
}

typedef struct worker {
    const tn_model *model;
    const char *picture;
    int32_t tokens[64];
    size_t token_count;
    bool alike; /* all rounds */
} worker;

static void *work(void *argument)
{
    worker *own = argument;
    question q;
    tenebra_session *session = open_session(own->model, 0);
    own->alike = true;
    for (size_t round = 0; round < 5; round++) {
        ask_latent(&q, own->picture, NULL);
        q.request.max_tokens = 32;
        const tenebra_trace *trace = answer(session, &q);
        size_t bytes = trace->token_count * sizeof *trace->tokens;
        if (round > 0)
            own->alike &= own->token_count == trace->token_count && memcmp(own->tokens, trace->tokens, bytes) == 0;
        own->token_count = trace->token_count;
        memcpy(own->tokens, trace->tokens, bytes);
    }
    tenebra_session_close(session);
    return NULL;
}

/* Two conversations over one model at the same time do not see each other. */
static void test_two_sessions_in_two_threads(void **state)
{
    const tiny *here = *state;
    worker workers[2] = { { .model = here->model, .picture = PICTURE },
                          { .model = here->model, .picture = OTHER_PICTURE } };
    pthread_t threads[2];
    for (size_t i = 0; i < 2; i++)
        assert_int_equal(pthread_create(&threads[i], NULL, work, &workers[i]), 0);
    for (size_t i = 0; i < 2; i++) {
        question q;
        assert_int_equal(pthread_join(threads[i], NULL), 0);
        ask_latent(&q, workers[i].picture, NULL);
        q.request.max_tokens = 32;
        run *alone = run_question(here->model, &q);
        assert_true(workers[i].alike);
        assert_int_equal(workers[i].token_count, alone->trace->token_count);
        assert_memory_equal(workers[i].tokens, alone->trace->tokens, alone->trace->token_count * sizeof(int32_t));
        run_free(alone);
    }
    assert_true(workers[0].token_count != workers[1].token_count ||
                memcmp(workers[0].tokens, workers[1].tokens, workers[0].token_count * sizeof(int32_t)) != 0);
}

/* ----------------------------------------------------------------- errors -- */

typedef struct mistake {
    tenebra_code code;
    const char *where, *words;
    void (*make)(question *q);
} mistake;

static void make_unknown_method(question *q) { ask_method(q, "telepathy"); }
static void make_unknown_setting(question *q) { ask_set(q, "depth", "3"); }
static void make_no_messages(question *q) { q->request.message_count = 0; }
static void make_missing_picture(question *q) { q->parts[0].text = TENEBRA_TEST_DATA "/image/none.png"; }
static void make_directory_picture(question *q) { q->parts[0].text = TENEBRA_TEST_DATA "/image"; }
static void make_text_picture(question *q) { q->parts[0].text = TENEBRA_TEST_DATA "/image/pictures.csv"; }
static void make_animation(question *q) { q->parts[0].text = TENEBRA_TEST_DATA "/image/animated.webp"; }
static void make_odd_size(question *q) { q->request.image.width = 113; }
static void make_half_size(question *q) { q->request.image.height = 0; }
static void make_large_picture(question *q) { q->request.image.width = q->request.image.height = 16380; }

static void make_no_room_for_rule(question *q)
{
    q->request.image.width = q->request.image.height = 0;
    q->request.image.min_tokens = 50;
    q->request.image.max_tokens = 40;
}

static void make_cut_picture(question *q)
{
    static const unsigned char start[] = { 0x89, 'P', 'N', 'G', '\r', '\n', 0x1A, '\n', 0, 0, 0, 13, 'I', 'H' };
    q->parts[0] = (tenebra_part){ .kind = TENEBRA_PART_IMAGE_BYTES, .bytes = start, .length = sizeof start };
}

static void make_long_prompt(question *q)
{
    static char text[4096];
    memset(text, '!', sizeof text - 1);
    q->parts[1].text = text;
}

static void make_too_many_steps(question *q)
{
    ask_set(q, "n-latent", "1000");
    ask_set(q, "exhausted", "repick");
}

static void make_latin_text(question *q)
{
    q->parts[1].text = "caf\xE9";
}

static const mistake mistakes[] = {
    { TENEBRA_ERROR_ARGUMENT, "message", "UTF-8", make_latin_text },
    { TENEBRA_ERROR_ARGUMENT, "method", "telepathy", make_unknown_method },
    { TENEBRA_ERROR_ARGUMENT, "depth", "no such option", make_unknown_setting },
    { TENEBRA_ERROR_ARGUMENT, "messages", "none", make_no_messages },
    { TENEBRA_ERROR_ARGUMENT, "image-size", "113x112", make_odd_size },
    { TENEBRA_ERROR_ARGUMENT, "image-size", "112x0", make_half_size },
    { TENEBRA_ERROR_ARGUMENT, "image-min-tokens", "is larger than the maximum", make_no_room_for_rule },
    { TENEBRA_ERROR_IO, "none.png", "", make_missing_picture },
    { TENEBRA_ERROR_IO, "image", "", make_directory_picture },
    { TENEBRA_ERROR_UNSUPPORTED, "pictures.csv", "", make_text_picture },
    { TENEBRA_ERROR_UNSUPPORTED, "animated.webp", "", make_animation },
    { TENEBRA_ERROR_FORMAT, "image", "", make_cut_picture },
    { TENEBRA_ERROR_LIMIT, "context", "raise -c", make_large_picture },
    { TENEBRA_ERROR_LIMIT, "context", "raise -c", make_long_prompt },
    { TENEBRA_ERROR_LIMIT, "context", "raise -c", make_too_many_steps },
};
enum { MISTAKES = sizeof mistakes / sizeof *mistakes };

/* After each of them the same session answers the usual question as ever. */
static void test_errors_leave_the_session_usable(void **state)
{
    const tiny *here = *state;
    question usual;
    ask_latent(&usual, PICTURE, NULL);
    run *wanted = run_question(here->model, &usual);
    tenebra_session *session = open_session(here->model, 300);
    for (size_t i = 0; i < MISTAKES; i++) {
        question q;
        tenebra_error error = { 0 };
        const tenebra_trace *trace = NULL;
        ask_latent(&q, PICTURE, NULL);
        mistakes[i].make(&q);
        tenebra_code code = tenebra_session_ask(session, &q.request, &trace, &error);
        if (code != mistakes[i].code)
            print_error("mistake %zu\n", i);
        assert_error(&error, mistakes[i].code, mistakes[i].where, mistakes[i].words);
        assert_int_equal(code, error.code);
        assert_null(trace);
        assert_int_equal(tenebra_session_ask(session, &q.request, NULL, NULL), code); /* no callback */
        const tenebra_trace *after = answer(session, &usual);
        assert_true(same_tokens(after, wanted->trace) && same_steps(after, wanted->trace));
    }
    tenebra_session_close(session);
    run_free(wanted);
}

static void test_model_without_tokenizer(void **state)
{
    (void)state;
    tenebra_error error = { 0 };
    tenebra_model_options options = TENEBRA_INIT(tenebra_model_options);
    tenebra_model *model;
    options.kernels = "reference";
    assert_int_equal(tenebra_model_open(&model, GOLDEN_MODEL, &options, &error), TENEBRA_OK);
    tenebra_session *session = open_session(model, 256);
    question q;
    ask_latent(&q, PICTURE, NULL);
    assert_int_equal(tenebra_session_ask(session, &q.request, NULL, &error), TENEBRA_ERROR_MISMATCH);
    assert_error(&error, TENEBRA_ERROR_MISMATCH, GOLDEN_MODEL, "tokenizer");
    tenebra_session_close(session);
    tenebra_model_close(model);
}

/* The end of the context ends the answer, it does not fail it. */
static void test_context_ends_the_answer(void **state)
{
    const tiny *here = *state;
    question q;
    ask_about(&q, "direct", PICTURE, NULL, "?");
    q.request.max_tokens = 200;
    run *free_run = run_question(here->model, &q);
    size_t prompt = free_run->trace->prompt_tokens;
    assert_true(free_run->trace->token_count > 5);
    tenebra_session *session = open_session(here->model, prompt + 3);
    const tenebra_trace *trace = answer(session, &q);
    assert_int_equal(trace->finish, TENEBRA_FINISH_LENGTH);
    assert_int_equal(trace->token_count, 4); /* the last one needs no row */
    assert_memory_equal(trace->tokens, free_run->trace->tokens, 4 * sizeof(int32_t));
    tenebra_session_close(session);
    session = open_session(here->model, prompt); /* a full context still gives one token */
    assert_int_equal(answer(session, &q)->token_count, 1);
    tenebra_session_close(session);
    run_free(free_run);
}

static bool cancel_at_once(void *user, const tenebra_event *event)
{
    (void)user;
    (void)event;
    return false;
}

/* Failed openings return no object, and the code is that of the error record. */
static void fail_to_open(const char *directory, const tenebra_model_options *options, tenebra_code code, const char *where,
                         const char *words)
{
    tenebra_error error = { 0 };
    tenebra_model *model = (tenebra_model *)&error; /* to be taken away */
    assert_int_equal(tenebra_model_open(&model, directory, options, &error), code);
    assert_null(model);
    assert_error(&error, code, where, words);
    assert_int_equal(tenebra_model_open(&model, directory, options, NULL), code);
}

static void test_opening(void **state)
{
    const tiny *here = *state;
    tenebra_error error = { 0 };
    tenebra_session *session;
    tenebra_model_options kernels = TENEBRA_INIT(tenebra_model_options), style = kernels, bare = kernels;
    tenebra_session_options large = TENEBRA_INIT(tenebra_session_options);
    kernels.kernels = "abacus";
    style.chat_template = "none";
    bare.adapter_count = 1; /* and no list of them */
    large.context = 1u << 20;
    fail_to_open(NULL, NULL, TENEBRA_ERROR_ARGUMENT, "model", "directory");
    fail_to_open("/nowhere/at/all", NULL, TENEBRA_ERROR_IO, "/nowhere/at/all", "");
    fail_to_open(here->path, &kernels, TENEBRA_ERROR_ARGUMENT, "abacus", "reference");
    fail_to_open(here->path, &style, TENEBRA_ERROR_ARGUMENT, "chat template", "none");
    fail_to_open(here->path, &bare, TENEBRA_ERROR_ARGUMENT, "adapters", "missing");
    assert_int_equal(tenebra_session_open(&session, NULL, NULL, &error), TENEBRA_ERROR_ARGUMENT);
    assert_error(&error, TENEBRA_ERROR_ARGUMENT, "session", "model");
    assert_int_equal(tenebra_session_ask(NULL, NULL, NULL, &error), TENEBRA_ERROR_ARGUMENT);
    assert_error(&error, TENEBRA_ERROR_ARGUMENT, "session", "no session");
    assert_int_equal(tenebra_session_open(&session, here->model, &large, &error), TENEBRA_ERROR_LIMIT);
    assert_null(session);
    assert_error(&error, TENEBRA_ERROR_LIMIT, "context", "positions");
    tenebra_model_close(NULL);
    tenebra_session_close(NULL);
    assert_true(tenebra_version()[0] != '\0');
}

typedef struct nested {
    tenebra_session *session;
    tenebra_request request; /* what the callback asks */
    size_t asked, refused;
} nested;

static bool ask_again(void *user, const tenebra_event *event)
{
    nested *n = user;
    (void)event;
    tenebra_error error = { 0 };
    n->asked++;
    n->refused += tenebra_session_ask(n->session, &n->request, NULL, &error) == TENEBRA_ERROR_ARGUMENT &&
                  strstr(error.sentence, "another request") != NULL;
    return true;
}

/* The answer would otherwise go on with the memory of the question that the callback asks. */
static void test_a_callback_cannot_ask(void **state)
{
    const tiny *here = *state;
    question q, other;
    ask_latent(&q, PICTURE, NULL);
    ask_latent(&other, PICTURE, NULL);
    run *usual = run_question(here->model, &q);
    nested n = { .session = open_session(here->model, 300), .request = other.request };
    q.request.on_event = ask_again;
    q.request.user = &n;
    const tenebra_trace *trace = answer(n.session, &q);
    assert_true(n.asked > 0 && n.refused == n.asked);
    assert_true(same_tokens(trace, usual->trace) && same_steps(trace, usual->trace));
    assert_true(same_tokens(answer(n.session, &other), usual->trace)); /* afterwards it can be asked */
    tenebra_session_close(n.session);
    run_free(usual);
}

/* A request as a later version has it. */
typedef struct later_request {
    tenebra_request request;
    size_t news;
} later_request;

/* Structures of earlier and later versions: what is missing is zero, what is unknown must be. */
static void test_sizes_of_structures(void **state)
{
    const tiny *here = *state;
    tenebra_error error = { 0 };
    const tenebra_trace *trace;
    question q;
    ask_latent(&q, PICTURE, NULL);
    run *usual = run_question(here->model, &q);
    tenebra_session *session = open_session(here->model, 300);
    later_request later = { .request = q.request };
    later.request.size = sizeof later;
    assert_int_equal(tenebra_session_ask(session, &later.request, &trace, &error), TENEBRA_OK);
    assert_true(same_tokens(trace, usual->trace));
    later.news = 1;
    assert_int_equal(tenebra_session_ask(session, &later.request, &trace, &error), TENEBRA_ERROR_UNSUPPORTED);
    assert_error(&error, TENEBRA_ERROR_UNSUPPORTED, "request", "does not know");
    static const size_t wrong[] = { 0, sizeof(size_t) - 1, SIZE_MAX };
    for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++) {
        q.request.size = wrong[i];
        assert_int_equal(tenebra_session_ask(session, &q.request, &trace, &error), TENEBRA_ERROR_ARGUMENT);
        assert_error(&error, TENEBRA_ERROR_ARGUMENT, "request", "TENEBRA_INIT");
    }
    assert_int_equal(tenebra_session_ask(session, NULL, &trace, &error), TENEBRA_ERROR_ARGUMENT);
    assert_error(&error, TENEBRA_ERROR_ARGUMENT, "request", "missing");
    tenebra_option option = TENEBRA_INIT(tenebra_option), sizeless = { 0 };
    assert_true(tenebra_method_option(0, 0, &option) && option.name != NULL);
    assert_false(tenebra_method_option(0, 0, &sizeless)); /* nothing could be filled */
    q.request.size = offsetof(tenebra_request, on_event); /* before the last member */
    q.request.on_event = cancel_at_once;
    assert_int_equal(tenebra_session_ask(session, &q.request, &trace, &error), TENEBRA_OK);
    assert_true(same_tokens(trace, usual->trace));
    q.request.size = sizeof q.request; /* negative control: the member is read if the structure has it */
    assert_int_equal(tenebra_session_ask(session, &q.request, &trace, &error), TENEBRA_ERROR_CANCELLED);
    tenebra_session_close(session);
    run_free(usual);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_events),
        cmocka_unit_test(test_work),
        cmocka_unit_test(test_context_comes_first),
        cmocka_unit_test(test_work_of_a_long_prompt),
        cmocka_unit_test(test_cancelling_at_every_event),
        cmocka_unit_test(test_cancelling_from_another_thread),
        cmocka_unit_test(test_session_reuse),
        cmocka_unit_test(test_two_sessions_in_two_threads),
        cmocka_unit_test(test_errors_leave_the_session_usable),
        cmocka_unit_test(test_model_without_tokenizer),
        cmocka_unit_test(test_context_ends_the_answer),
        cmocka_unit_test(test_a_callback_cannot_ask),
        cmocka_unit_test(test_opening),
        cmocka_unit_test(test_sizes_of_structures),
    };
    return cmocka_run_group_tests(tests, tiny_set_up, tiny_tear_down);
}
