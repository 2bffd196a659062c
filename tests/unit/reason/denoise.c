/* Reconstruction from thoughts: the schedule, sampling with known answers, the loss of a network that predicts nothing, its random draws,
 * targets, sizes from files, and a small training. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "base/checked.h"
#include "base/rng.h"
#include "toys/denoiser.h"

#include <float.h>
#include <math.h>

enum { HIDDEN = 24 };

static tn_noise_schedule schedule;

static int fill_schedule(void **state)
{
    (void)state;
    tn_noise_schedule_fill(&schedule);
    return 0;
}

/* ------------------------------------------------------------- diffusion -- */

/* T8: abar_T is near 4e-5; the product in logarithms is the same. */
static void schedule_ends_in_noise(void **state)
{
    (void)state;
    double logarithm = 0;
    assert_true(schedule.left[0] == 1);
    for (size_t t = 1; t <= TN_DIFFUSION_STEPS; t++) {
        assert_true(schedule.left[t] < schedule.left[t - 1]);
        logarithm += log1p(-(1e-4 + (0.02 - 1e-4) * (double)(t - 1) / 999));
    }
    assert_true(fabs(schedule.left[1] - 0.9999) < 1e-12);
    assert_true(fabs(schedule.left[TN_DIFFUSION_STEPS] / exp(logarithm) - 1) < 1e-10);
    assert_true(schedule.left[TN_DIFFUSION_STEPS] > 3.9e-5 && schedule.left[TN_DIFFUSION_STEPS] < 4.1e-5);
}

/* Steps are drawn from all of 1 .. T, and a unit target stays at unit variance. */
static void noise_keeps_the_variance(void **state)
{
    (void)state;
    enum { COUNT = 64, DRAWS = 4000 };
    tn_real eps[COUNT], x[COUNT];
    tn_rng rng = tn_rng_seed(1);
    double square = 0, mean = 0;
    size_t least = TN_DIFFUSION_STEPS, most = 0;
    for (size_t i = 0; i < DRAWS; i++) {
        for (size_t k = 0; k < COUNT; k++)
            x[k] = (tn_real)tn_rng_normal(&rng);
        size_t t = tn_diffusion_draw(i, eps, COUNT);
        tn_diffusion_add_noise(&schedule, t, eps, x, COUNT);
        for (size_t k = 0; k < COUNT; k++)
            square += (double)x[k] * (double)x[k] / (COUNT * DRAWS);
        mean += (double)t / DRAWS;
        least = tn_min(least, t);
        most = tn_max(most, t);
    }
    assert_true(fabs(square - 1) < 6 * sqrt(2.0 / (COUNT * DRAWS)));
    assert_true(fabs(mean - 500.5) < 6 * 288.7 / sqrt(DRAWS));
    assert_true(least >= 1 && least <= 8 && most <= TN_DIFFUSION_STEPS && most > TN_DIFFUSION_STEPS - 8);
}

enum { VALUES = 300 };

/* Knows x_0 exactly. */
static bool predict_known(void *user, const tn_real *x, size_t t, tn_real *eps)
{
    const tn_real *known = user;
    double left = schedule.left[t];
    for (size_t i = 0; i < VALUES; i++)
        eps[i] = (tn_real)(((double)x[i] - sqrt(left) * (double)known[i]) / sqrt(1 - left));
    return true;
}

static bool fail_at_half(void *user, const tn_real *x, size_t t, tn_real *eps)
{
    return t > 500 && predict_known(user, x, t, eps);
}

/* The last step takes x_0 = (x - noise eps) / signal at t = 1000 / steps, where an error of the float eps counts sqrt(1 - abar) /
 * sqrt(abar) times; at one step that is 158 times the roundings of numbers below 8. */
