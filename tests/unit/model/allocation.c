/* The token loop requests no memory from the C library or the system. The linker redirects every call of the allocating
 * functions in this program to the counters below (tests/CMakeLists.txt). */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "unit/model/counters.h"
#include "unit/model/models.h"

/* The counters see what the library asks for. */
static void test_counters(void **state)
{
    (void)state;
    size_t before = atomic_load(&calls);
    tn_model *model = open_model(TIED, NULL);
    size_t opened = atomic_load(&calls);
    tn_session *session = open_session(model, 16, 2);
    assert_true(opened > before);
    assert_true(atomic_load(&calls) > opened + 3); /* the session, its pool, three arenas */
    tn_session_close(session);
    tn_model_close(model);
}

enum { PROMPT = 80, WARM = 2, TOKENS = 50 };

/* Appends one row with a tap, as a latent step does, and reads the head. */
static void step(tn_session *session, const tn_row *slot, const size_t *keys, tn_real *mean)
{
    tn_span_tap tap = { .query = 0, .keys = keys, .count = PROMPT, .mean = mean };
    assert_int_equal(tn_session_append(session, slot, 1, &tap, NULL, NULL), TENEBRA_OK);
    assert_int_equal(tn_session_logits(session, NULL), TENEBRA_OK);
}

static void no_calls(const tn_model *model)
{
    tn_session *session = open_session(model, PROMPT + WARM + TOKENS, 2);
    tn_row *slots = random_prompt(model, PROMPT + WARM + TOKENS, NULL, false, 1);
    size_t keys[PROMPT];
    tn_real mean[PROMPT];
    for (size_t i = 0; i < PROMPT; i++)
        keys[i] = i;
    assert_int_equal(tn_session_append(session, slots, PROMPT, NULL, NULL, NULL), TENEBRA_OK);
    for (size_t i = 0; i < WARM; i++)
        step(session, &slots[PROMPT + i], keys, mean);
    size_t before = atomic_load(&calls), peak = session->engine->work.peak;
    for (size_t i = 0; i < TOKENS; i++)
        step(session, &slots[PROMPT + WARM + i], keys, mean);
    assert_int_equal(atomic_load(&calls), before);
    assert_int_equal(session->engine->work.peak, peak);
    assert_int_equal(session->kept.used, 0);
    assert_true(all_finite(session->logits.data, session->logits.cols));
    free(slots);
    tn_session_close(session);
}

static void test_token_loop(void **state)
{
    (void)state;
    for (size_t i = 0; tn_kernels_at(i) != NULL; i++) {
        tn_model *model = open_model(UNTIED, tn_kernels_at(i)->name);
        no_calls(model);
        tn_model_close(model);
    }
}

/* Cached images and reused rows of the last question need no memory either. */
static void test_known_again(void **state)
{
    (void)state;
    tn_model *model = open_model(UNTIED, "reference");
    tn_session *session = open_session(model, PROMPT, 1);
    const tn_grid grid = { 1, 4, 6 };
    tn_image_rows picture = encode(session, grid, 1);
    tn_row *slots = random_prompt(model, PROMPT, &picture, false, 1);
    picture.content = (tn_digest){ { 1, 2, 3, 4 } };
    size_t before = atomic_load(&calls);
    tn_session_remember(session, &picture);
    assert_int_equal(atomic_load(&calls), before + 1); /* the copy that is kept */
    assert_int_equal(tn_session_append(session, slots, PROMPT, NULL, NULL, NULL), TENEBRA_OK);
    before = atomic_load(&calls);
    for (size_t i = 0; i < 20; i++) {
        tn_session_reset(session);
        assert_int_equal(tn_session_recall(session, &picture, NULL), TENEBRA_OK);
        assert_non_null(picture.embeds.data);
        assert_int_equal(tn_sequence_reuse(&session->sequence, slots, PROMPT - 1), PROMPT - 1);
        assert_int_equal(tn_session_append(session, slots + PROMPT - 1, 1, NULL, NULL, NULL), TENEBRA_OK);
    }
    assert_int_equal(atomic_load(&calls), before);
    free(slots);
    tn_session_close(session);
    tn_model_close(model);
}

int main(void)
{
    const struct CMUnitTest tests[] = { cmocka_unit_test(test_counters), cmocka_unit_test(test_token_loop),
                                        cmocka_unit_test(test_known_again) };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
