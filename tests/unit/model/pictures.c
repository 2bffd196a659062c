/* The vision tower: images of any shape, several in one call, invalid grids, and activations far beyond the range of half
 * precision (P4, P10). */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "unit/model/models.h"

/* As in spans.c, for sets whose order of addition depends on the shape. */
static const double bound = 3e-4;

static void same_rows(const tn_model *model, const tn_real *a, const tn_real *b, size_t count)
{
    assert_true(all_finite(a, count));
    assert_true(largest_distance(a, b, count) <= bound);
    if (is_steady(model->kernels))
        assert_memory_equal(a, b, count * sizeof *a);
}

static void for_each_set(void (*check)(const tn_model *model))
{
    for (size_t i = 0; tn_kernels_at(i) != NULL; i++) {
        tn_model *model = open_model(UNTIED, tn_kernels_at(i)->name);
        check(model);
        tn_model_close(model);
    }
}

/* ---------------------------------------------------------------- shapes -- */

/* One cell, rows and columns of cells, and sizes around the blocks of attention and of the kernels. */
static const tn_grid shapes[] = {
    { 1, 2, 2 },  { 1, 2, 4 },   { 1, 4, 2 },   { 1, 2, 6 },   { 1, 6, 2 },  { 1, 2, 26 },   { 1, 26, 2 }, { 1, 2, 64 },
    { 1, 64, 2 }, { 1, 10, 14 }, { 1, 14, 10 }, { 1, 2, 126 }, { 1, 2, 130 }, { 3, 2, 2 },   { 2, 6, 10 }, { 1, 34, 38 },
};

static void shapes_are_finite(const tn_model *model)
{
    tn_session *alone = open_session(model, 8, 1), *together = open_session(model, 8, 3);
    for (size_t i = 0; i < sizeof shapes / sizeof *shapes; i++) {
        tn_session_reset(alone);
        tn_session_reset(together);
        tn_tensor a = encode(alone, shapes[i], i).embeds, b = encode(together, shapes[i], i).embeds;
        assert_int_equal(a.rows, tn_grid_patches(shapes[i]) / 4);
        assert_int_equal(a.cols, model->config.decoder.hidden_size);
        assert_true(all_finite(a.data, a.rows * a.cols));
        assert_memory_equal(a.data, b.data, a.rows * a.cols * sizeof *a.data); /* threads change nothing */
    }
    tn_session_close(alone);
    tn_session_close(together);
}

static void test_shapes(void **state)
{
    (void)state;
    for_each_set(shapes_are_finite);
}

/* The same patches in another shape are another image: rows and columns matter. */
static void test_shape_matters(void **state)
{
    (void)state;
    tn_model *model = open_model(UNTIED, "reference");
    tn_session *session = open_session(model, 8, 1);
    tn_tensor wide = encode(session, (tn_grid){ 1, 4, 6 }, 1).embeds, high = encode(session, (tn_grid){ 1, 6, 4 }, 1).embeds;
    tn_tensor again = encode(session, (tn_grid){ 1, 4, 6 }, 1).embeds;
    assert_int_equal(wide.rows, high.rows);
    assert_true(largest_distance(wide.data, high.data, wide.rows * wide.cols) > 1e-3);
    assert_memory_equal(wide.data, again.data, wide.rows * wide.cols * sizeof *wide.data);
    tn_session_close(session);
    tn_model_close(model);
}

/* --------------------------------------------------------------- several -- */