static void a_known_target_is_sampled(void **state)
{
    (void)state;
    static const size_t steps[] = { 1, 2, 10, 50, 1000 };
    tn_real known[VALUES], x[VALUES], scratch[VALUES], lowest[VALUES], highest[VALUES];
    tn_rng rng = tn_rng_seed(5);
    for (size_t i = 0; i < VALUES; i++) {
        known[i] = (tn_real)(2 * tn_rng_normal(&rng));
        lowest[i] = -1;
        highest[i] = 1;
    }
    for (size_t n = 0; n < sizeof steps / sizeof *steps; n++) {
        tn_sampling_plan plan = { .count = VALUES, .steps = steps[n], .seed = n };
        assert_true(tn_diffusion_sample(&plan, predict_known, known, x, scratch));
        for (size_t i = 0; i < VALUES; i++)
            assert_true(fabs((double)x[i] - (double)known[i]) <= 160 * 8 * FLT_EPSILON);
        plan.lowest = lowest;
        plan.highest = highest;
        assert_true(tn_diffusion_sample(&plan, predict_known, known, x, scratch));
        for (size_t i = 0; i < VALUES; i++)
            assert_true(fabs((double)x[i] - fmin(fmax((double)known[i], -1), 1)) <= 160 * 8 * FLT_EPSILON);
        assert_true(steps[n] == 1 || !tn_diffusion_sample(&plan, fail_at_half, known, x, scratch));
    }
}

/* The best prediction for values of a normal distribution with this mean and deviation: E[eps | x_t]. */
static const double centre = 0.7, spread = 0.4;

static bool predict_normal(void *user, const tn_real *x, size_t t, tn_real *eps)
{
    double left = schedule.left[t], of_noise = user != NULL ? *(const double *)user : 1;
    for (size_t i = 0; i < VALUES; i++)
        eps[i] = (tn_real)(of_noise * sqrt(1 - left) * ((double)x[i] - sqrt(left) * centre) / (left * spread * spread + 1 - left));
    return true;
}

static void sample_normal(double of_noise, size_t steps, double *mean, double *deviation)
{
    enum { SEEDS = 100 };
    tn_real x[VALUES], scratch[VALUES];
    double sum = 0, square = 0;
    for (size_t seed = 0; seed < SEEDS; seed++) {
        const tn_sampling_plan plan = { .count = VALUES, .steps = steps, .seed = seed };
        assert_true(tn_diffusion_sample(&plan, predict_normal, &of_noise, x, scratch));
        for (size_t i = 0; i < VALUES; i++) {
            sum += (double)x[i] / (SEEDS * VALUES);
            square += (double)x[i] * (double)x[i] / (SEEDS * VALUES);
        }
    }
    *mean = sum;
    *deviation = sqrt(square - sum * sum);
}

/* DDIM turns noise into that distribution: exactly in the limit of many steps, within 8 % with 50. A wrong prediction does not. */
static void a_known_distribution_is_sampled(void **state)
{
    (void)state;
    double mean, deviation;
    sample_normal(1, 1000, &mean, &deviation);
    assert_true(fabs(mean - centre) < 0.01 && fabs(deviation / spread - 1) < 0.02);
    sample_normal(1, 50, &mean, &deviation);
    assert_true(fabs(mean - centre) < 0.02 && fabs(deviation / spread - 1) < 0.08);
    sample_normal(0.9, 50, &mean, &deviation);
    assert_false(fabs(mean - centre) < 0.02 && fabs(deviation / spread - 1) < 0.08);
}

/* --------------------------------------------------------------- network -- */

typedef struct lab {
    tn_ops ops;
    tn_arena arena;
    denoiser_module *module;
    tn_denoiser d;
    tn_real *matrices, *grads;
    size_t used;
} lab;

static tenebra_code fill(void *user, const tn_place *place, tenebra_error *error)
{
    lab *l = user;
    size_t count = place->rows * place->cols;
    (void)error;
    tn_real *values = l->matrices + l->used, *grad = l->grads + l->used;
    tn_rng rng = tn_rng_seed(l->used);
    l->used += count;
    for (size_t i = 0; i < count; i++)
        values[i] = tn_place_is_matrix(place) ? (tn_real)(tn_rng_normal(&rng) / sqrt((double)place->cols)) : place->row->role == TN_ROLE_SCALE;
    if (tn_place_is_matrix(place))
        *(tn_weight *)place->slot = (tn_weight){ { TN_F32, place->rows, place->cols, values, TN_ROWS }, grad, NULL };
    else
        *(tn_vector *)place->slot = (tn_vector){ count, values, grad };
    return TENEBRA_OK;
}

