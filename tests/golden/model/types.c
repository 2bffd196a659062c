/* Weights in other types than the reference had, and products of narrower numbers, against the golden set qwen2vl_untied: within
 * bounds that follow from the types. (`tenebra verify` compares in F32, within 1e-4.) */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "model/quantize.h"
#include "unit/model/models.h"

#define CASE TENEBRA_TEST_DATA "/golden/qwen2vl_untied/case.safetensors"

/* The inputs of one forward pass and its expected results. */
typedef struct golden {
    tn_store *store;
    float *patches, *embeds, *logits;
    int64_t *ids, *grid;
    size_t count, rows; /* of the prompt; of the logits, the last ones */
} golden;

static const tn_stored *stored(const golden *set, const char *name)
{
    const tn_stored *found = tn_store_find(set->store, name);
    if (found == NULL)
        fail_msg("the golden set has no %s", name);
    return found;
}

static float *floats(const golden *set, const char *name)
{
    size_t count = stored(set, name)->elements;
    float *values = malloc(count * sizeof *values);
    assert_int_equal(tn_store_read_f32(set->store, name, values, count, NULL), TENEBRA_OK);
    return values;
}

static int64_t *integers(const golden *set, const char *name)
{
    size_t count = stored(set, name)->elements;
    int64_t *values = malloc(count * sizeof *values);
    assert_int_equal(tn_store_read_i64(set->store, name, values, count, NULL), TENEBRA_OK);
    return values;
}

static int open_golden(void **state)
{
    golden *set = calloc(1, sizeof *set);
    assert_int_equal(tn_store_open(CASE, &set->store, NULL), TENEBRA_OK);
    assert_non_null(set->store);
    set->patches = floats(set, "pixel_values");
    set->embeds = floats(set, "vision.embeds");
    set->logits = floats(set, "plain.arange.logits_last24");
    set->ids = integers(set, "plain.ids");
    set->grid = integers(set, "image_grid_thw");
    set->count = stored(set, "plain.ids")->elements;
    set->rows = stored(set, "plain.arange.logits_last24")->shape[0];
    *state = set;
    return 0;
}

static int close_golden(void **state)
{
    golden *set = *state;
    tn_store_close(set->store);
    free(set->patches), free(set->embeds), free(set->logits), free(set->ids), free(set->grid), free(set);
    return 0;
}

/* The differences of image embeddings, and of the logits of the following text, from those of the reference. */
typedef struct distances {
    double embeds, logits;
} distances;

static distances forward(const golden *set, const char *directory, const char *kernels)
{
    tn_model *model = open_model(directory, kernels);
    tn_session *session = open_session(model, set->count, 1);
    const tn_grid grid = { (size_t)set->grid[0], (size_t)set->grid[1], (size_t)set->grid[2] };
    size_t cols = tn_session_hidden(session).cols, vocabulary = session->logits.cols;
    tn_row *slots = calloc(set->count, sizeof *slots);
    tn_real *normed = calloc(set->count * cols, sizeof *normed), *logits = calloc(set->rows * vocabulary, sizeof *logits);
    size_t merge = patch_config(model)->merge_size;
    tn_image_rows picture = { grid.t * grid.h * grid.w / merge / merge, grid.t, grid.h / merge, grid.w / merge, .embeds = { 0 } };
    const tn_image_rows *pictures[] = { &picture };
    int32_t *ids = calloc(set->count, sizeof *ids);
    assert_int_equal(try_encode(session, set->patches, &grid, 1, &picture.embeds, NULL), TENEBRA_OK);
    distances found = { .embeds = relative_distance(picture.embeds.data, set->embeds, picture.rows * cols) };
    for (size_t i = 0; i < set->count; i++)
        ids[i] = (int32_t)set->ids[i];
    assert_int_equal(tn_rows_of_ids(&model->config, ids, set->count, pictures, 1, slots, NULL), TENEBRA_OK);
    for (size_t i = 0; i < set->count; i++)
        slots[i].position = (tn_position){ { (int32_t)i, (int32_t)i, (int32_t)i } };
    free(ids);
    assert_int_equal(tn_session_append(session, slots, set->count, NULL, normed, NULL), TENEBRA_OK);
    const tn_tensor last = { set->rows, cols, normed + (set->count - set->rows) * cols, NULL };
    assert_int_equal(tn_engine_logits(session->engine, last, logits, NULL), TENEBRA_OK);
    found.logits = relative_distance(logits, set->logits, set->rows * vocabulary);
    free(slots), free(normed), free(logits);
    tn_session_close(session);
    tn_model_close(model);
    return found;
}

