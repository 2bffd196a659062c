/* Training with picks that are read from a larger image: examples count their rows, picks are those of answering, gradients are those
 * of the loss, a batch is the sum of its examples. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "model/parameters.h"
#include "reason/training.h"
#include "unit/reason/tiny.h"

enum { EXAMPLES = 2, STEPS = 3, PICKS = 4, RATIO = 4 };

/* A model whose weights may change, a training with both examples, and what its latent steps picked. */
typedef struct course {
    tn_model *model;
    tn_parameters *parameters;
    tn_training *training;
    tn_train_example examples[EXAMPLES];
    const tn_train_example *pointers[EXAMPLES];
    size_t count, labels, picked[EXAMPLES][STEPS][PICKS];
} course;

static const char *const words[] = { "the cat sits left", "it looks at a ball", "the ball is green" };
static const tenebra_setting plain[] = { { "n-latent", "3" }, { "k-select", "4" } },
                             larger[] = { { "n-latent", "3" }, { "k-select", "4" }, { "look-size", "224x224" } },
                             same[] = { { "n-latent", "3" }, { "k-select", "4" }, { "look-size", "112x112" } };

static void note_picks(void *user, size_t example, size_t step, const size_t *picks, size_t count)
{
    course *c = user;
    assert_true(count == PICKS && step < STEPS);
    memcpy(c->picked[example][step], picks, sizeof c->picked[example][step]);
}

static void add_example(course *c, const char *picture, const char *text, size_t latents)
{
    tenebra_error error = { 0 };
    tenebra_part parts[2] = { { .kind = TENEBRA_PART_IMAGE_FILE, .text = picture }, { .kind = TENEBRA_PART_TEXT, .text = text } };
    tenebra_message message = { "user", parts, 2 };
    tn_train_example_source source = { .messages = &message, .message_count = 1, .steps = words, .step_count = 3,
                                       .answer = "Therefore, the answer is B", .latents = latents, .skip = latents };
    if (tn_training_prepare(c->training, &source, &c->examples[c->count], &error) != TENEBRA_OK)
        fail_msg("%s: %s", error.where, error.sentence);
    c->pointers[c->count] = &c->examples[c->count];
    c->labels += c->examples[c->count++].label_count;
}

/* `size`: one of the settings above. */
static void open_course(course *c, const tiny *here, const tenebra_setting *size, bool through, bool checkpoint)
{
    tenebra_error error = { 0 };
    memset(c, 0, sizeof *c);
    const tn_training_options options = { .method = "ivt-lr", .settings = size, .setting_count = size == plain ? 2 : 3, .threads = 1,
                                          .through_hidden = true, .through_picks = through, .checkpoint = checkpoint,
                                          .image.width = 112, .image.height = 112, .on_picks = note_picks, .user = c };
    c->model = tiny_open_model(here, "reference");
    if (tn_training_open(c->model, &options, &c->training, &error) != TENEBRA_OK)
        fail_msg("%s: %s", error.where, error.sentence);
    assert_int_equal(tn_parameters_open(&c->parameters, NULL), TENEBRA_OK);
    assert_int_equal(tn_parameters_add_weights(c->parameters, c->model, NULL, NULL), TENEBRA_OK);
    add_example(c, PICTURE, "What is left of the ball?", 3);
    add_example(c, OTHER_PICTURE, "Which one is green?", 2);
}

static void close_course(course *c)
{
    for (size_t i = 0; i < c->count; i++)
        tn_train_example_free(&c->examples[i]);
    tn_training_close(c->training);
    tn_parameters_close(c->parameters);
    tn_model_close(c->model);
}

static tn_training_result learn(course *c, size_t first, size_t count)
{
    tenebra_error error = { 0 };
    tn_training_result result;
    if (tn_training_learn(c->training, c->pointers + first, count, 1 / (double)c->labels, &result, &error) != TENEBRA_OK)
        fail_msg("%s: %s", error.where, error.sentence);
    return result;
}

