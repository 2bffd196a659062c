/* The loop of a question: latent steps and tokens request no memory from the C library or the system. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "base/checked.h"
#include "unit/model/counters.h"
#include "unit/reason/tiny.h"

enum { EVENTS = 64 };

/* The counter at each event of a question. */
typedef struct seen {
    size_t count, steps, texts;
    size_t calls[EVENTS];
} seen;

static bool note(void *user, const tenebra_event *event)
{
    seen *s = user;
    assert_true(s->count < EVENTS);
    s->calls[s->count++] = atomic_load(&calls);
    s->steps += event->kind == TENEBRA_EVENT_STEP;
    s->texts += event->kind == TENEBRA_EVENT_TEXT;
    return true;
}

static void ask_twice(const tn_model *model, const char *latent_text, seen *second)
{
    question q;
    tn_session *session = tiny_session(model, 2);
    tn_reasoner *reasoner = calloc(1, sizeof *reasoner);
    ask_latent(&q, PICTURE, NULL);
    ask_set(&q, "latent-text", latent_text);
    q.request.max_tokens = 20;
    q.request.on_event = note;
    q.request.user = second;
    for (size_t i = 0; i < 2; i++) {
        memset(second, 0, sizeof *second);
        assert_int_equal(tn_reasoner_open(reasoner, session, &q.request, NULL, NULL), TENEBRA_OK);
        assert_int_equal(tn_reasoner_answer(reasoner, NULL), TENEBRA_OK);
        assert_int_equal(reasoner->trace.token_count, 20);
        tn_reasoner_close(reasoner);
    }
    free(reasoner);
    tn_session_close(session);
}

/* From the prompt's end on. The first token's text takes the one buffer that all tokens' share. */
static void test_latent_loop(void **state)
{
    const tiny *here = *state;
    static const char *const texts[] = { "keep", "noise", "mean", "drop" };
    here->model->config.eos_count = 0;
    for (size_t i = 0; i < 4; i++) {
        seen s;
        ask_twice(here->model, texts[i], &s);
        assert_true(s.steps == 3 && s.texts > 3 && s.count == 1 + s.steps + s.texts);
        assert_true(s.calls[0] > 0);
        for (size_t event = 1; event <= s.steps; event++)
            assert_int_equal(s.calls[event], s.calls[0]);
        assert_true(s.calls[s.count - 1] - s.calls[0] <= 2);
        assert_int_equal(s.calls[s.count - 1], s.calls[s.steps + 2]);
    }
}

/* Negative control: the prompt's text and image request memory, which is counted. */
static void test_counters(void **state)
{
    const tiny *here = *state;
    question q;
    ask_latent(&q, PICTURE, NULL);
    size_t before = atomic_load(&calls);
    run_free(run_question(here->model, &q));
    assert_true(atomic_load(&calls) > before + 10);
}

int main(void)
{
    const struct CMUnitTest tests[] = { cmocka_unit_test(test_latent_loop), cmocka_unit_test(test_counters) };
    return cmocka_run_group_tests(tests, tiny_set_up, tiny_tear_down);
}
