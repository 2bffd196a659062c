/* Models with quantised and packed weights: their values match the report, give the same numbers in either order, and are close
 * to the original ones; nothing remains after a failure. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "model/quantize.h"
#include "model/random.h"
#include "unit/model/models.h"

/* A random model of shape tiny in F32, as the others are made from it. */
typedef struct fixture {
    char *parent;
    char source[600];
} fixture;

static int set_up(void **state)
{
    fixture *f = calloc(1, sizeof *f);
    const tn_random_options tiny = { .shape = "tiny", .seed = 11, .type = TN_F32 };
    f->parent = make_directory();
    snprintf(f->source, sizeof f->source, "%s/source", f->parent);
    assert_int_equal(tn_random_model_write(f->source, &tiny, NULL), TENEBRA_OK);
    *state = f;
    return 0;
}

static int tear_down(void **state)
{
    fixture *f = *state;
    remove_directory(strdup(f->source));
    remove_directory(f->parent);
    free(f);
    return 0;
}

static tn_quantize_options usual(tn_dtype type, tn_order order)
{
    return (tn_quantize_options){ .recipe = tn_recipe_of(type, order) };
}

/* A fresh directory with the model `source` converted; report may be NULL. */
static char *converted(const char *source, const tn_quantize_options *options, tn_quantize_report *report)
{
    char *directory = make_directory();
    tn_quantize_report own;
    tenebra_error error = { 0 };
    if (tn_quantize_weights(source, directory, options, &own, &error) != TENEBRA_OK)
        fail_msg("%s: %s", error.where, error.sentence);
    write_config(source, directory, "{}");
    if (report != NULL)
        *report = own;
    else
        tn_quantize_report_free(&own);
    return directory;
}

static char *converted_to(const char *source, tn_dtype type, tn_order order)
{
    const tn_quantize_options options = usual(type, order);
    return converted(source, &options, NULL);
}

static outcome run_with(const char *directory, const char *kernels)
{
    tn_model *model = open_model(directory, kernels);
    outcome o = run_model(model);
    tn_model_close(model);
    return o;
}

/* Of tiny, only matrices with 256 inputs have blocks of 256: down_proj, and two of the tower; the rest has blocks of 32. */
static const tn_dtype quantised[] = { TN_Q8_0, TN_Q8_256, TN_Q4_0, TN_IQ4_NL, TN_Q4_256 };
enum { QUANTISED = sizeof quantised / sizeof *quantised, OF_8_BITS = 2 };

/* ---------------------------------------------------------------- values -- */

/* With the reference set, a packed model computes with exactly its values: written as F32, they give the same bits. */
static void test_values_are_exact(void **state)
{
    const fixture *f = *state;
    for (size_t i = 0; i < QUANTISED; i++) {
        char *packed = converted_to(f->source, quantised[i], TN_PANELS), *plain = converted_to(packed, TN_F32, TN_ROWS);
        outcome a = run_directory(packed), b = run_directory(plain), c = run_directory(f->source);
        assert_true(equal(&a, &b));
        assert_false(equal(&a, &c)); /* the comparison can fail */
        free(a.values), free(b.values), free(c.values);
        remove_directory(packed);
        remove_directory(plain);
    }
}

/* Panels and rows of blocks are the same bits in every set; of BF16 where products are of BF16 pairs, and in the plain set. The
 * kernel over pixels, whose inputs are no whole blocks and which would be BF16, is left out of the comparison as F32. */
static void test_orders_agree(void **state)
{
    const fixture *f = *state;
    static const tn_dtype types[] = { TN_Q8_0, TN_Q8_256, TN_Q4_0, TN_IQ4_NL, TN_Q4_256, TN_BF16 };
    static const tn_recipe_rule pixels = { "visual.patch_embed.*", TN_F32 };
    for (size_t i = 0; i <= QUANTISED; i++) {
        tn_quantize_options packed = usual(types[i], TN_PANELS), unpacked = usual(types[i], TN_ROWS);
        packed.recipe.rules = unpacked.recipe.rules = &pixels;
        packed.recipe.rule_count = unpacked.recipe.rule_count = i < QUANTISED;
        char *panels = converted(f->source, &packed, NULL), *rows = converted(f->source, &unpacked, NULL);
        for (size_t k = 0; tn_kernels_at(k) != NULL; k++) {
            const char *set = tn_kernels_at(k)->name;
            if (!is_steady(tn_kernels_at(k)))
                continue;
            outcome a = run_with(panels, set), b = run_with(rows, set);
            assert_true(all_finite(a.values, a.count));
            bool exact = i < QUANTISED || strcmp(set, "reference") == 0 || strcmp(set, "avx512bf16") == 0;
            if (exact && !equal(&a, &b))
                print_error("%s, %s: panels and rows differ by %g\n", tn_dtype_of(types[i])->name, set, relative_distance(a.values, b.values, a.count));
            assert_true(!exact || equal(&a, &b));
            assert_true(relative_distance(a.values, b.values, a.count) < 2e-2); /* inputs rounded to BF16 or not: 2^-8 a product */
            free(a.values), free(b.values);
        }
        remove_directory(panels);
        remove_directory(rows);
    }
}