static void open_lab(lab *l, const tn_denoiser_options *options, size_t threads)
{
    enum { MOST = 1 << 18 };
    memset(l, 0, sizeof *l);
    assert_int_equal(tn_arena_open(&l->arena, (size_t)256 << 20, NULL), TENEBRA_OK);
    l->ops.arena = &l->arena;
    assert_int_equal(tn_kernels_choose(NULL, &l->ops.kernels, NULL), TENEBRA_OK);
    assert_int_equal(tn_pool_open(threads, &l->ops.pool, NULL), TENEBRA_OK);
    l->matrices = calloc(MOST, sizeof *l->matrices);
    l->grads = calloc(MOST, sizeof *l->grads);
    l->module = denoiser_open(options, HIDDEN);
    assert_true(l->matrices != NULL && l->grads != NULL && l->module != NULL);
    assert_int_equal(tn_network_each(&l->module->network, fill, l, NULL), TENEBRA_OK);
    assert_true(l->used <= MOST);
    l->d = denoiser_of(l->module);
    tn_denoiser_start(&l->d);
}

static void close_lab(lab *l)
{
    denoiser_close(l->module);
    free(l->matrices);
    free(l->grads);
    tn_pool_close(l->ops.pool);
    tn_arena_close(&l->arena);
}

static void works(const lab *l) { assert_string_equal(l->ops.failure.sentence, ""); }

/* A target of normal values, and thoughts from a seed. */
static tn_denoiser_case draw_case(lab *l, size_t rows, size_t columns, size_t thoughts, uint64_t seed)
{
    tn_rng rng = tn_rng_seed(seed);
    tn_denoiser_target target = { rows, columns, NULL };
    size_t count = tn_denoiser_count(&l->d, &target);
    tn_row_ref *refs = tn_ops_take(&l->ops, "refs", thoughts, sizeof *refs);
    tn_real *values = target.values = tn_ops_take(&l->ops, "target", count, sizeof *values);
    tn_tensor all = tn_op_constant(&l->ops, thoughts, HIDDEN, NULL);
    assert_true(refs != NULL && values != NULL && !tn_tensor_is_empty(all));
    for (size_t i = 0; i < count; i++)
        values[i] = (tn_real)tn_rng_normal(&rng);
    for (size_t i = 0; i < thoughts * HIDDEN; i++)
        all.data[i] = (tn_real)tn_rng_normal(&rng);
    for (size_t i = 0; i < thoughts; i++)
        refs[i] = (tn_row_ref){ all, i };
    return (tn_denoiser_case){ refs, thoughts, target, seed };
}

static double loss_of(lab *l, const tn_denoiser_case *cases, size_t count)
{
    tn_real value = (tn_real)NAN;
    assert_true(tn_op_read(&l->ops, tn_denoiser_loss(&l->ops, &l->d, cases, count, 1), &value));
    works(l);
    return (double)value;
}

/* T8: a new network predicts nothing, so the loss is the variance of the noise, or of the target. One that predicts something else is
 * not at 1. */
static void a_new_network_has_a_loss_of_one(void **state)
{
    enum { CASES = 200, COUNT = 8 * 8 * 12 };
    for (int regression = 0; regression < 2; regression++) {
        lab l;
        (void)state;
        open_lab(&l, &(tn_denoiser_options){ .regression = regression, .layers = 2, .side = 16 }, 1);
        double sum = 0;
        for (size_t i = 0; i < CASES; i++) {
            size_t mark = tn_ops_mark(&l.ops);
            tn_denoiser_case one = draw_case(&l, 8, 8, 3, i);
            sum += loss_of(&l, &one, 1) / CASES;
            tn_ops_release(&l.ops, mark);
        }
        assert_true(fabs(sum - 1) < 6 * sqrt(2.0 / (CASES * COUNT)));
        tn_vector_fill(&l.module->denoiser.frame->out_bias, 0.1);
        tn_denoiser_case one = draw_case(&l, 8, 8, 3, 3);
        double more = loss_of(&l, &one, 1);
        tn_vector_fill(&l.module->denoiser.frame->out_bias, 0);
        assert_true(fabs(more - loss_of(&l, &one, 1) - 0.01) < 0.01);
        close_lab(&l);
    }
}

/* Something that is not zero in the last layer. */
static void wake(lab *l)
{
    const tn_matrix *out = &l->module->denoiser.frame->out.matrix;
    tn_rng rng = tn_rng_seed(9);
    for (size_t i = 0; i < out->rows * out->cols; i++)
        ((tn_real *)(uintptr_t)out->data)[i] = (tn_real)(0.3 * tn_rng_normal(&rng));
}

