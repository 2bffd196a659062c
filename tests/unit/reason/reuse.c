/* What a session reuses from earlier questions: rows that prompts share, and encoded images. Answers are the same with and
 * without, to the last bit. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "base/checked.h"
#include "unit/reason/tiny.h"

static void forget_run(run *made)
{
    tn_reasoner_close(&made->reasoner);
    free(made);
}

/* Cache, hidden state, tokens, text and steps, bit by bit. */
static bool equal_runs(const run *a, const run *b)
{
    const tn_sequence *x = &a->session->sequence, *y = &b->session->sequence;
    bool same = same_tokens(a->trace, b->trace) && same_steps(a->trace, b->trace) && same_hidden(a, b) &&
                x->length == y->length;
    for (size_t l = 0; same && l < a->session->model->config.decoder.num_hidden_layers; l++) {
        size_t bytes = x->length * x->cache[l].stride * sizeof(tn_real);
        same = memcmp(x->cache[l].k, y->cache[l].k, bytes) == 0 && memcmp(x->cache[l].v, y->cache[l].v, bytes) == 0;
    }
    return same;
}

/* Asks q in the session and in a new one, and returns the numbers of reused rows and images. */
static void check(tn_session *session, const question *q, size_t *rows, size_t *pictures)
{
    run *made = run_in(session, q, NULL), *fresh = run_method(session->model, 2, q, NULL);
    assert_true(equal_runs(made, fresh));
    assert_int_equal(fresh->trace->prompt_reused, 0);
    assert_int_equal(fresh->trace->vision_cached, 0);
    assert_int_equal(made->trace->positions_computed + made->trace->prompt_reused, fresh->trace->positions_computed);
    assert_true(made->trace->prompt_reused < made->trace->prompt_tokens);
    *rows = made->trace->prompt_reused;
    *pictures = made->trace->vision_cached;
    forget_run(made);
    run_free(fresh);
}

/* The row of the first image embedding, and the one after the last. */
static void picture_rows(const tn_model *model, const question *q, size_t *first, size_t *end)
{
    run *made = run_question(model, q);
    *first = made->reasoner.conversation.candidates[0].row;
    *end = made->reasoner.conversation.candidates[made->reasoner.conversation.candidate_count - 1].row + 1;
    run_free(made);
}

/* ----------------------------------------------------------------- rows -- */

static void test_other_question_about_the_picture(void **state)
{
    const tiny *here = *state;
    for (size_t set = 0; tn_kernels_at(set) != NULL; set++) {
        if (strcmp(tn_kernels_at(set)->name, "openblas") == 0)
            continue; /* its bits depend on the number of rows */
        tn_model *model = tiny_open_model(here, tn_kernels_at(set)->name);
        tn_session *session = tiny_session(model, 2);
        question q, other;
        size_t rows, pictures, first, end;
        ask_latent(&q, PICTURE, NULL);
        ask_about(&other, "direct", PICTURE, NULL, "Where does it stand?");
        other.request.positions = "sequential"; /* as the latent loop's */
        picture_rows(model, &q, &first, &end);
        check(session, &q, &rows, &pictures);
        assert_true(rows == 0 && pictures == 0);
        check(session, &other, &rows, &pictures);
        assert_true(rows >= end && pictures == 1);
        check(session, &q, &rows, &pictures);
        assert_true(rows >= end && pictures == 1);
        tn_session_close(session);
        tn_model_close(model);
    }
}

/* All rows but the last, whose hidden state and attention the loop starts from. */
static void test_same_question(void **state)
{
    const tiny *here = *state;
    tn_session *session = tiny_session(here->model, 1);
    question q;
    size_t rows, pictures;
    ask_latent(&q, PICTURE, OTHER_PICTURE);
    check(session, &q, &rows, &pictures);
    for (size_t i = 0; i < 3; i++) {
        run *made = run_in(session, &q, NULL);
        assert_int_equal(made->trace->prompt_reused, made->trace->prompt_tokens - 1);
        assert_int_equal(made->trace->vision_cached, 2);
        assert_true(made->trace->vision_ms == 0);
        forget_run(made);
        check(session, &q, &rows, &pictures);
    }
    q.request.no_reuse = true;
    check(session, &q, &rows, &pictures);
    assert_true(rows == 0 && pictures == 2);
    q.request.no_reuse = false;
    q.request.recompute = true;
    run *made = run_in(session, &q, NULL);
    assert_int_equal(made->trace->prompt_reused, 0);
    forget_run(made);
    tn_session_close(session);
}

/* Another image of the same size, the same image at another place, other positions: only the rows before are the same. */
static void test_what_differs_is_computed(void **state)
{
    const tiny *here = *state;
    tn_session *session = tiny_session(here->model, 1);
    question q, other, swapped, elsewhere;
    size_t rows, pictures, first, end;
    ask_latent(&q, PICTURE, OTHER_PICTURE);
    ask_latent(&swapped, OTHER_PICTURE, PICTURE);
    ask_latent(&other, OTHER_PICTURE, NULL);
    ask_latent(&elsewhere, PICTURE, OTHER_PICTURE);
    elsewhere.request.positions = "mrope";
    picture_rows(here->model, &q, &first, &end);
    check(session, &q, &rows, &pictures);
    check(session, &swapped, &rows, &pictures);
    assert_true(rows == first && pictures == 2);
    check(session, &q, &rows, &pictures);
    check(session, &other, &rows, &pictures);
    assert_true(rows == first && pictures == 1);
    check(session, &q, &rows, &pictures);
    check(session, &elsewhere, &rows, &pictures);
    assert_true(rows >= first && rows < end && pictures == 2);
    tn_session_close(session);
}