/* Errors of the matrices on a path are independent: over M of them a relative error of r becomes r sqrt(M), where norms keep the
 * scale. Tiny has 2 + 7 x 4 matrices of the decoder and 2 + 6 x 2 of the tower on its longest path; attention and SwiGLU
 * multiply two of them each: a factor of 2 is left for that. */
static double bound_of(double relative_rms) { return 2 * relative_rms * sqrt(2 + 7 * 4 + 2 + 6 * 2); }

static size_t largest_of(const tn_real *values, size_t count)
{
    size_t best = 0;
    for (size_t i = 1; i < count; i++)
        best = values[i] > values[best] ? i : best;
    return best;
}

/* The difference between the two largest. */
static double gap_of(const tn_real *values, size_t count)
{
    size_t best = largest_of(values, count);
    double next = -INFINITY;
    for (size_t i = 0; i < count; i++)
        if (i != best)
            next = fmax(next, (double)values[i]);
    return (double)values[best] - next;
}

static double rms_of(const tn_real *values, size_t count)
{
    double squares = 0;
    for (size_t i = 0; i < count; i++)
        squares += (double)values[i] * (double)values[i];
    return sqrt(squares / (double)count);
}

static void test_logits_stay_near(void **state)
{
    const fixture *f = *state;
    for (size_t i = 0; i < QUANTISED; i++) {
        tn_quantize_report report;
        const tn_quantize_options options = usual(quantised[i], TN_PANELS);
        char *packed = converted(f->source, &options, &report);
        bool fine = i < OF_8_BITS;
        assert_true(report.relative_rms > (fine ? 0.003 : 0.03) && report.relative_rms < (fine ? 0.007 : 0.1));
        tn_model *small = open_model(packed, NULL), *full = open_model(f->source, NULL);
        tn_session *a = open_session(small, 64, 1), *b = open_session(full, 64, 1);
        size_t logits = full->decoder.head.matrix.rows;
        for (uint64_t seed = 1; seed <= 6; seed++) {
            outcome now = run_session(a, true, seed), before = run_session(b, true, seed);
            const tn_real *x = now.values + now.count - logits, *y = before.values + before.count - logits;
            double bound = bound_of(report.relative_rms);
            assert_true(relative_distance(x, y, logits) < bound);
            if (!fine)
                assert_false(relative_distance(x, y, logits) < bound_of(0.0054)); /* 4 bits are seen to be fewer than 8 */
            else if (gap_of(y, logits) > 4 * bound * rms_of(y, logits)) /* two logits, each at two deviations */
                assert_int_equal(largest_of(x, logits), largest_of(y, logits));
            free(now.values), free(before.values);
        }
        tn_session_close(a), tn_session_close(b);
        tn_model_close(small), tn_model_close(full);
        tn_quantize_report_free(&report);
        remove_directory(packed);
    }
}

/* ---------------------------------------------------------------- report -- */

static const tn_quantized *row_of(const tn_quantize_report *report, const char *name)
{
    for (size_t i = 0; i < report->count; i++)
        if (strcmp(report->tensors[i].name, name) == 0)
            return &report->tensors[i];
    fail_msg("the report has no %s", name);
    return NULL;
}