/* The draws depend on the seed alone: not on the batch, its order, or threads. */
static void draws_depend_on_the_seed_alone(void **state)
{
    (void)state;
    enum { CASES = 3 };
    double alone[2][CASES], both[2], other = 0;
    for (size_t threads = 1; threads <= 2; threads++) {
        lab l;
        open_lab(&l, &(tn_denoiser_options){ .layers = 2, .side = 16 }, 3 * threads - 2);
        wake(&l);
        tn_denoiser_case cases[CASES], turned[CASES];
        for (size_t i = 0; i < CASES; i++) {
            cases[i] = draw_case(&l, 8, 8, 1 + i, 40 + i);
            alone[threads - 1][i] = loss_of(&l, &cases[i], 1);
            turned[CASES - 1 - i] = cases[i];
        }
        both[threads - 1] = loss_of(&l, cases, CASES);
        double sum = alone[threads - 1][0] + alone[threads - 1][1] + alone[threads - 1][2];
        assert_true(fabs(both[threads - 1] - sum) < 1e-5);
        assert_true(fabs(loss_of(&l, turned, CASES) - sum) < 1e-5);
        cases[0].seed++;
        other = loss_of(&l, cases, 1);
        close_lab(&l);
    }
    assert_memory_equal(alone[0], alone[1], sizeof alone[0]);
    assert_memory_equal(&both[0], &both[1], sizeof both[0]);
    assert_true(other != alone[0][0]);
}

/* A sample depends on seed and thoughts, and has the same bits again. A regression does not depend on the seed. */
static void samples_are_repeatable(void **state)
{
    (void)state;
    enum { COUNT = 8 * 8 * 12 };
    for (int regression = 0; regression < 2; regression++) {
        lab l;
        tn_real values[4][COUNT];
        static const uint64_t seeds[4] = { 1, 1, 2, 1 };
        open_lab(&l, &(tn_denoiser_options){ .regression = regression, .layers = 2, .side = 16 }, 2);
        wake(&l);
        for (size_t i = 0; i < 4; i++) {
            tn_denoiser_case one = draw_case(&l, 8, 8, 2, i == 3 ? 6 : 5);
            assert_true(tn_denoiser_sample(&l.ops, &l.d, one.thoughts, one.thought_count, 10, seeds[i], &one.target));
            works(&l);
            memcpy(values[i], one.target.values, sizeof values[i]);
        }
        assert_memory_equal(values[0], values[1], sizeof values[0]);
        assert_true((memcmp(values[0], values[2], sizeof values[0]) == 0) == regression);
        assert_memory_not_equal(values[0], values[3], sizeof values[0]);
        close_lab(&l);
    }
}

/* --------------------------------------------------------------- targets -- */

static void pictures_are_cut_and_put_together(void **state)
{
    (void)state;
    static const size_t sides[] = { 16, 32 };
    for (size_t n = 0; n < 2; n++) {
        lab l;
        size_t side = sides[n], bytes = side * side * 3;
        unsigned char *small = malloc(bytes), *drawn = malloc(bytes);
        open_lab(&l, &(tn_denoiser_options){ .layers = 2, .side = side }, 1);
        for (size_t i = 0; i < bytes; i++)
            small[i] = (unsigned char)(i * 37 % 251);
        const tn_denoiser_source source = { .small = small };
        tn_denoiser_target target = tn_denoiser_target_of(&l.ops, &l.d, &source);
        works(&l);
        assert_int_equal(target.rows * target.columns, 64);
        assert_int_equal(tn_denoiser_count(&l.d, &target), bytes);
        /* Value 0 of a cell is the red of its upper left pixel. */
        size_t piece = side / 8, width = piece * piece * 3;
        assert_true(fabs(255 * (double)target.values[(2 * 8 + 3) * width] - small[(2 * piece * side + 3 * piece) * 3]) < 1e-4);
        tn_denoiser_draw(&l.d, &target, drawn);
        assert_memory_equal(drawn, small, bytes);

        tn_denoiser_sums sums;
        assert_int_equal(tn_denoiser_sums_open(&sums, &l.d, NULL), TENEBRA_OK);
        assert_false(tn_denoiser_is_measured(&l.d));
        tn_denoiser_sums_set(&sums, &l.d);
        assert_false(tn_denoiser_is_measured(&l.d)); /* of nothing */
        tn_denoiser_sums_add(&sums, &l.d, &target);
        tn_denoiser_sums_set(&sums, &l.d);
        assert_true(tn_denoiser_is_measured(&l.d));
        tn_denoiser_normalise(&l.d, &target);
        double sum[3] = { 0 }, square[3] = { 0 };
        for (size_t i = 0; i < bytes; i++) {
            sum[i % 3] += (double)target.values[i] / (double)(bytes / 3);
            square[i % 3] += (double)target.values[i] * (double)target.values[i] / (double)(bytes / 3);
        }
        for (size_t c = 0; c < 3; c++)
            assert_true(fabs(sum[c]) < 1e-5 && fabs(square[c] - 1) < 1e-4);
        memset(drawn, 0, bytes);
        tn_denoiser_draw(&l.d, &target, drawn);
        assert_memory_equal(drawn, small, bytes);
        tn_denoiser_sums_close(&sums);
        close_lab(&l);
        free(small);
        free(drawn);
    }
}

