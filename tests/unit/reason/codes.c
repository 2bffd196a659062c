/* Questions to a model whose images are tokens (Chameleon): an image is encoded once, whatever its file is called; rectangles of picks lie
 * in the middle part that the model sees; tokens of images are never generated; the cache and recomputing all rows agree. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "image/decode.h"
#include "image/png_write.h"
#include "unit/reason/tiny.h"

static int set_up(void **state)
{
    return tiny_set_up_as(state, "chameleon-tiny", TENEBRA_TEST_DATA "/tokenizer-chameleon", 5);
}

/* As ask_latent, in the size that the model has. */
static void ask(question *q, const char *method, const char *picture, const char *second)
{
    ask_about(q, method, picture, second, "What is small and green?");
    memset(&q->request.image, 0, sizeof q->request.image);
}

static void ask_steps(question *q, const char *picture, const char *second)
{
    ask(q, "ivt-lr", picture, second);
    ask_set(q, "n-latent", "3");
    ask_set(q, "k-select", "4");
}

/* An answer in a session that other answers used; the session stays open. */
static void answer(tn_session *session, const question *q, tn_reasoner *reasoner)
{
    tenebra_error error = { 0 };
    tenebra_code code = tn_reasoner_open_method(reasoner, session, &q->request, NULL, NULL, &error);
    if (code == TENEBRA_OK)
        code = tn_reasoner_answer(reasoner, &error);
    if (code != TENEBRA_OK)
        fail_msg("%s: %s", error.where, error.sentence);
}

/* A copy of an image, in which pixels that are cropped away (or the one in the middle) are changed. */
static void write_changed(const char *path, const char *from, bool middle)
{
    tn_image image;
    assert_int_equal(tn_image_read(&image, from, NULL, true, NULL), TENEBRA_OK);
    bool wide = image.width > image.height;
    for (size_t i = 0; !middle && i < (wide ? image.height : image.width); i++)
        memset(image.pixels + 3 * (wide ? i * image.width : i), 0, 3);
    if (middle)
        for (size_t i = 0; i < 3; i++)
            image.pixels[3 * (image.height / 2 * image.width + image.width / 2) + i] ^= 0x80;
    assert_int_equal(tn_png_write(&image, path, NULL), TENEBRA_OK);
    tn_image_free(&image);
}

static void test_encoded_once(void **state)
{
    const tiny *here = *state;
    char edge[1100], middle[1100];
    snprintf(edge, sizeof edge, "%s/edge.png", here->directory);
    snprintf(middle, sizeof middle, "%s/middle.png", here->directory);
    write_changed(edge, OTHER_PICTURE, false);
    write_changed(middle, OTHER_PICTURE, true);
    const struct {
        const char *picture, *second;
        size_t cached;
    } cases[] = {
        { OTHER_PICTURE, NULL, 0 },
        { OTHER_PICTURE, NULL, 1 },
        { edge, NULL, 1 }, /* the same middle */
        { middle, NULL, 0 },
        { PICTURE, OTHER_PICTURE, 1 },
        { OTHER_PICTURE, PICTURE, 2 },
    };
    tn_session *session = tiny_session(here->model, 1);
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        tn_reasoner reasoner;
        question q;
        ask_steps(&q, cases[i].picture, cases[i].second);
        answer(session, &q, &reasoner);
        assert_int_equal(reasoner.trace.vision_cached, cases[i].cached);
        assert_int_equal(reasoner.trace.image_tokens, cases[i].second != NULL ? 128 : 64);
        run *fresh = run_question(here->model, &q); /* nothing known before */
        assert_true(same_tokens(&reasoner.trace, fresh->trace));
        assert_true(same_steps(&reasoner.trace, fresh->trace));
        run_free(fresh);
        tn_reasoner_close(&reasoner);
    }
    tn_session_close(session);
}

/* Rectangles of all picks, from the sizes of the file. */
static void test_rectangles(void **state)
{
    const tiny *here = *state;
    question q;
    tn_image whole;
    ask_steps(&q, OTHER_PICTURE, NULL);
    run *made = run_question(here->model, &q);
    const tenebra_image *image = &made->trace->images[0];
    assert_int_equal(tn_image_read(&whole, OTHER_PICTURE, NULL, true, NULL), TENEBRA_OK);
    assert_true(whole.width > whole.height); /* cropped on the left and on the right */
    size_t across = 32 * whole.width / whole.height, left = (across - 32) / 2;
    assert_true(left > 0);
    assert_int_equal(image->rows, 8);
    assert_int_equal(image->columns, 8);
    assert_int_equal(image->x, left * whole.width / across);
    assert_int_equal(image->y, 0);
    assert_int_equal(image->x + image->width, ((left + 32) * whole.width + across - 1) / across); /* all pixels that were seen */
    assert_int_equal(image->height, whole.height);
    assert_int_equal(made->trace->step_count, 3);
    for (size_t s = 0; s < 3; s++) {
        assert_int_equal(made->trace->steps[s].pick_count, 4);
        for (size_t p = 0; p < 4; p++) {
            const tenebra_pick *pick = &made->trace->steps[s].picks[p];
            double width = (double)image->width / 8, height = (double)image->height / 8;
            assert_true(within(pick->x0, (double)image->x + (double)(pick->index % 8) * width, 1e-9));
            assert_true(within(pick->y0, (double)(pick->index / 8) * height, 1e-9));
            assert_true(within(pick->x1 - pick->x0, width, 1e-9) && within(pick->y1 - pick->y0, height, 1e-9));
            assert_true(pick->x0 >= (double)image->x && pick->x1 <= (double)whole.width - (double)image->x + 1);
        }
    }
    tn_image_free(&whole);
    run_free(made);
}

/* Each way to reason, with the cache and without it; no answer contains a token of an image. */
static void test_methods(void **state)
{
    const tiny *here = *state;
    static const char *const methods[] = { "direct", "cot", "coconut", "ivt-lr", "icot" };
    const tn_encoder_config *vision = &here->model->config.vision;
    for (size_t m = 0; m < sizeof methods / sizeof *methods; m++) {
        question q;
        ask(&q, methods[m], PICTURE, OTHER_PICTURE);
        q.request.max_tokens = 12;
        run *made = run_question(here->model, &q);
        q.request.recompute = true;
        run *again = run_question(here->model, &q);
        assert_true(same_tokens(made->trace, again->trace));
        assert_true(made->trace->token_count > 0);
        for (size_t t = 0; t < made->trace->token_count; t++)
            for (size_t c = 0; c < vision->code_count; c++)
                assert_true(made->trace->tokens[t] != vision->ids[c]);
        run_free(made);
        run_free(again);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_encoded_once),
        cmocka_unit_test(test_rectangles),
        cmocka_unit_test(test_methods),
    };
    return cmocka_run_group_tests(tests, set_up, tiny_tear_down);
}
