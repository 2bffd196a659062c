/* The contrastive loss of a method in updates of several batches: the gradients are those of one batch, with dropout, because what the other
 * batches show is collected first. And what its examples are. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "model/parameters.h"
#include "reason/modules.h"
#include "reason/training_parts.h"
#include "unit/reason/tiny.h"

enum { EXAMPLES = 8, RANK = 2 };

/* Batches only change the order in which gradients add up: f32 sums of some hundred rows, of which 1e-5 of the norm is 100 roundings. */
static const double ROUNDING = 1e-5;

typedef struct course {
    tn_model *model;
    tn_adapter *adapter;
    tn_parameters *parameters;
    tn_training *training;
    tn_train_example examples[EXAMPLES];
    const tn_train_example *pointers[EXAMPLES];
} course;

static const char *const steps[] = { "the cat sits left", "it looks at a ball" };

/* Questions about two images, two of them alike; the seventh has no image, and the fourth has a rationale. */
static void add_examples(course *c)
{
    static const char *const texts[EXAMPLES] = { "What is left of the ball?", "Which one is green?", "Why?", "Who looks at the ball?",
                                                 "Where?", "What is two and two?", "Is it so, or is it not so?", "Where?" };
    for (size_t i = 0; i < EXAMPLES; i++) {
        tenebra_error error = { 0 };
        tenebra_part parts[2] = { { .kind = TENEBRA_PART_IMAGE_FILE, .text = i % 3 ? PICTURE : OTHER_PICTURE },
                                  { .kind = TENEBRA_PART_TEXT, .text = texts[i] } };
        bool blind = i == 6;
        const tenebra_message message = { "user", parts + blind, 2 - blind };
        const tn_train_example_source source = { .messages = &message, .message_count = 1, .answer = i % 2 ? "The answer is B" : "A",
                                                 .latents = 2, .steps = steps, .step_count = i == 3 ? 2 : 0, .skip = 2 };
        if (tn_training_prepare(c->training, &source, &c->examples[i], &error) != TENEBRA_OK)
            fail_msg("%s: %s", error.where, error.sentence);
        c->examples[i].number = 100 + i;
        c->pointers[i] = &c->examples[i];
    }
}

static void open_course(course *c, const tiny *here, const tenebra_setting *settings, size_t count)
{
    const tn_lora_options lora = { .rank = RANK, .alpha = 8, .dropout = 0.3, .targets = { .pattern = "all-linear" } };
    const tn_training_options options = { .method = "lare", .settings = settings, .setting_count = count, .threads = 1, .seed = 4,
                                          .image.width = 112, .image.height = 112, .through_hidden = true, .through_picks = true };
    const tn_parameters_filter module = { .module_only = true, .compute = TN_F32 };
    tn_rng rng = tn_rng_seed(3);
    tenebra_error error = { 0 };
    memset(c, 0, sizeof *c);
    c->model = tiny_open_model(here, "reference");
    assert_int_equal(tn_modules_train(c->model, tn_method_find("lare"), settings, count, 2, NULL), TENEBRA_OK);
    assert_int_equal(tn_adapter_make(c->model, &lora, &rng, &c->adapter, NULL), TENEBRA_OK);
    tn_adapter_attach(c->adapter);
    for (size_t i = 0; i < c->adapter->module_count; i++)
        for (size_t k = 0; k < c->adapter->modules[i].outputs * RANK; k++)
            c->adapter->modules[i].b[k] = (tn_real)tn_rng_normal(&rng) / 4;
    assert_int_equal(tn_parameters_open(&c->parameters, NULL), TENEBRA_OK);
    assert_int_equal(tn_parameters_add_adapter(c->parameters, c->adapter, NULL), TENEBRA_OK);
    assert_int_equal(tn_parameters_add_weights(c->parameters, c->model, &module, NULL), TENEBRA_OK);
    if (tn_training_open(c->model, &options, &c->training, &error) != TENEBRA_OK)
        fail_msg("%s: %s", error.where, error.sentence);
    add_examples(c);
}

static void close_course(course *c)
{
    for (size_t i = 0; i < EXAMPLES; i++)
        tn_train_example_free(&c->examples[i]);
    tn_training_close(c->training);
    tn_parameters_close(c->parameters);
    tn_adapter_close(c->adapter);
    tn_model_close(c->model);
}