/* What rounding the inputs of a product adds, relative: to 8 bits in blocks of 32, a step of 2.1 deviations / 127, uniform
 * within it; to BF16 2^-9, uniform. Kernel sets that round nothing do better. */
static double input_error(tn_dtype type)
{
    return tn_dtype_of(type)->block > 1 ? 2.1 / 127 / sqrt(12.0) : type == TN_BF16 ? 0x1p-9 / sqrt(3.0) : 0;
}

/* Errors of the matrices on a path are independent: those of relative r1, r2, ... add up to sqrt(r1^2 + r2^2 + ...), where norms
 * keep the scale. A factor of 2 is left for attention and SwiGLU, which multiply two of them. A sum of k products in F32 is
 * off by 2^-24 sqrt(k), as a random walk of its roundings. */
typedef struct bounds {
    double embeds, logits;
} bounds;

static bounds bounds_of(const tn_quantize_report *report)
{
    double tower = 0, all = 0;
    for (size_t i = 0; i < report->count; i++) {
        const tn_quantized *tensor = &report->tensors[i];
        double weights = tensor->conversion.relative_rms, inputs = input_error(tensor->form.type);
        if (!tensor->matrix)
            continue;
        const tn_matrix matrix = tn_form_matrix(&tensor->form, NULL);
        double square = weights * weights + inputs * inputs + 0x1p-48 * (double)matrix.cols;
        all += square;
        tower += strncmp(tensor->name, "visual.", 7) == 0 ? square : 0;
    }
    return (bounds){ 2 * sqrt(tower), 2 * sqrt(all) };
}

/* The golden model, or a changed one, with weights of a type. */
static char *converted(const char *source, tn_dtype type, bounds *most)
{
    const tn_quantize_options options = { .recipe = tn_recipe_of(type, TN_PANELS) };
    tn_quantize_report report;
    char *directory = make_directory();
    assert_int_equal(tn_quantize_weights(source, directory, &options, &report, NULL), TENEBRA_OK);
    write_config(source, directory, "{}");
    *most = bounds_of(&report);
    tn_quantize_report_free(&report);
    return directory;
}

static void test_types_stay_within_their_bounds(void **state)
{
    static const tn_dtype types[] = { TN_F32, TN_F16, TN_BF16, TN_Q8_0, TN_Q4_0, TN_IQ4_NL };
    for (size_t t = 0; t < sizeof types / sizeof *types; t++) {
        bounds most;
        char *directory = converted(UNTIED, types[t], &most);
        for (size_t i = 0; tn_kernels_at(i) != NULL; i++) {
            const char *kernels = tn_kernels_at(i)->name;
            distances found = forward(*state, directory, kernels);
            print_message("%-7s %-11s embeddings %.2e (at most %.2e)  logits %.2e (at most %.2e)\n", tn_dtype_of(types[t])->name,
                          kernels, found.embeds, most.embeds, found.logits, most.logits);
            assert_true(found.embeds <= most.embeds && found.logits <= most.logits);
            /* and not twenty times better: the type is in use */
            assert_true(found.embeds > most.embeds / 20 && found.logits > most.logits / 20);
        }
        remove_directory(directory);
    }
}

/* One matrix of about forty, half as large: seen at 8 bits and more. */
static void shrink(void *user, copied *tensor)
{
    (void)user;
    if (strcmp(tensor->name, "model.layers.1.mlp.up_proj.weight") == 0 ||
        strcmp(tensor->name, "visual.blocks.0.mlp.fc1.weight") == 0)
        for (size_t i = 0; i < tensor->elements; i++) {
            float value;
            memcpy(&value, tensor->data + i * sizeof value, sizeof value);
            value /= 2;
            memcpy(tensor->data + i * sizeof value, &value, sizeof value);
        }
}

static void test_a_wrong_matrix_is_seen(void **state)
{
    static const tn_dtype types[] = { TN_F32, TN_F16, TN_BF16, TN_Q8_0 };
    char *source = edited_model(UNTIED, shrink, NULL, "{}");
    for (size_t i = 0; i < sizeof types / sizeof *types; i++) {
        bounds most;
        char *directory = converted(source, types[i], &most);
        distances found = forward(*state, directory, NULL);
        assert_true(found.embeds > most.embeds && found.logits > most.logits);
        remove_directory(directory);
    }
    remove_directory(source);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_types_stay_within_their_bounds),
        cmocka_unit_test(test_a_wrong_matrix_is_seen),
    };
    return cmocka_run_group_tests(tests, open_golden, close_golden);
}