static void test_report(void **state)
{
    const fixture *f = *state;
    static const char name[] = "model.layers.1.mlp.down_proj.weight";
    tn_quantize_report report;
    const tn_recipe_rule rules[] = { { "model.layers.1.*", TN_Q4_0 }, { "*down_proj*", TN_IQ4_NL } };
    tn_quantize_options options = usual(TN_Q8_0, TN_PANELS);
    options.recipe.rules = rules;
    options.recipe.rule_count = 2;
    char *packed = converted(f->source, &options, &report);
    assert_int_equal(row_of(&report, "model.layers.1.mlp.up_proj.weight")->form.type, TN_Q4_0);
    assert_int_equal(row_of(&report, "model.layers.0.mlp.up_proj.weight")->form.type, TN_Q8_0);
    const tn_quantized *down = row_of(&report, name);
    assert_int_equal(down->form.type, TN_IQ4_NL);

    tn_store *before, *after;
    assert_int_equal(tn_store_open(f->source, &before, NULL), TENEBRA_OK);
    assert_int_equal(tn_store_open(packed, &after, NULL), TENEBRA_OK);
    const tn_stored *x = tn_store_find(before, name), *y = tn_store_find(after, name);
    const tn_matrix wx = tn_form_matrix(&x->form, x->data), wy = tn_form_matrix(&y->form, y->data);
    double errors = 0, squares = 0, product = 0, made = 0, largest = 0;
    tn_real *a = calloc(2 * wx.cols, sizeof *a), *b = a + wx.cols;
    for (size_t row = 0; row < wx.rows; row++) {
        tn_matrix_unpack(&wx, row, 0, wx.cols, a);
        tn_matrix_unpack(&wy, row, 0, wx.cols, b);
        for (size_t k = 0; k < wx.cols; k++) {
            double d = (double)a[k] - (double)b[k];
            errors += d * d, squares += (double)a[k] * (double)a[k], made += (double)b[k] * (double)b[k];
            product += (double)a[k] * (double)b[k];
            largest = fmax(largest, fabs(d));
        }
    }
    assert_true(fabs(down->conversion.relative_rms - sqrt(errors / squares)) < 1e-12);
    assert_true(fabs(down->conversion.cosine - product / sqrt(squares * made)) < 1e-12);
    assert_true(fabs(down->conversion.largest - largest) <= 0);
    assert_int_equal(down->bytes, y->bytes);
    assert_int_equal(report.bytes, tn_store_bytes(after));
    /* vectors stay as they are */
    x = tn_store_find(before, "model.norm.weight"), y = tn_store_find(after, "model.norm.weight");
    assert_int_equal(y->type, TN_STORE_F32);
    assert_memory_equal(x->data, y->data, x->bytes);
    free(a);
    tn_store_close(before), tn_store_close(after);
    tn_quantize_report_free(&report);
    remove_directory(packed);
}

static unsigned char *file_of(const char *directory, size_t *size)
{
    char path[1024];
    snprintf(path, sizeof path, "%s/model.safetensors", directory);
    FILE *stream = fopen(path, "rb");
    unsigned char *bytes = malloc((size_t)1 << 24);
    assert_true(stream != NULL && bytes != NULL);
    *size = fread(bytes, 1, (size_t)1 << 24, stream);
    fclose(stream);
    return bytes;
}

static bool same_files(const char *a, const char *b)
{
    size_t left, right;
    unsigned char *x = file_of(a, &left), *y = file_of(b, &right);
    bool same = left == right && memcmp(x, y, left) == 0;
    free(x), free(y);
    return same;
}

static void test_threads_and_ways_back(void **state)
{
    const fixture *f = *state;
    for (size_t i = 0; i < QUANTISED; i++) {
        tn_quantize_options threaded = usual(quantised[i], TN_PANELS);
        tn_pool_open(3, &threaded.pool, NULL);
        tn_quantize_report report;
        char *one = converted_to(f->source, quantised[i], TN_PANELS), *three = converted(f->source, &threaded, &report);
        tn_pool_close(threaded.pool);
        assert_true(same_files(one, three));
        tn_quantize_report_free(&report);
        /* panels, rows, panels: the same type keeps every bit, and loses nothing */
        const tn_quantize_options again = usual(quantised[i], TN_PANELS);
        char *rows = converted_to(one, quantised[i], TN_ROWS), *back = converted(rows, &again, &report);
        assert_false(same_files(one, rows));
        assert_true(same_files(one, back));
        assert_true(report.relative_rms <= 0 && report.twice == 0);
        tn_quantize_report_free(&report);
        /* another type has another error, which the report contains */
        const tn_quantize_options other = usual(quantised[(i + 1) % QUANTISED], TN_PANELS);
        char *twice = converted(one, &other, &report);
        assert_true(report.twice > 0);
        tn_quantize_report_free(&report);
        remove_directory(one), remove_directory(three), remove_directory(rows), remove_directory(back), remove_directory(twice);
    }
}