/* The gradients of one update in batches of that size, which the caller frees. */
static tn_real *update(course *c, size_t batch_size, tn_training_result *result)
{
    tenebra_error error = { 0 };
    tn_parameters_clear(c->parameters);
    if (tn_training_update(c->training, c->pointers, EXAMPLES, batch_size, result, &error) != TENEBRA_OK)
        fail_msg("%s: %s", error.where, error.sentence);
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

static const tenebra_setting usual[] = { { "lq-width", "32" }, { "k-select", "4" }, { "loss", "lm" }, { "lambda-c", "1" } };

/* ------------------------------------------------------------------ batches -- */

/* Each batch by itself: what examples of other batches show is not known. */
static const tn_method *whole_method;
static size_t apart(const tn_loss_batch *batch, tn_loss_part *parts)
{
    tn_loss_batch alone = *batch;
    alone.all += alone.first;
    alone.first = 0;
    alone.total = alone.count;
    alone.shown = (tn_tensor){ 0 };
    size_t count = whole_method->batch_losses(&alone, parts);
    for (size_t i = 0; i < count; i++)
        parts[i].whole = false;
    return count;
}

static bool compares_nothing(const void *own)
{
    (void)own;
    return false;
}

static void test_batches_are_one(void **state)
{
    course c;
    tn_training_result one, four, uneven, lone;
    open_course(&c, *state, usual, 4);
    size_t count = c.parameters->elements;
    tn_real *whole = update(&c, EXAMPLES, &one), *parts = update(&c, 2, &four), *thirds = update(&c, 3, &uneven);
    double error = distance(parts, whole, count), other = distance(thirds, whole, count);
    if (!(error <= ROUNDING) || !(other <= ROUNDING))
        fail_msg("gradients of several batches differ by %g and %g", error, other);
    assert_true(!one.collected && four.collected && uneven.collected);
    assert_true(one.part_count == 1 && four.part_count == 1);
    assert_string_equal(four.parts[0].name, "contrastive");
    assert_true(one.parts[0].value > 0.1 && within(four.parts[0].value, one.parts[0].value, ROUNDING));
    assert_true(within(four.auxiliary, one.auxiliary, ROUNDING));
    assert_true(four.labels == one.labels && within(four.loss, one.loss, ROUNDING * one.loss));
    /* The control: without collecting, another loss is trained. */
    tn_method loop = *c.training->reasoner.method;
    whole_method = c.training->reasoner.method;
    loop.batch_losses = apart;
    loop.compares = compares_nothing;
    c.training->reasoner.method = &loop;
    tn_real *each = update(&c, 2, &lone);
    assert_true(!lone.collected && distance(each, whole, count) > 100 * ROUNDING);
    c.training->reasoner.method = whole_method;
    free(whole);
    free(parts);
    free(thirds);
    free(each);
    close_course(&c);
}

/* Alone, an example has nothing to be told from. */
static void test_one_example(void **state)
{
    course c;
    tn_training_result result;
    open_course(&c, *state, usual, 4);
    assert_int_equal(tn_training_learn(c.training, c.pointers, 1, 1, &result, NULL), TENEBRA_OK);
    assert_true(result.part_count == 1 && result.parts[0].value == 0);
    for (size_t i = 0; i < c.parameters->count; i++) {
        const tn_parameter *item = &c.parameters->items[i];
        for (size_t k = 0; strstr(item->name, "contrast") != NULL && k < item->count; k++)
            assert_true(item->grad[k] == 0);
    }
    close_course(&c);
}

/* ----------------------------------------------------------------- examples -- */

static void test_marks(void **state)
{
    course c;
    open_course(&c, *state, usual, 4);
    const tn_train_example *e = c.examples;
    assert_true(tn_digest_equal(&e[1].image_mark, &e[2].image_mark) && !tn_digest_equal(&e[0].image_mark, &e[1].image_mark));
    assert_false(tn_digest_equal(&e[6].image_mark, &e[6].image_mark)); /* no image */
    assert_false(tn_digest_equal(&e[4].words_mark, &e[7].words_mark)); /* the same question, another answer */
    assert_true(tn_digest_equal(&e[7].words_mark, &e[7].words_mark));
    /* The text is the question with the answer, or the rationale alone, which is not trained. */
    for (size_t i = 3; i < 5; i++) {
        tn_text text = { 0 };
        for (size_t w = 0; w < e[i].word_count; w++)
            assert_int_equal(tn_tokenizer_decode(c.model->tokenizer, &e[i].words[w], 1, false, &text, NULL), TENEBRA_OK);
        char *whole = strndup(text.data, text.length);
        assert_non_null(whole);
        if (i == 3)
            assert_string_equal(whole, "the cat sits left\nit looks at a ball\n");
        else
            assert_true(strstr(whole, "Where?") != NULL && strcmp(strrchr(whole, '\n'), "\nA") == 0);
        free(whole);
        tn_text_free(&text);
    }
    assert_null(e[0].small);
    close_course(&c);
}

/* What the module was not made for is refused in training; weights of losses have no effect in answering. */
static void test_not_made_for(void **state)
{
    course c;
    tenebra_error error = { 0 };
    tn_training *training;
    question q;
    open_course(&c, *state, usual, 3);
    tn_training_result result;
    free(update(&c, 2, &result));
    assert_true(!result.collected && result.part_count == 0 && isnan(result.auxiliary));
    const tn_training_options options = { .method = "lare", .settings = usual, .setting_count = 4, .threads = 1 };
    assert_int_equal(tn_training_open(c.model, &options, &training, &error), TENEBRA_ERROR_ARGUMENT);
    assert_string_equal(error.where, "lambda-c");
    assert_non_null(strstr(error.sentence, "made without"));
    /* More latent steps than the module knows. */
    const tenebra_part part = { .kind = TENEBRA_PART_TEXT, .text = "Why?" };
    const tenebra_message message = { "user", &part, 1 };
    tn_train_example_source source = { .messages = &message, .message_count = 1, .answer = "A", .latents = 17 };
    tn_train_example example;
    assert_int_equal(tn_training_prepare(c.training, &source, &example, &error), TENEBRA_ERROR_ARGUMENT);
    assert_string_equal(error.where, "lq-steps");
    source.latents = 16;
    assert_int_equal(tn_training_prepare(c.training, &source, &example, &error), TENEBRA_OK);
    tn_train_example_free(&example);
    ask_about(&q, "lare", PICTURE, NULL, "What is small and green?");
    run *plain = run_question(c.model, &q);
    ask_set(&q, "lambda-c", "1");
    run *weighted = run_question(c.model, &q);
    assert_true(same_tokens(plain->trace, weighted->trace) && same_hidden(plain, weighted));
    run_free(plain);
    run_free(weighted);
    close_course(&c);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_batches_are_one),
        cmocka_unit_test(test_one_example),
        cmocka_unit_test(test_marks),
        cmocka_unit_test(test_not_made_for),
    };
    return cmocka_run_group_tests(tests, tiny_set_up, tiny_tear_down);
}