static double measure(course *c)
{
    tn_training_result result;
    assert_int_equal(tn_training_measure(c->training, c->pointers, c->count, &result, NULL), TENEBRA_OK);
    return result.loss / (double)c->labels;
}

/* All gradients one after another; the caller frees them. */
static tn_real *gradients(const course *c)
{
    tn_real *all = malloc(c->parameters->elements * sizeof *all);
    assert_non_null(all);
    for (size_t i = 0, at = 0; i < c->parameters->count; at += c->parameters->items[i++].count)
        memcpy(all + at, c->parameters->items[i].grad, c->parameters->items[i].count * sizeof *all);
    return all;
}

/* |a - b| / |b| */
static double distance(const tn_real *a, const tn_real *b, size_t count)
{
    double difference = 0, whole = 0;
    for (size_t i = 0; i < count; i++) {
        difference += ((double)a[i] - (double)b[i]) * ((double)a[i] - (double)b[i]);
        whole += (double)b[i] * (double)b[i];
    }
    return sqrt(difference / whole);
}

/* ------------------------------------------------------------- examples -- */

static void examples_count_their_rows(void **state)
{
    course with, without;
    open_course(&with, *state, larger, true, false);
    open_course(&without, *state, plain, true, false);
    for (size_t i = 0; i < EXAMPLES; i++) {
        const tn_train_example *a = &with.examples[i], *b = &without.examples[i];
        assert_int_equal(a->count, b->count);
        assert_int_equal(a->rows, b->rows + a->latent_steps * PICKS * (RATIO - 1));
        assert_int_equal(a->picture_count, 1);
        assert_int_equal(a->look_count, 1);
        assert_int_equal(b->look_count, 0);
        assert_int_equal(tn_train_example_prepared(a, 0), tn_train_example_prepared(b, 0));
        assert_int_equal(tn_train_example_prepared(a, 1), RATIO * tn_train_example_prepared(b, 0));
        assert_int_equal(tn_train_example_prepared(b, 1), 0);
    }
    tn_training_result result = learn(&with, 0, EXAMPLES), other = learn(&without, 0, EXAMPLES);
    assert_int_equal(result.rows, other.rows + (3 + 2) * PICKS * (RATIO - 1));
    assert_int_equal(result.rows, with.examples[0].rows + with.examples[1].rows);
    assert_int_equal(result.prepared, (1 + RATIO) * other.prepared);
    assert_true(tn_training_cost(with.training, with.pointers, EXAMPLES) > tn_training_cost(without.training, without.pointers, EXAMPLES));
    close_course(&with);
    close_course(&without);
}

/* Before the first latent step replaces anything, there is nothing to look at. */
static void no_steps_no_look(void **state)
{
    course c;
    open_course(&c, *state, larger, true, false);
    for (size_t i = 0; i < EXAMPLES; i++)
        tn_train_example_free(&c.examples[i]);
    c.count = 0;
    add_example(&c, PICTURE, "What is left of the ball?", 0);
    assert_int_equal(c.examples[0].look_count, 0);
    assert_int_equal(tn_train_example_prepared(&c.examples[0], 1), 0);
    learn(&c, 0, 1);
    close_course(&c);
}

/* Training picks what answering picks, whose later steps depend on what the earlier ones read. */
static void picks_are_those_of_answering(void **state)
{
    const tiny *here = *state;
    question q;
    course c;
    open_course(&c, here, larger, true, false);
    measure(&c);
    ask_about(&q, "ivt-lr", PICTURE, NULL, "What is left of the ball?");
    for (size_t i = 0; i < 3; i++)
        ask_set(&q, larger[i].name, larger[i].value);
    run *made = run_question(here->model, &q);
    for (size_t s = 0; s < STEPS; s++)
        for (size_t p = 0; p < PICKS; p++)
            assert_int_equal(c.picked[0][s][p], made->trace->steps[s].picks[p].index);
    run_free(made);
    close_course(&c);
}

/* ------------------------------------------------------------ gradients -- */