static void embeddings_are_pooled(void **state)
{
    (void)state;
    static const size_t sizes[][4] = { { 8, 8, 4, 4 }, { 5, 9, 4, 4 }, { 2, 6, 2, 4 }, { 1, 1, 1, 1 } };
    for (size_t n = 0; n < sizeof sizes / sizeof *sizes; n++) {
        lab l;
        size_t rows = sizes[n][0], columns = sizes[n][1];
        open_lab(&l, &(tn_denoiser_options){ .layers = 2, .grid = 4 }, 1);
        tn_image_rows picture = { .rows = rows * columns, .frames = 1, .grid_rows = rows, .grid_columns = columns };
        picture.embeds = tn_op_constant(&l.ops, picture.rows, HIDDEN, NULL);
        for (size_t i = 0; i < picture.rows * HIDDEN; i++)
            picture.embeds.data[i] = (tn_real)(100 * (i / HIDDEN / columns) + i / HIDDEN % columns) + (tn_real)(i % HIDDEN) / 64;
        tn_denoiser_target target = tn_denoiser_target_of(&l.ops, &l.d, &(tn_denoiser_source){ .picture = &picture });
        works(&l);
        assert_int_equal(target.rows, sizes[n][2]);
        assert_int_equal(target.columns, sizes[n][3]);
        if (rows == 8) /* means of 2 x 2: rows and columns 2, 3 and 4, 5 */
            assert_true(fabs((double)target.values[(1 * 4 + 2) * HIDDEN + 3] - (250 + 4.5 + 3.0 / 64)) < 1e-3);
        if (rows == 2) /* rows as they are; columns 1.5 .. 3 touch 1 and 2 */
            assert_true(fabs((double)target.values[(1 * 4 + 1) * HIDDEN] - (100 + 1.5)) < 1e-3);
        close_lab(&l);
    }
    lab l;
    open_lab(&l, &(tn_denoiser_options){ .layers = 2, .grid = 4 }, 1);
    assert_null(tn_denoiser_target_of(&l.ops, &l.d, &(tn_denoiser_source){ 0 }).values);
    /* An image of tokens: their embeddings. */
    tn_real table[3 * HIDDEN] = { 0 };
    for (size_t i = 0; i < 3 * HIDDEN; i++)
        table[i] = (tn_real)i;
    static const int32_t ids[4] = { 2, 0, 1, 2 };
    const tn_weight embed = { { TN_F32, 3, HIDDEN, table, TN_ROWS }, NULL, NULL };
    const tn_image_rows picture = { .rows = 4, .frames = 1, .grid_rows = 2, .grid_columns = 2, .ids = ids };
    tn_denoiser_target target = tn_denoiser_target_of(&l.ops, &l.d, &(tn_denoiser_source){ .picture = &picture, .embed = &embed });
    works(&l);
    for (size_t i = 0; i < 4; i++)
        assert_memory_equal(target.values + i * HIDDEN, table + (size_t)ids[i] * HIDDEN, HIDDEN * sizeof *table);
    close_lab(&l);
}