/* Images in one call, and frames of one image, do not affect each other. */
static void pictures_are_apart(const tn_model *model)
{
    static const tn_grid grids[] = { { 1, 4, 6 }, { 1, 2, 2 }, { 2, 6, 2 } };
    static const tn_grid frames[] = { { 1, 4, 6 }, { 1, 2, 2 }, { 1, 6, 2 }, { 1, 6, 2 } };
    enum { PATCHES = 24 + 4 + 24, CELLS = PATCHES / 4 };
    tn_session *session = open_session(model, 8, 2);
    size_t values = encoder_size(model, "patch_values"), cols = tn_session_hidden(session).cols;
    tn_real *patches = random_patches(model, PATCHES, 9);
    tn_tensor all, cut;
    assert_int_equal(try_encode(session, patches, grids, 3, &all, NULL), TENEBRA_OK);
    assert_int_equal(all.rows, CELLS);
    for (size_t i = 0, at = 0; i < 4; at += tn_grid_patches(frames[i++])) {
        tn_tensor one;
        assert_int_equal(try_encode(session, patches + at * values, &frames[i], 1, &one, NULL), TENEBRA_OK);
        same_rows(model, one.data, all.data + at / 4 * cols, one.rows * cols);
    }
    /* Negative control: one image of 4 x 13 patches gives other embeddings. */
    assert_int_equal(try_encode(session, patches, &(tn_grid){ 1, 2, 26 }, 1, &cut, NULL), TENEBRA_OK);
    assert_true(largest_distance(cut.data, all.data, CELLS * cols) > 30 * bound);
    /* A change in the last frame reaches no other row. */
    patches[(PATCHES - 1) * values] += 3;
    assert_int_equal(try_encode(session, patches, grids, 3, &cut, NULL), TENEBRA_OK);
    same_rows(model, cut.data, all.data, (CELLS - 3) * cols);
    assert_true(largest_distance(cut.data + (CELLS - 3) * cols, all.data + (CELLS - 3) * cols, 3 * cols) > bound);
    free(patches);
    tn_session_close(session);
}

static void test_pictures_are_apart(void **state)
{
    (void)state;
    for_each_set(pictures_are_apart);
}

/* --------------------------------------------------------------- refused -- */

static void test_misfitting_grids(void **state)
{
    (void)state;
    static const tn_grid wrong[] = { { 1, 1, 1 }, { 1, 2, 3 }, { 1, 3, 2 }, { 1, 1, 8 }, { 1, 8, 1 }, { 0, 2, 2 },
                                     { 1, 0, 2 }, { 1, 2, 0 }, { 0, 0, 0 } };
    tn_model *model = open_model(UNTIED, NULL);
    tn_session *session = open_session(model, 8, 1);
    tn_real *patches = random_patches(model, 16, 1);
    tenebra_error error;
    tn_tensor embeds = { 0 };
    for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++) {
        const tn_grid pair[] = { { 1, 2, 2 }, wrong[i] };
        assert_int_equal(try_encode(session, patches, &wrong[i], 1, &embeds, &error), TENEBRA_ERROR_MISMATCH);
        assert_error(&error, TENEBRA_ERROR_MISMATCH, "vision", "image 1");
        assert_int_equal(try_encode(session, patches, pair, 2, &embeds, &error), TENEBRA_ERROR_MISMATCH);
        assert_error(&error, TENEBRA_ERROR_MISMATCH, "vision", "image 2");
    }
    assert_int_equal(try_encode(session, patches, wrong, 0, &embeds, &error), TENEBRA_ERROR_MISMATCH);
    assert_null(embeds.data);
    assert_int_equal(session->engine->work.used, 0);
    embeds = encode(session, (tn_grid){ 1, 2, 2 }, 1).embeds;
    assert_true(all_finite(embeds.data, embeds.cols));
    free(patches);
    tn_session_close(session);
    tn_model_close(model);
}

/* ---------------------------------------------------- large activations -- */

typedef struct loudness {
    double factor;
    tn_dtype type;
} loudness;

/* Increases the activations of the tower: its patch embedding and the outputs of its blocks. Norms are not changed, so the
 * decoder gets ordinary rows if, and only if, everything in between stays finite. */
