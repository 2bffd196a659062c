/* Adapters that apply in one pass only: the pass belongs to the session, and the model is not changed. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "model/lora.h"
#include "unit/model/models.h"

#define ADAPTER TENEBRA_TEST_DATA "/golden/qwen2vl_untied/adapter"

enum { ROWS = 5 };

static tn_model *open_with(const tenebra_adapter *adapters, size_t count)
{
    tenebra_error error = { 0 };
    tn_model *model;
    if (tn_model_open(UNTIED, &(tn_model_options){ .kernels = "reference", .adapters = adapters, .adapter_count = count }, &model,
                      &error) != TENEBRA_OK)
        fail_msg("%s: %s", error.where, error.sentence);
    return model;
}

static tn_session *session_of(const tn_model *model)
{
    tn_session *session;
    assert_int_equal(tn_session_open(model, &(tn_session_options){ .context = 64, .threads = 1 }, &session, NULL), TENEBRA_OK);
    return session;
}

/* Rows that were taken up from an earlier run. */
static size_t run_rows(tn_session *session)
{
    tn_row slots[ROWS] = { 0 };
    for (size_t i = 0; i < ROWS; i++) {
        int32_t place = (int32_t)i;
        slots[i] = tn_row_of_token(place + 3);
        slots[i].position = (tn_position){ { place, place, place } };
    }
    tn_session_reset(session);
    size_t known = tn_sequence_reuse(&session->sequence, slots, ROWS - 1);
    assert_int_equal(tn_session_append(session, slots + known, ROWS - known, NULL, NULL, NULL), TENEBRA_OK);
    return known;
}

static bool same_hidden(const tn_session *a, const tn_session *b)
{
    return memcmp(tn_session_hidden(a).data, tn_session_hidden(b).data, tn_session_hidden(a).cols * sizeof *tn_session_hidden(a).data) == 0;
}

/* In its pass the model gives the bits of a model with the adapter, in every other pass those of one without, and nothing that
 * was computed with other weights is reused. Two sessions of one model can be in different passes. */
static void pass_chooses_weights(void **state)
{
    (void)state;
    const tenebra_adapter always = { .directory = ADAPTER, .strength = 1 };
    const tenebra_adapter second = { .directory = ADAPTER, .strength = 1, .pass = 2 };
    tn_model *models[] = { open_with(NULL, 0), open_with(&always, 1), open_with(&second, 1) };
    tn_session *without = session_of(models[0]), *with = session_of(models[1]), *session = session_of(models[2]),
               *other = session_of(models[2]);
    run_rows(without);
    run_rows(with);
    assert_false(same_hidden(without, with));

    assert_int_equal(run_rows(session), 0);
    assert_true(same_hidden(session, without));
    assert_false(tn_session_set_pass(session, 1)); /* no weights change */
    assert_int_equal(run_rows(session), ROWS - 1);
    assert_true(same_hidden(session, without));
    assert_false(tn_session_set_pass(session, 2)); /* not those of the tower */
    assert_int_equal(run_rows(session), 0);
    assert_true(same_hidden(session, with));
    assert_int_equal(run_rows(other), 0);
    assert_true(same_hidden(other, without));
    assert_false(tn_session_set_pass(session, 2));
    assert_int_equal(run_rows(session), ROWS - 1);
    assert_false(tn_session_set_pass(session, 3));
    assert_int_equal(run_rows(session), 0);
    assert_true(same_hidden(session, without));

    tn_session_close(without);
    tn_session_close(with);
    tn_session_close(session);
    tn_session_close(other);
    for (size_t i = 0; i < 3; i++)
        tn_model_close(models[i]);
}

/* Two adapters of different passes take turns, one of all passes stays. */
static void adapters_take_turns(void **state)
{
    (void)state;
    const tenebra_adapter turns[] = { { .directory = ADAPTER, .strength = 0.5 },
                                      { .directory = ADAPTER, .strength = 1, .pass = 1 },
                                      { .directory = ADAPTER, .strength = -2, .pass = 2 } };
    const tenebra_adapter first[] = { turns[0], { .directory = ADAPTER, .strength = 1 } };
    const tenebra_adapter second[] = { turns[0], { .directory = ADAPTER, .strength = -2 } };
    tn_model *models[] = { open_with(turns, 3), open_with(first, 2), open_with(second, 2) };
    tn_session *session = session_of(models[0]);
    for (size_t pass = 1; pass <= 2; pass++) {
        tn_session *wanted = session_of(models[pass]);
        tn_session_set_pass(session, pass);
        run_rows(session);
        run_rows(wanted);
        assert_true(same_hidden(session, wanted));
        tn_session_set_pass(session, 3 - pass);
        run_rows(session);
        assert_false(same_hidden(session, wanted));
        tn_session_close(wanted);
    }
    tn_session_close(session);
    for (size_t i = 0; i < 3; i++)
        tn_model_close(models[i]);
}

/* An adapter of the tower: embeddings must be computed again, and cached images are dropped. */
static void tower_changes_are_told(void **state)
{
    (void)state;
    tn_model *model = open_with(NULL, 0);
    tn_rng rng = tn_rng_seed(5);
    const tn_lora_options every = { .rank = 2, .alpha = 4, .targets = { .pattern = "all-linear" } };
    tn_adapter *adapter;
    assert_int_equal(tn_adapter_make(model, &every, &rng, &adapter, NULL), TENEBRA_OK);
    adapter->pass = 2;
    tn_adapter_refresh(adapter);
    tn_adapter_attach(adapter);
    tn_adapter **list = realloc(model->adapters, sizeof *list);
    assert_non_null(list);
    list[0] = adapter;
    model->adapters = list;
    model->adapter_count = 1;

    tn_session *session = session_of(model);
    tn_real values[2] = { 0 };
    tn_image_rows picture = { .rows = 1, .content = { { 1, 2, 3, 4 } }, .embeds = { 1, 2, values, NULL } };
    tn_session_remember(session, &picture);
    assert_int_equal(tn_session_recall(session, &picture, NULL), TENEBRA_OK);
    assert_non_null(picture.embeds.data);
    assert_false(tn_session_set_pass(session, 1));
    assert_int_equal(tn_session_recall(session, &picture, NULL), TENEBRA_OK);
    assert_non_null(picture.embeds.data);
    assert_true(tn_session_set_pass(session, 2));
    assert_int_equal(tn_session_recall(session, &picture, NULL), TENEBRA_OK);
    assert_null(picture.embeds.data);
    assert_true(tn_session_set_pass(session, 1));
    tn_session_close(session);
    tn_model_close(model);
}

int main(void)
{
    const struct CMUnitTest tests[] = { cmocka_unit_test(pass_chooses_weights), cmocka_unit_test(adapters_take_turns),
                                        cmocka_unit_test(tower_changes_are_told) };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