/* Rows are really taken from the cache: damage is seen, and forgotten with the rows. */
static void test_rows_are_read(void **state)
{
    const tiny *here = *state;
    tn_session *session = tiny_session(here->model, 1);
    question q;
    ask_latent(&q, PICTURE, NULL);
    run *fresh = run_question(here->model, &q), *made = run_in(session, &q, NULL);
    assert_true(equal_runs(made, fresh));
    forget_run(made);
    session->sequence.cache[0].v[2 * session->sequence.cache[0].stride] += 1;
    made = run_in(session, &q, NULL);
    assert_false(equal_runs(made, fresh));
    forget_run(made);
    tn_session_forget(session, true);
    made = run_in(session, &q, NULL);
    assert_true(equal_runs(made, fresh));
    assert_int_equal(made->trace->vision_cached, 0);
    forget_run(made);
    run_free(fresh);
    tn_session_close(session);
}

/* The mean is that of all rows of the prompt, so all are run. Other interventions start from the last row. */
static void test_interventions(void **state)
{
    const tiny *here = *state;
    static const char *const texts[] = { "mean", "zero", "noise", "frozen", "drop" };
    tn_session *session = tiny_session(here->model, 1);
    question q;
    size_t rows, pictures;
    ask_latent(&q, PICTURE, NULL);
    check(session, &q, &rows, &pictures);
    for (size_t i = 0; i < sizeof texts / sizeof *texts; i++) {
        ask_latent(&q, PICTURE, NULL);
        ask_set(&q, "latent-text", texts[i]);
        check(session, &q, &rows, &pictures);
        assert_true(i == 0 ? rows == 0 : rows > 16);
    }
    ask_latent(&q, PICTURE, NULL);
    ask_set(&q, "latent-picks", "lowest"); /* by the attention of the prompt's last row */
    check(session, &q, &rows, &pictures);
    assert_true(rows > 16);
    tn_session_close(session);
}

/* A question that fails, before or while its rows run, leaves a valid session. */
static void test_after_failures(void **state)
{
    const tiny *here = *state;
    tn_session *session = tiny_session(here->model, 1);
    question q, wrong;
    size_t rows, pictures;
    ask_latent(&q, PICTURE, NULL);
    check(session, &q, &rows, &pictures);
    ask_about(&wrong, "no-method", PICTURE, NULL, "What?");
    tn_reasoner *reasoner = calloc(1, sizeof *reasoner);
    assert_int_equal(tn_reasoner_open(reasoner, session, &wrong.request, NULL, NULL), TENEBRA_ERROR_ARGUMENT);
    check(session, &q, &rows, &pictures);
    assert_true(rows > 16 && pictures == 1);

    atomic_bool cancel = true;
    ask_about(&wrong, "direct", PICTURE, NULL, "Something else entirely");
    assert_int_equal(tn_reasoner_open(reasoner, session, &wrong.request, &cancel, NULL), TENEBRA_OK);
    assert_int_equal(tn_reasoner_answer(reasoner, NULL), TENEBRA_ERROR_CANCELLED);
    tn_reasoner_close(reasoner);
    check(session, &q, &rows, &pictures);
    assert_true(rows > 0);
    free(reasoner);
    tn_session_close(session);
}

/* ------------------------------------------------------------- images -- */

static void test_without_the_image_cache(void **state)
{
    const tiny *here = *state;
    static const tn_session_options kinds[] = { { .context = TINY_CONTEXT, .threads = 1, .no_image_cache = true },
                                                { .context = TINY_CONTEXT, .threads = 1, .image_cache = 1000 } };
    question q;
    size_t rows, pictures;
    ask_latent(&q, PICTURE, NULL);
    for (size_t i = 0; i < 2; i++) {
        tn_session *session;
        assert_int_equal(tn_session_open(here->model, &kinds[i], &session, NULL), TENEBRA_OK);
        check(session, &q, &rows, &pictures);
        check(session, &q, &rows, &pictures);
        assert_true(pictures == 0 && rows > 16); /* pixels are recognised all the same */
        tn_session_close(session);
    }
}

/* The same file in another size is another image. */
static void test_size_matters(void **state)
{
    const tiny *here = *state;
    tn_session *session = tiny_session(here->model, 1);
    question q;
    size_t rows, pictures;
    ask_latent(&q, PICTURE, NULL);
    check(session, &q, &rows, &pictures);
    q.request.image.height = 56;
    check(session, &q, &rows, &pictures);
    assert_int_equal(pictures, 0);
    check(session, &q, &rows, &pictures);
    assert_int_equal(pictures, 1);
    tn_session_close(session);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_other_question_about_the_picture), cmocka_unit_test(test_same_question),
        cmocka_unit_test(test_what_differs_is_computed),         cmocka_unit_test(test_rows_are_read),
        cmocka_unit_test(test_interventions),                    cmocka_unit_test(test_after_failures),
        cmocka_unit_test(test_without_the_image_cache),          cmocka_unit_test(test_size_matters),
    };
    return cmocka_run_group_tests(tests, tiny_set_up, tiny_tear_down);
}
