/* AdamW, clipping and schedules against the same formulas in double precision, and their invariants. */
#include "train/optimizer.h"

#include "base/rng.h"
#include "kern/dtype.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

enum { COUNT = 40000, SMALL = 7, UPDATES = 5 };

typedef struct setup {
    float *values, *grad, *small, *small_grad;
    uint16_t *rounded;
    tn_pool *pool;
    tn_optimizer optimizer;
} setup;

static void setup_open(setup *s, size_t threads, const tn_adamw *settings)
{
    tn_rng rng = tn_rng_seed(3);
    s->values = malloc(COUNT * sizeof *s->values);
    s->grad = malloc(COUNT * sizeof *s->grad);
    s->small = malloc(SMALL * sizeof *s->small);
    s->small_grad = malloc(SMALL * sizeof *s->small_grad);
    s->rounded = calloc(COUNT, sizeof *s->rounded);
    assert_non_null(s->values);
    assert_non_null(s->grad);
    assert_non_null(s->small);
    assert_non_null(s->small_grad);
    assert_non_null(s->rounded);
    for (size_t i = 0; i < COUNT; i++)
        s->values[i] = (float)tn_rng_normal(&rng);
    for (size_t i = 0; i < SMALL; i++)
        s->small[i] = (float)tn_rng_normal(&rng);
    tn_pool_open(threads, &s->pool, NULL);
    const tn_optimized items[] = { { s->values, s->grad, s->rounded, COUNT, true },
                                   { s->small, s->small_grad, NULL, SMALL, false } };
    assert_int_equal(tn_optimizer_open(&s->optimizer, items, 2, settings, s->pool, NULL), TENEBRA_OK);
}

static void setup_close(setup *s)
{
    tn_optimizer_close(&s->optimizer);
    tn_pool_close(s->pool);
    free(s->values);
    free(s->grad);
    free(s->small);
    free(s->small_grad);
    free(s->rounded);
}

/* Gradients of update `update`, of very different sizes. */
static void fill_gradients(setup *s, uint64_t update)
{
    tn_rng rng = tn_rng_seed(100 + update);
    for (size_t i = 0; i < COUNT; i++)
        s->grad[i] = (float)(tn_rng_normal(&rng) * pow(10, (double)(i % 7) - 5));
    for (size_t i = 0; i < SMALL; i++)
        s->small_grad[i] = (float)tn_rng_normal(&rng);
}

/* The worst difference of one value after UPDATES updates from the formula in double. */
static double distance(const setup *s, const float *start, const float *end, size_t index, bool small, double decay,
                       double beta2)
{
    double value = start[index], m = 0, v = 0;
    setup copy = *s;
    for (uint64_t t = 1; t <= UPDATES; t++) {
        fill_gradients(&copy, t);
        double g = 0.5 * (double)(small ? s->small_grad : s->grad)[index];
        value *= 1 - 1e-2 * decay;
        m = 0.9 * m + 0.1 * g;
        v = beta2 * v + (1 - beta2) * g * g;
        value -= 1e-2 * (m / (1 - pow(0.9, (double)t))) / (sqrt(v / (1 - pow(beta2, (double)t))) + 1e-8);
    }
    return fabs(value - (double)end[index]);
}

static void test_follows_the_formula(void **state)
{
    (void)state;
    setup s;
    tn_adamw settings = tn_adamw_defaults();
    settings.weight_decay = 0.1;
    setup_open(&s, 2, &settings);
    float start[COUNT / 100], small_start[SMALL];
    for (size_t i = 0; i < COUNT / 100; i++)
        start[i] = s.values[i];
    memcpy(small_start, s.small, sizeof small_start);
    for (uint64_t t = 1; t <= UPDATES; t++) {
        fill_gradients(&s, t);
        tn_optimizer_step(&s.optimizer, 1e-2, 0.5);
    }
    assert_int_equal(s.optimizer.step, UPDATES);
    float end[COUNT / 100], small_end[SMALL];
    memcpy(end, s.values, sizeof end);
    memcpy(small_end, s.small, sizeof small_end);
    /* Values below 5, some ten roundings of 2^-24 an update. */
    double bound = 5 * 10 * UPDATES * 0x1p-24;
    for (size_t i = 0; i < 20; i++)
        assert_true(distance(&s, start, end, i, false, 0.1, 0.999) <= bound);
    for (size_t i = 0; i < SMALL; i++)
        assert_true(distance(&s, small_start, small_end, i, true, 0, 0.999) <= bound);
    /* Negative controls: another beta2, decay where there should be none, and no decay where there should be. */
    assert_false(distance(&s, start, end, 0, false, 0.1, 0.99) <= bound);
    assert_false(distance(&s, start, end, 0, false, 0, 0.999) <= bound);
    assert_false(distance(&s, small_start, small_end, 0, true, 0.1, 0.999) <= bound);
    setup_close(&s);
}

static void test_any_number_of_threads(void **state)
{
    (void)state;
    setup one, three;
    tn_adamw settings = tn_adamw_defaults();
    setup_open(&one, 1, &settings);
    setup_open(&three, 3, &settings);
    for (uint64_t t = 1; t <= UPDATES; t++) {
        fill_gradients(&one, t);
        fill_gradients(&three, t);
        double norm = tn_optimizer_norm(&one.optimizer);
        assert_true(norm == tn_optimizer_norm(&three.optimizer));
        tn_optimizer_step(&one.optimizer, 1e-3, tn_clip_factor(norm, 1));
        tn_optimizer_step(&three.optimizer, 1e-3, tn_clip_factor(norm, 1));
    }
    assert_memory_equal(one.values, three.values, COUNT * sizeof *one.values);
    assert_memory_equal(one.rounded, three.rounded, COUNT * sizeof *one.rounded);
    tn_optimizer_step(&three.optimizer, 1e-3, 1);
    assert_memory_not_equal(one.values, three.values, COUNT * sizeof *one.values);
    setup_close(&one);
    setup_close(&three);
}