/* Widths of 48 are not whole blocks, and parts of 24 rows are not whole panels; both are reported and still work. */
static void test_fallbacks(void **state)
{
    (void)state;
    tn_quantize_report report;
    const tn_quantize_options options = usual(TN_Q4_0, TN_PANELS);
    char *packed = converted(TIED, &options, &report);
    const tn_quantized *q = row_of(&report, "model.layers.0.self_attn.q_proj.weight");
    assert_int_equal(q->form.type, TN_BF16);
    assert_int_equal(q->form.order, TN_PANELS);
    assert_non_null(strstr(q->note, "whole blocks"));
    const tn_quantized *qkv = row_of(&report, "visual.blocks.0.attn.qkv.weight");
    assert_int_equal(qkv->form.order, TN_ROWS);
    assert_non_null(strstr(qkv->note, "whole panels"));
    outcome a = run_directory(packed), b = run_directory(TIED);
    assert_true(relative_distance(a.values, b.values, a.count) < 0.1);
    free(a.values), free(b.values);
    tn_quantize_report_free(&report);
    remove_directory(packed);
}

static void test_shards(void **state)
{
    const fixture *f = *state;
    tn_quantize_report report;
    tn_quantize_options options = usual(TN_Q8_0, TN_PANELS);
    char *one = converted(f->source, &options, NULL);
    options.file_bytes = 300000;
    char *many = converted(f->source, &options, &report);
    assert_true(report.files > 2);
    assert_int_equal(count_files(many), report.files + 2); /* index, config.json */
    outcome a = run_directory(one), b = run_directory(many);
    assert_true(equal(&a, &b));
    free(a.values), free(b.values);
    tn_quantize_report_free(&report);
    remove_directory(one), remove_directory(many);
}

/* -------------------------------------------------------------- failures -- */

typedef struct spoiling {
    const char *name;
    size_t place;
    float value;
} spoiling;

static void spoil(void *user, copied *tensor)
{
    const spoiling *s = user;
    if (strcmp(tensor->name, s->name) == 0)
        memcpy(tensor->data + 4 * s->place, &s->value, 4);
}

static void fails(const char *source, const tn_quantize_options *options, tenebra_code code, const char *where, const char *words)
{
    char *directory = make_directory();
    tn_quantize_report report;
    tenebra_error error = { 0 };
    assert_int_equal(tn_quantize_weights(source, directory, options, &report, &error), code);
    assert_error(&error, code, where, words);
    assert_null(report.tensors);
    assert_int_equal(count_files(directory), 0);
    remove_directory(directory);
}

static void test_values_that_cannot_be(void **state)
{
    const fixture *f = *state;
    static const char up[] = "model.layers.2.mlp.up_proj.weight", norm[] = "model.norm.weight";
    const spoiling spoilings[] = { { up, 3 * 128 + 17, NAN }, { up, 3 * 128 + 17, -INFINITY }, { norm, 5, INFINITY }, { up, 3 * 128 + 17, 1e6f } };
    for (size_t i = 0; i < 4; i++) {
        spoiling s = spoilings[i];
        char *bad = edited_model(f->source, spoil, &s, "{}");
        tn_quantize_options options = usual(i == 3 ? TN_F16 : TN_Q4_0, TN_PANELS);
        const char *place = i == 2 ? "row 0, column 5" : "row 3, column 17";
        fails(bad, &options, TENEBRA_ERROR_FORMAT, s.name, place);
        fails(bad, &options, TENEBRA_ERROR_FORMAT, s.name, i == 3 ? "too large for F16" : "not finite");
        remove_directory(bad);
    }
}

static bool stop(void *user, size_t done, size_t total)
{
    assert_true(done <= total);
    return ++*(size_t *)user < 5;
}

static void test_stopped_and_misled(void **state)
{
    const fixture *f = *state;
    size_t calls = 0;
    tn_quantize_options options = usual(TN_Q8_0, TN_PANELS);
    options.progress = stop;
    options.user = &calls;
    options.file_bytes = 100000; /* some files are complete by then */
    fails(f->source, &options, TENEBRA_ERROR_CANCELLED, "", "stopped");
    assert_int_equal(calls, 5);
    const tn_recipe_rule rule = { "model.layers.9.*", TN_F32 };
    tn_quantize_options ruled = usual(TN_Q8_0, TN_PANELS);
    ruled.recipe.rules = &rule;
    ruled.recipe.rule_count = 1;
    fails(f->source, &ruled, TENEBRA_ERROR_ARGUMENT, "layers.9", "matches no matrix");
    fails("/nonexistent", &ruled, TENEBRA_ERROR_IO, "/nonexistent", "not a model directory");
}

#define TEST(name) cmocka_unit_test(name)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(test_values_are_exact), TEST(test_orders_agree), TEST(test_logits_stay_near), TEST(test_report),
        TEST(test_threads_and_ways_back), TEST(test_fallbacks), TEST(test_shards), TEST(test_values_that_cannot_be),
        TEST(test_stopped_and_misled),
    };
    return cmocka_run_group_tests(tests, set_up, tear_down);
}