static void make_loud(void *user, copied *tensor)
{
    const loudness *l = user;
    bool loud = strncmp(tensor->name, "visual.", 7) == 0 &&
                (strstr(tensor->name, "patch_embed") != NULL || strstr(tensor->name, "attn.proj") != NULL ||
                 strstr(tensor->name, "mlp.fc") != NULL);
    float *values = malloc(tensor->bytes);
    assert_non_null(values);
    memcpy(values, tensor->data, tensor->bytes);
    for (size_t i = 0; loud && i < tensor->elements; i++)
        values[i] *= (float)l->factor;
    memcpy(tensor->data, values, tensor->bytes);
    free(values);
    copy_round(tensor, l->type, false);
}

static void keep_largest(void *user, const char *name, size_t index, const tn_tensor *value)
{
    double *largest = user;
    (void)index;
    assert_true(all_finite(value->data, value->rows * value->cols));
    for (size_t i = 0; strncmp(name, "vision", 6) == 0 && i < value->rows * value->cols; i++)
        *largest = fmax(*largest, fabs((double)value->data[i]));
}

/* Largest activation in the tower; everything must stay finite, to the logits. */
static double run_loud(double factor, tn_dtype type, const char *kernels)
{
    loudness l = { factor, type };
    double largest = 0;
    char *directory = edited_model(UNTIED, make_loud, &l, "{}");
    tn_model *model = open_model(directory, kernels);
    tn_session *session = open_session(model, 64, 1);
    session->engine->ops.watch = keep_largest;
    session->engine->ops.watch_user = &largest;
    outcome o = run_session(session, true, 3);
    assert_true(all_finite(o.values, o.count));
    free(o.values);
    tn_session_close(session);
    tn_model_close(model);
    remove_directory(directory);
    return largest;
}

/* 65504 is the largest number of half precision: weights are stored in it, activations are not. */
static void test_large_activations(void **state)
{
    (void)state;
    static const double factors[] = { 100, 1000, 10000 };
    static const tn_dtype types[] = { TN_F32, TN_F16, TN_BF16 };
    for (size_t set = 0; tn_kernels_at(set) != NULL; set++)
        for (size_t t = 0; t < 3; t++) {
            double least = INFINITY, most = 0;
            for (size_t f = 0; f < 3; f++) {
                double largest = run_loud(factors[f], types[t], tn_kernels_at(set)->name);
                least = fmin(least, largest);
                most = fmax(most, largest);
            }
            assert_true(least >= 1e4); /* the test is about these sizes */
            assert_true(most > 1e6);
        }
    assert_true(run_loud(1, TN_F32, "reference") < 1e3);
}

/* Images brighter than any real one, with the unchanged tower. */
static void test_large_patches(void **state)
{
    (void)state;
    tn_model *model = open_model(UNTIED, NULL);
    tn_session *session = open_session(model, 8, 1);
    const tn_grid grid = { 1, 4, 4 };
    tn_real *patches = random_patches(model, 16, 1);
    tn_tensor embeds = { 0 };
    for (int round = 0; round < 3; round++) {
        for (size_t i = 0; i < 16 * encoder_size(model, "patch_values"); i++)
            patches[i] *= 1e4f;
        tn_session_reset(session);
        assert_int_equal(try_encode(session, patches, &grid, 1, &embeds, NULL), TENEBRA_OK);
        assert_true(all_finite(embeds.data, embeds.rows * embeds.cols));
    }
    /* Negative control: what is not finite is an error. */
    patches[5] = (tn_real)NAN;
    tenebra_error error = { 0 };
    assert_int_equal(try_encode(session, patches, &grid, 1, &embeds, &error), TENEBRA_ERROR_FORMAT);
    assert_error(&error, TENEBRA_ERROR_FORMAT, "image", "NaN or infinite");
    free(patches);
    tn_session_close(session);
    tn_model_close(model);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_shapes),           cmocka_unit_test(test_shape_matters),
        cmocka_unit_test(test_pictures_are_apart), cmocka_unit_test(test_misfitting_grids),
        cmocka_unit_test(test_large_activations), cmocka_unit_test(test_large_patches),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