/* A channel that never varies is not divided by 0, and damaged statistics count as none. */
static void even_channels_are_not_divided_by_zero(void **state)
{
    (void)state;
    lab l;
    unsigned char small[16 * 16 * 3];
    open_lab(&l, &(tn_denoiser_options){ .layers = 2, .side = 16 }, 1);
    memset(small, 100, sizeof small);
    tn_denoiser_target target = tn_denoiser_target_of(&l.ops, &l.d, &(tn_denoiser_source){ .small = small });
    tn_denoiser_sums sums;
    assert_int_equal(tn_denoiser_sums_open(&sums, &l.d, NULL), TENEBRA_OK);
    tn_denoiser_sums_add(&sums, &l.d, &target);
    tn_denoiser_sums_set(&sums, &l.d);
    tn_denoiser_sums_close(&sums);
    tn_denoiser_normalise(&l.d, &target);
    for (size_t i = 0; i < sizeof small; i++)
        assert_true(fabs((double)target.values[i]) < 1e-5);
    l.module->denoiser.frame->deviation.data[1] = (tn_real)NAN;
    assert_false(tn_denoiser_is_measured(&l.d));
    l.module->denoiser.frame->deviation.data[1] = -1;
    assert_false(tn_denoiser_is_measured(&l.d));
    close_lab(&l);
}

static void sizes_of_files_are_checked(void **state)
{
    (void)state;
    static const tn_denoiser_options sound[] = { { .layers = 2, .side = 16 }, { .layers = 4, .side = 32, .regression = true },
                                                 { .layers = 3, .grid = 8 }, { .layers = 2, .grid = 4, .width = 10 } };
    static const size_t bad[] = { 0, 1, 2, 3, 7, 1 << 20 };
    size_t sizes[TN_DENOISER_SIZES] = { 0 };
    tenebra_error error;
    assert_int_equal(tn_denoiser_check(sizes, HIDDEN, "module.json", &error), TENEBRA_OK); /* none */
    for (size_t n = 0; n < sizeof sound / sizeof *sound; n++) {
        memset(sizes, 0, sizeof sizes);
        tn_denoiser_shape(&sound[n], HIDDEN, sizes);
        assert_int_equal(tn_denoiser_check(sizes, HIDDEN, "module.json", &error), TENEBRA_OK);
        for (size_t i = 0; i < TN_DENOISER_SIZES; i++)
            for (size_t k = 0; k < sizeof bad / sizeof *bad; k++) {
                size_t kept = sizes[i];
                sizes[i] = bad[k];
                /* Only these may differ: the network that they describe is another, but it exists. */
                bool fits = bad[k] == kept || (i == TN_DENOISER_NOISED && bad[k] <= 1) ||
                            (i == TN_DENOISER_LAYERS && bad[k] >= 1 && bad[k] <= 64) || (i == TN_DENOISER_INNER && bad[k] > 0) ||
                            (i == TN_DENOISER_HEADS && bad[k] > 0 && sizes[TN_DENOISER_WIDTH] % bad[k] == 0) ||
                            (i == TN_DENOISER_WIDTH && bad[k] > 0 && bad[k] % 2 == 0 && bad[k] % sizes[TN_DENOISER_HEADS] == 0) ||
                            (i == TN_DENOISER_GRID && sizes[TN_DENOISER_SIDE] == 0 && bad[k] > 0 && bad[k] <= 64);
                tenebra_code code = tn_denoiser_check(sizes, HIDDEN, "module.json", &error);
                assert_int_equal(code, fits ? TENEBRA_OK : TENEBRA_ERROR_FORMAT);
                sizes[i] = kept;
            }
        assert_int_equal(tn_denoiser_check(sizes, HIDDEN + 1, "module.json", &error), sound[n].side > 0 ? TENEBRA_OK : TENEBRA_ERROR_FORMAT);
    }
}

/* -------------------------------------------------------------- training -- */

/* Plain gradient descent on four images, each with thoughts of its own. Afterwards a reconstruction from an image's own thoughts is nearer
 * to it than one from those of the next image; before, it is not. */
static double distance_of(lab *l, const tn_denoiser_case *images, size_t count, size_t shift)
{
    double sum = 0;
    for (size_t i = 0; i < count; i++) {
        size_t mark = tn_ops_mark(&l->ops), values = tn_denoiser_count(&l->d, &images[i].target);
        tn_denoiser_target made = images[i].target;
        made.values = tn_ops_take(&l->ops, "made", values, sizeof(tn_real));
        const tn_denoiser_case *from = &images[(i + shift) % count];
        assert_true(tn_denoiser_sample(&l->ops, &l->d, from->thoughts, from->thought_count, 20, i, &made));
        for (size_t k = 0; k < values; k++)
            sum += pow((double)made.values[k] - (double)images[i].target.values[k], 2) / (double)(values * count);
        tn_ops_release(&l->ops, mark);
    }
    return sum;
}