static void test_norm_and_clipping(void **state)
{
    (void)state;
    setup s;
    tn_adamw settings = tn_adamw_defaults();
    setup_open(&s, 2, &settings);
    fill_gradients(&s, 1);
    double sum = 0;
    for (size_t i = 0; i < COUNT; i++)
        sum += (double)s.grad[i] * (double)s.grad[i];
    for (size_t i = 0; i < SMALL; i++)
        sum += (double)s.small_grad[i] * (double)s.small_grad[i];
    double norm = tn_optimizer_norm(&s.optimizer);
    assert_true(fabs(norm - sqrt(sum)) <= 1e-9 * norm);
    assert_true(tn_clip_factor(norm, 2 * norm) == 1);
    assert_true(tn_clip_factor(norm, 0) == 1);
    assert_true(fabs(tn_clip_factor(2, 0.7) - 0.7 / 2.000001) < 1e-15);
    s.small_grad[3] = NAN;
    assert_true(isnan(tn_optimizer_norm(&s.optimizer)));
    tn_optimizer_clear(&s.optimizer);
    assert_true(tn_optimizer_norm(&s.optimizer) == 0);
    setup_close(&s);
}

static void test_rounded_copy_and_reset(void **state)
{
    (void)state;
    setup s;
    tn_adamw settings = tn_adamw_defaults();
    setup_open(&s, 1, &settings);
    fill_gradients(&s, 1);
    tn_optimizer_step(&s.optimizer, 1e-3, 1);
    float back[16];
    tn_dtype_of(TN_BF16)->unpack(s.rounded, 16, back);
    for (size_t i = 0; i < 16; i++)
        assert_true(fabsf(back[i] - s.values[i]) <= fabsf(s.values[i]) * 0x1p-8f);
    s.values[0] = 3;
    tn_optimizer_round(&s.optimizer);
    tn_dtype_of(TN_BF16)->unpack(s.rounded, 1, back);
    assert_true(back[0] == 3);
    tn_optimizer_reset(&s.optimizer);
    assert_int_equal(s.optimizer.step, 0);
    for (size_t i = 0; i < s.optimizer.total; i++)
        assert_true(s.optimizer.first[i] == 0 && s.optimizer.second[i] == 0);
    setup_close(&s);
}

static void test_bad_settings(void **state)
{
    (void)state;
    tn_optimizer optimizer;
    tenebra_error error = { 0 };
    float value = 1, grad = 0;
    tn_optimized item = { &value, &grad, NULL, 1, true };
    tn_adamw settings = tn_adamw_defaults();
    settings.beta2 = 1;
    assert_int_equal(tn_optimizer_open(&optimizer, &item, 1, &settings, NULL, &error), TENEBRA_ERROR_ARGUMENT);
    settings = tn_adamw_defaults();
    settings.weight_decay = NAN;
    assert_int_equal(tn_optimizer_open(&optimizer, &item, 1, &settings, NULL, &error), TENEBRA_ERROR_ARGUMENT);
    settings = tn_adamw_defaults();
    item.grad = NULL;
    assert_int_equal(tn_optimizer_open(&optimizer, &item, 1, &settings, NULL, &error), TENEBRA_ERROR_ARGUMENT);
    tn_optimizer_close(&optimizer);
}

/* Values by hand from the formulas of HF's schedules. */
static void test_schedules(void **state)
{
    (void)state;
    tn_schedule schedule = { TN_SCHEDULE_CONSTANT, 4, 12 };
    assert_true(tn_schedule_factor(&schedule, 0) == 0);
    assert_true(tn_schedule_factor(&schedule, 1) == 0.25);
    assert_true(tn_schedule_factor(&schedule, 4) == 1);
    assert_true(tn_schedule_factor(&schedule, 400) == 1);
    schedule.kind = TN_SCHEDULE_LINEAR;
    assert_true(tn_schedule_factor(&schedule, 3) == 0.75);
    assert_true(tn_schedule_factor(&schedule, 6) == 0.75);
    assert_true(tn_schedule_factor(&schedule, 12) == 0);
    assert_true(tn_schedule_factor(&schedule, 13) == 0);
    schedule.kind = TN_SCHEDULE_COSINE;
    assert_true(fabs(tn_schedule_factor(&schedule, 6) - 0.8535533905932737) < 1e-12);
    assert_true(fabs(tn_schedule_factor(&schedule, 8) - 0.5) < 1e-12);
    assert_true(fabs(tn_schedule_factor(&schedule, 12)) < 1e-12);
    schedule.warmup = 0;
    assert_true(tn_schedule_factor(&schedule, 0) == 1);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_follows_the_formula),   cmocka_unit_test(test_any_number_of_threads),
        cmocka_unit_test(test_norm_and_clipping),     cmocka_unit_test(test_rounded_copy_and_reset),
        cmocka_unit_test(test_bad_settings),          cmocka_unit_test(test_schedules),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
