/* Adapters of every kind that is read, as the real PEFT wrote them, against the logits that it computes with them
 * (tests/data/adapters, made by tools/hf/adapter_golden.py with PEFT 0.15.2 and 0.21.2). */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "model/lora.h"
#include "unit/model/models.h"

#define ADAPTERS TENEBRA_TEST_DATA "/adapters/"
#define GOLDEN TENEBRA_TEST_DATA "/golden/qwen2vl_"

/* Relative to the largest logit: both sides compute in float32 and add in other orders (docs/golden.md). */
static const double BOUND = 1e-5;

enum { LOGITS_MAX = 512, IDS_MAX = 64 };

typedef struct sample {
    tn_store *store;
    int64_t ids[IDS_MAX], grid[3];
    size_t count;
    const tn_stored *pixels;
} sample;

static sample open_sample(const char *golden)
{
    char path[1024];
    snprintf(path, sizeof path, GOLDEN "%s/case.safetensors", golden);
    sample s = { 0 };
    assert_int_equal(tn_store_open(path, &s.store, NULL), TENEBRA_OK);
    s.count = tn_store_find(s.store, "plain.ids")->elements;
    assert_true(s.count <= IDS_MAX);
    s.pixels = tn_store_find(s.store, "pixel_values");
    assert_int_equal(tn_store_read_i64(s.store, "plain.ids", s.ids, s.count, NULL), TENEBRA_OK);
    assert_int_equal(tn_store_read_i64(s.store, "image_grid_thw", s.grid, 3, NULL), TENEBRA_OK);
    return s;
}

/* The logits of the last row. */
static void run(const tn_model *model, const sample *s, tn_real *logits)
{
    const tn_grid grid = { (size_t)s->grid[0], (size_t)s->grid[1], (size_t)s->grid[2] };
    tn_session *session = open_session(model, 128, 1);
    tn_real *pixels = malloc(s->pixels->bytes);
    size_t merge = patch_config(model)->merge_size;
    tn_image_rows picture = { grid.t * grid.h * grid.w / merge / merge, grid.t, grid.h / merge, grid.w / merge, .embeds = { 0 } };
    const tn_image_rows *pictures[] = { &picture };
    assert_non_null(pixels);
    memcpy(pixels, s->pixels->data, s->pixels->bytes);
    assert_int_equal(try_encode(session, pixels, &grid, 1, &picture.embeds, NULL), TENEBRA_OK);
    int32_t ids[IDS_MAX];
    tn_row slots[IDS_MAX];
    for (size_t i = 0; i < s->count; i++)
        ids[i] = (int32_t)s->ids[i];
    assert_int_equal(tn_rows_of_ids(&model->config, ids, s->count, pictures, 1, slots, NULL), TENEBRA_OK);
    model->backbone->positions(slots, s->count, 0);
    assert_int_equal(tn_session_append(session, slots, s->count, NULL, NULL, NULL), TENEBRA_OK);
    assert_int_equal(tn_session_logits(session, NULL), TENEBRA_OK);
    memcpy(logits, session->logits.data, session->logits.cols * sizeof *logits);
    free(pixels);
    tn_session_close(session);
}

static double distance(const tn_real *ours, const tn_real *theirs, size_t count)
{
    double largest = 0;
    for (size_t i = 0; i < count; i++)
        largest = fmax(largest, fabs((double)theirs[i]));
    return largest_distance(ours, theirs, count) / largest;
}

/* A mistake that each kind must show: a factor on what the adapter has most of. */
static void spoil(tn_adapter *adapter)
{
    for (size_t i = 0; i < adapter->module_count; i++)
        adapter->modules[i].scale *= 1.001;
    tn_adapter_refresh(adapter);
}

static void check_kind(const char *golden, const char *name)
{
    char path[1024];
    tenebra_error error = { 0 };
    tn_real theirs[LOGITS_MAX], ours[LOGITS_MAX];
    snprintf(path, sizeof path, GOLDEN "%s/model", golden);
    tn_model *model = open_model(path, "reference");
    sample s = open_sample(golden);
    size_t vocabulary = tn_model_vocabulary(model);
    snprintf(path, sizeof path, ADAPTERS "%s/expected.safetensors", name);
    tn_store *expected;
    assert_int_equal(tn_store_open(path, &expected, NULL), TENEBRA_OK);
    assert_true(vocabulary <= LOGITS_MAX);
    assert_int_equal(tn_store_read_f32(expected, "logits", theirs, vocabulary, NULL), TENEBRA_OK);

    run(model, &s, ours);
    assert_false(distance(ours, theirs, vocabulary) < 0.1); /* only the base model */
    snprintf(path, sizeof path, ADAPTERS "%s", name);
    tn_adapter *adapter;
    if (tn_adapter_open(model, path, 1, &adapter, &error) != TENEBRA_OK)
        fail_msg("%s: %s: %s", name, error.where, error.sentence);
    tn_adapter_attach(adapter);
    run(model, &s, ours);
    double error_of_ours = distance(ours, theirs, vocabulary);
    if (!(error_of_ours <= BOUND))
        print_error("%s: %g\n", name, error_of_ours);
    assert_true(error_of_ours <= BOUND);
    spoil(adapter);
    run(model, &s, ours);
    assert_false(distance(ours, theirs, vocabulary) <= BOUND);
    tn_adapter_close(adapter);
    tn_store_close(expected);
    tn_store_close(s.store);
    tn_model_close(model);
}

static void magnitudes(void **state)
{
    (void)state;
    check_kind("untied", "dora");
    check_kind("untied", "dora-old");
}

static void patterns(void **state)
{
    (void)state;
    check_kind("untied", "patterns");
    check_kind("untied", "patterns-old");
}

/* Rows of the embedding, which a tied head shares; rows of both. */
static void tokens(void **state)
{
    (void)state;
    check_kind("tied", "tokens");
    check_kind("tied", "tokens-old");
    check_kind("untied", "tokens-both");
}

/* modules_to_save: a head, norms, a module that contains modules; a copy of a tied embedding, by itself and with its head. */
static void whole_modules(void **state)
{
    (void)state;
    check_kind("untied", "saved");
    check_kind("tied", "saved-tied");
    check_kind("tied", "saved-both");
}

/* The weight below an adapter of the head, which PEFT saves. */
static void head(void **state)
{
    (void)state;
    check_kind("tied", "head");
    check_kind("tied", "head-old");
}

static void settings(void **state)
{
    (void)state;
    check_kind("untied", "layers");
    check_kind("untied", "orthogonal");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(magnitudes),    cmocka_unit_test(patterns), cmocka_unit_test(tokens),
        cmocka_unit_test(whole_modules), cmocka_unit_test(head),     cmocka_unit_test(settings),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