static void move(course *c, const tn_real *direction, double by)
{
    for (size_t i = 0, at = 0; i < c->parameters->count; i++)
        for (size_t k = 0; k < c->parameters->items[i].count; k++)
            c->parameters->items[i].values[k] += (tn_real)(by * (double)direction[at++]);
}

/* The derivative of the loss along its gradient, relative to the squared norm: 1 if the gradient is that of the loss. The step is
 * that of unit/reason/training.c. */
static double slope(const tiny *here, const tenebra_setting *size, bool through)
{
    course c;
    open_course(&c, here, size, through, false);
    learn(&c, 0, EXAMPLES);
    tn_real *gradient = gradients(&c);
    double square = 0;
    for (size_t i = 0; i < c.parameters->elements; i++)
        square += (double)gradient[i] * (double)gradient[i];
    double step = 5e-4 / square;
    move(&c, gradient, step);
    double above = measure(&c);
    size_t picked[EXAMPLES][STEPS][PICKS];
    memcpy(picked, c.picked, sizeof picked);
    move(&c, gradient, -2 * step);
    double below = measure(&c);
    assert_memory_equal(picked, c.picked, sizeof picked);
    free(gradient);
    close_course(&c);
    return (above - below) / (2 * step * square);
}

#define SLOPE_BOUND 5e-3

static void gradient_is_that_of_the_loss(void **state)
{
    assert_true(within(slope(*state, larger, true), 1, SLOPE_BOUND));
    assert_false(within(slope(*state, larger, false), 1, SLOPE_BOUND)); /* control: the path through the picks is cut */
}

/* With a larger image only picks reach the tower at that size; the tower's gradient changes, and more so than by rounding. */
static void size_of_the_prompt_changes_nothing(void **state)
{
    double losses[3];
    tn_real *found[3];
    static const tenebra_setting *const sizes[] = { plain, same, larger };
    size_t count = 0;
    for (int through = 0; through < 2; through++) {
        for (size_t i = 0; i < 3; i++) {
            course c;
            open_course(&c, *state, sizes[i], through, false);
            losses[i] = learn(&c, 0, EXAMPLES).loss;
            found[i] = gradients(&c);
            count = c.parameters->elements;
            close_course(&c);
        }
        assert_true(same_number(losses[0], losses[1]));
        assert_true(distance(found[1], found[0], count) <= 1e-5); /* gradients of weights are sums in another order */
        assert_false(within(losses[2], losses[0], 1e-3));
        assert_false(distance(found[2], found[0], count) <= 1e-2);
        for (size_t i = 0; i < 3; i++)
            free(found[i]);
    }
}

/* As in unit/reason/training.c, with and without gradient checkpointing. */
static void a_batch_is_the_sum_of_its_examples(void **state)
{
    for (int checkpoint = 0; checkpoint < 2; checkpoint++) {
        course c;
        open_course(&c, *state, larger, true, checkpoint);
        double together = learn(&c, 0, EXAMPLES).loss, alone = 0;
        tn_real *all = gradients(&c);
        tn_parameters_clear(c.parameters);
        for (size_t i = 0; i < EXAMPLES; i++)
            alone += learn(&c, i, 1).loss;
        tn_real *sum = gradients(&c);
        assert_true(within(together, alone, 1e-6 * alone));
        assert_true(distance(all, sum, c.parameters->elements) <= 1e-5);
        learn(&c, 0, 1); /* control: one example has another weight */
        tn_real *wrong = gradients(&c);
        assert_false(distance(all, wrong, c.parameters->elements) <= 1e-5);
        free(all);
        free(sum);
        free(wrong);
        close_course(&c);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(examples_count_their_rows),          cmocka_unit_test(no_steps_no_look),
        cmocka_unit_test(picks_are_those_of_answering),       cmocka_unit_test(gradient_is_that_of_the_loss),
        cmocka_unit_test(size_of_the_prompt_changes_nothing), cmocka_unit_test(a_batch_is_the_sum_of_its_examples),
    };
    return cmocka_run_group_tests(tests, tiny_set_up, tiny_tear_down);
}