/* The loss with fixed draws. */
static double noise_of(lab *l, const tn_denoiser_case *images, size_t count, size_t shift)
{
    enum { DRAWS = 40 };
    double sum = 0;
    for (size_t i = 0; i < count * DRAWS; i++) {
        size_t mark = tn_ops_mark(&l->ops);
        tn_denoiser_case one = images[i % count];
        const tn_denoiser_case *from = &images[(i + shift) % count];
        one.thoughts = from->thoughts;
        one.thought_count = from->thought_count;
        one.seed = i / count;
        sum += loss_of(l, &one, 1) / (double)(count * DRAWS);
        tn_ops_release(&l->ops, mark);
    }
    return sum;
}

static void training_binds_images_to_thoughts(void **state)
{
    (void)state;
    enum { IMAGES = 4 };
    for (int regression = 0; regression < 2; regression++) {
        const size_t updates = regression ? 150 : 1000;
        lab l;
        open_lab(&l, &(tn_denoiser_options){ .regression = regression, .layers = 2, .width = 64, .grid = 4 }, 1);
        tn_denoiser_case images[IMAGES], batch[2 * IMAGES];
        double *moments = calloc(2 * l.used, sizeof *moments);
        for (size_t i = 0; i < IMAGES; i++)
            images[i] = draw_case(&l, 2, 2, 2, 60 + i);
        for (size_t i = 0; i < 2 * IMAGES; i++)
            batch[i] = images[i % IMAGES];
        assert_false(distance_of(&l, images, IMAGES, 0) < 0.6 * distance_of(&l, images, IMAGES, 1));
        for (size_t update = 1; update <= updates; update++) {
            size_t mark = tn_ops_mark(&l.ops);
            for (size_t i = 0; i < 2 * IMAGES; i++)
                batch[i].seed = tn_seed_mix(1, update, i);
            memset(l.grads, 0, l.used * sizeof *l.grads);
            tn_tape_start(&l.ops);
            tn_tape_backward(&l.ops, tn_denoiser_loss(&l.ops, &l.d, batch, 2 * IMAGES, 0.5 / IMAGES));
            works(&l);
            double rate = 2e-3 * (1 - (double)update / (double)(updates + 1));
            for (size_t i = 0; i < l.used; i++) { /* Adam, arXiv:1412.6980, without its correction of the first updates */
                double grad = (double)l.grads[i];
                moments[i] += 0.1 * (grad - moments[i]);
                moments[l.used + i] += 0.01 * (grad * grad - moments[l.used + i]);
                l.matrices[i] -= (tn_real)(rate * moments[i] / (sqrt(moments[l.used + i]) + 1e-8));
            }
            tn_arena_release(&l.arena, mark);
        }
        double own = distance_of(&l, images, IMAGES, 0), others = distance_of(&l, images, IMAGES, 1);
        if (!(own < 0.5 * others))
            print_error("regression %d: %g from its own thoughts, %g from others\n", regression, own, others);
        assert_true(own < 0.5 * others);
        assert_true(noise_of(&l, images, IMAGES, 0) < 0.5 * noise_of(&l, images, IMAGES, 1));
        /* Mean and deviation got no gradient. */
        assert_false(tn_denoiser_is_measured(&l.d));
        free(moments);
        close_lab(&l);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(schedule_ends_in_noise),
        cmocka_unit_test(noise_keeps_the_variance),
        cmocka_unit_test(a_known_target_is_sampled),
        cmocka_unit_test(a_known_distribution_is_sampled),
        cmocka_unit_test(a_new_network_has_a_loss_of_one),
        cmocka_unit_test(draws_depend_on_the_seed_alone),
        cmocka_unit_test(samples_are_repeatable),
        cmocka_unit_test(pictures_are_cut_and_put_together),
        cmocka_unit_test(embeddings_are_pooled),
        cmocka_unit_test(even_channels_are_not_divided_by_zero),
        cmocka_unit_test(sizes_of_files_are_checked),
        cmocka_unit_test(training_binds_images_to_thoughts),
    };
    return cmocka_run_group_tests(tests, fill_schedule, NULL);
}
