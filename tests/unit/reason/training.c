/* Training examples: their contents, that a batch is the sum of its examples, and that gradients are those of the loss. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "model/parameters.h"
#include "reason/training.h"
#include "unit/reason/tiny.h"

enum { EXAMPLES = 5 };

/* ---------------------------------------------------------------- model and training -- */

/* A model whose weights may change, and a training. */
typedef struct course {
    tiny *here;
    tn_model *model;
    tn_parameters *parameters;
    tn_training *training;
    const char *step[2]; /* around steps */
    tn_train_example examples[EXAMPLES];
    const tn_train_example *pointers[EXAMPLES];
    size_t count, labels;
    uint64_t picked; /* a sum over what was picked, in order */
    uint64_t each[EXAMPLES]; /* the same for one index of the batch */
} course;

static const char *const words[] = { "the cat sits left", "it looks at a ball", "the ball is green" };

static void note_picks(void *user, size_t example, size_t step, const size_t *picks, size_t count)
{
    course *c = user;
    for (size_t i = 0; i < count; i++)
        c->picked = c->picked * 1099511628211u + (example * 64 + step) * 4096 + picks[i];
    for (size_t i = 0; i < count; i++)
        c->each[example] = c->each[example] * 1099511628211u + step * 4096 + picks[i];
}

static void open_course(course *c, tiny *here, const tn_training_options *options)
{
    tenebra_error error = { 0 };
    tn_training_options noted = *options;
    memset(c, 0, sizeof *c);
    noted.on_picks = note_picks;
    noted.user = c;
    c->here = here;
    c->model = tiny_open_model(here, "reference");
    if (tn_training_open(c->model, &noted, &c->training, &error) != TENEBRA_OK)
        fail_msg("%s: %s", error.where, error.sentence);
}

static void train_everything(course *c)
{
    assert_int_equal(tn_parameters_open(&c->parameters, NULL), TENEBRA_OK);
    assert_int_equal(tn_parameters_add_weights(c->parameters, c->model, NULL, NULL), TENEBRA_OK);
}

static void close_course(course *c)
{
    for (size_t i = 0; i < c->count; i++)
        tn_train_example_free(&c->examples[i]);
    tn_training_close(c->training);
    tn_parameters_close(c->parameters);
    tn_model_close(c->model);
}

static tenebra_code prepare(course *c, const char *picture, const char *text, size_t steps, size_t stage, size_t limit,
                            tn_train_example *example, tenebra_error *error)
{
    tenebra_part parts[2] = { { .kind = TENEBRA_PART_IMAGE_FILE, .text = picture }, { .kind = TENEBRA_PART_TEXT, .text = text } };
    tenebra_message message = { "user", picture ? parts : parts + 1, picture ? 2 : 1 };
    tn_train_example_source source = { .messages = &message, .message_count = 1, .steps = words, .step_count = steps,
                                .answer = "Therefore, the answer is B", .latents = stage, .skip = stage, .limit = limit,
                                .step = { c->step[0], c->step[1] } };
    return tn_training_prepare(c->training, &source, example, error);
}

static void add_example(course *c, const char *picture, const char *text, size_t steps, size_t stage)
{
    tenebra_error error = { 0 };
    tn_train_example *example = &c->examples[c->count];
    assert_true(c->count < EXAMPLES);
    if (prepare(c, picture, text, steps, stage, 0, example, &error) != TENEBRA_OK)
        fail_msg("%s: %s", error.where, error.sentence);
    c->pointers[c->count++] = example;
    c->labels += example->label_count;
}

/* Examples of different lengths and numbers of latent steps, one without an image. */
static void add_examples(course *c)
{
    add_example(c, PICTURE, "What is left of the ball?", 3, 2);
    add_example(c, OTHER_PICTURE, "Which one is green?", 2, 1);
    add_example(c, PICTURE, "Why?", 3, 0);
    add_example(c, NULL, "What is two and two, and what follows?", 3, 3);
}

static tn_training_options usual(void)
{
    static const tenebra_setting settings[] = { { "n-latent", "3" }, { "k-select", "4" } };
    return (tn_training_options){ .method = "ivt-lr", .settings = settings, .setting_count = 2, .threads = 1,
                                 .image.width = 112, .image.height = 112 };
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
    c->picked = 0;
    assert_int_equal(tn_training_measure(c->training, c->pointers, c->count, &result, NULL), TENEBRA_OK);
    return result.loss;
}

/* All gradients one after another; the caller frees them. */
static tn_real *gradients(const course *c)
{
    tn_real *all = malloc(c->parameters->elements * sizeof *all);
    size_t at = 0;
    assert_non_null(all);
    for (size_t i = 0; i < c->parameters->count; i++) {
        memcpy(all + at, c->parameters->items[i].grad, c->parameters->items[i].count * sizeof *all);
        at += c->parameters->items[i].count;
    }
    return all;
}

/* |a - b| / |b|; NaN if there is one. */
static double distance(const tn_real *a, const tn_real *b, size_t count)
{
    double difference = 0, whole = 0;
    for (size_t i = 0; i < count; i++) {
        difference += ((double)a[i] - (double)b[i]) * ((double)a[i] - (double)b[i]);
        whole += (double)b[i] * (double)b[i];
    }
    return sqrt(difference / whole);
}

/* --------------------------------------------------------------- examples -- */

/* The text of the labelled (or unlabelled) tokens. */
static char *text_of(const course *c, const tn_train_example *example, bool labelled)
{
    tn_text text = { 0 };
    for (size_t i = 0; i < example->count; i++)
        if (example->text[i].kind == TN_ROW_TOKEN && (example->labels[i] >= 0) == labelled)
            assert_int_equal(tn_tokenizer_decode(c->model->tokenizer, &example->text[i].token, 1, false, &text, NULL), TENEBRA_OK);
    char *copy = strndup(text.length ? text.data : "", text.length);
    tn_text_free(&text);
    return copy;
}

static void example_is(tiny *here, const char *method, size_t stage, size_t latents, const char *expected)
{
    static const tenebra_setting none[] = { { "n-latent", "0" } };
    tn_training_options options = usual();
    options.method = method;
    options.setting_count = strcmp(method, "ivt-lr") == 0 ? 2 : 0;
    if (stage > 0 && latents == 0) { /* the ablation without latents: the steps are dropped nevertheless */
        options.settings = none;
        options.setting_count = 1;
    }
    course c;
    open_course(&c, here, &options);
    add_example(&c, PICTURE, "Which one?", 3, stage);
    const tn_train_example *example = &c.examples[0];
    char *taught = text_of(&c, example, true), *given = text_of(&c, example, false);
    assert_string_equal(taught, expected);
    assert_non_null(strstr(given, "Which one?"));
    assert_non_null(strstr(given, "assistant\n"));
    assert_int_equal(example->latent_steps, latents);
    assert_int_equal(example->prompt + example->label_count, example->count);
    for (size_t i = 0; i < example->count; i++)
        assert_true(example->labels[i] == -1 || example->labels[i] == example->text[i].token);
    free(taught);
    free(given);
    close_course(&c);
}

static void methods_arrange_trainings(void **state)
{
    static const char all[] = "the cat sits left\nit looks at a ball\nthe ball is green\n"
                              "Therefore, the answer is B<|im_end|>";
    example_is(*state, "ivt-lr", 0, 0, all);
    example_is(*state, "ivt-lr", 1, 1, strchr(all, '\n') + 1);
    example_is(*state, "ivt-lr", 3, 3, strstr(all, "Therefore"));
    example_is(*state, "ivt-lr", 5, 5, strstr(all, "Therefore")); /* more than the default of answering */
    example_is(*state, "ivt-lr", 2, 0, strstr(all, "the ball"));
    example_is(*state, "coconut", 2, 2, strstr(all, "the ball"));
    example_is(*state, "direct", 0, 0, strstr(all, "Therefore"));
    example_is(*state, "cot", 0, 0, all);
}

/* The source determines the texts around steps. */
static void steps_have_surroundings(void **state)
{
    tn_training_options options = usual();
    tn_train_example example;
    course c;
    open_course(&c, *state, &options);
    c.step[0] = " (";
    c.step[1] = ")";
    assert_int_equal(prepare(&c, PICTURE, "Which one?", 3, 1, 0, &example, NULL), TENEBRA_OK);
    char *taught = text_of(&c, &example, true);
    assert_string_equal(taught, " (it looks at a ball) (the ball is green)Therefore, the answer is B<|im_end|>");
    free(taught);
    tn_train_example_free(&example);
    close_course(&c);
}

/* Steps are dropped from the end until an example fits; one that cannot fit is refused. */
static void long_examples_lose_steps(void **state)
{
    tn_training_options options = usual();
    tenebra_error error = { 0 };
    tn_train_example whole, cut, none;
    course c;
    open_course(&c, *state, &options);
    assert_int_equal(prepare(&c, PICTURE, "Which one?", 3, 1, 0, &whole, NULL), TENEBRA_OK);
    assert_int_equal(prepare(&c, PICTURE, "Which one?", 3, 1, whole.rows - 1, &cut, NULL), TENEBRA_OK);
    assert_int_equal(whole.steps_dropped, 0);
    assert_int_equal(cut.steps_dropped, 1);
    assert_true(cut.rows < whole.rows && cut.latent_steps == whole.latent_steps);
    char *taught = text_of(&c, &cut, true);
    assert_string_equal(taught, "it looks at a ball\nTherefore, the answer is B<|im_end|>");
    free(taught);
    assert_int_equal(prepare(&c, PICTURE, "Which one?", 3, 1, 10, &none, &error), TENEBRA_ERROR_LIMIT);
    assert_null(none.text);
    tn_train_example_free(&whole);
    tn_train_example_free(&cut);
    close_course(&c);
}

/* --------------------------------------------------------------- batches -- */

/* The gradient of a batch, with one thread, is the sum of those of its examples: rows of other examples only change the
 * order in which weight gradients add up. f32 sums of some hundred rows: 1e-5 of the norm is 100 roundings. */
#define ORDER_BOUND 1e-5

static void a_batch_is_the_sum_of_its_examples(void **state)
{
    tn_training_options options = usual();
    course c;
    open_course(&c, *state, &options);
    train_everything(&c);
    add_examples(&c);
    tn_training_result all = learn(&c, 0, c.count);
    tn_real *together = gradients(&c);
    tn_parameters_clear(c.parameters);
    double loss = 0;
    size_t rows = 0;
    for (size_t i = 0; i < c.count; i++) {
        tn_training_result one = learn(&c, i, 1);
        loss += one.loss;
        rows += one.rows;
    }
    tn_real *alone = gradients(&c);
    assert_int_equal(all.labels, c.labels);
    assert_int_equal(all.rows, rows);
    assert_int_equal(all.latent_steps, 2 + 1 + 0 + 3);
    assert_true(within(all.loss, loss, 1e-6 * loss));
    assert_true(distance(together, alone, c.parameters->elements) <= ORDER_BOUND);
    /* Negative control: one example has another weight. */
    learn(&c, 0, 1);
    tn_real *wrong = gradients(&c);
    assert_false(distance(together, wrong, c.parameters->elements) <= ORDER_BOUND);
    free(together);
    free(alone);
    free(wrong);
    close_course(&c);
}

/* Gradients under other options, bit for bit. */
static tn_real *gradients_under(tiny *here, const tn_training_options *options, double *loss, size_t *count)
{
    course c;
    open_course(&c, here, options);
    train_everything(&c);
    add_examples(&c);
    *loss = learn(&c, 0, c.count).loss;
    *count = c.parameters->elements;
    tn_real *all = gradients(&c);
    close_course(&c);
    return all;
}

static void threads_and_checkpoints_change_no_bit(void **state)
{
    tn_training_options options = usual();
    double loss, other;
    size_t count;
    for (int full = 0; full < 2; full++) {
        options = usual();
        options.through_hidden = options.through_picks = full;
        tn_real *plain = gradients_under(*state, &options, &loss, &count);
        options.threads = 3;
        tn_real *threads = gradients_under(*state, &options, &other, &count);
        assert_true(same_number(loss, other));
        assert_memory_equal(plain, threads, count * sizeof *plain);
        options.checkpoint = true;
        tn_real *replayed = gradients_under(*state, &options, &other, &count);
        assert_true(same_number(loss, other));
        assert_true(distance(replayed, plain, count) <= ORDER_BOUND);
        free(plain);
        free(threads);
        free(replayed);
    }
}

static void checkpoints_save_memory(void **state)
{
    size_t bytes[2];
    for (int checkpoint = 0; checkpoint < 2; checkpoint++) {
        tn_training_options options = usual();
        options.checkpoint = checkpoint;
        course c;
        open_course(&c, *state, &options);
        train_everything(&c);
        add_examples(&c);
        tn_training_result result = learn(&c, 0, c.count);
        bytes[checkpoint] = result.peak_bytes;
        /* The estimate is within a factor of two. */
        size_t cost = tn_training_cost(c.training, c.pointers, c.count);
        assert_true(checkpoint || (cost <= 2 * bytes[0] && bytes[0] <= 2 * cost));
        close_course(&c);
    }
    assert_true(bytes[1] < bytes[0] / 2);
}

/* ------------------------------------------------------------- gradients -- */

static void move(course *c, const tn_real *direction, double by)
{
    size_t at = 0;
    for (size_t i = 0; i < c->parameters->count; i++)
        for (size_t k = 0; k < c->parameters->items[i].count; k++)
            c->parameters->items[i].values[k] += (tn_real)(by * (double)direction[at++]);
}

/* The derivative of the loss along its gradient, relative to the squared norm: 1 if the gradient is that of the loss. Latents
 * and picked embeddings change with the weights. */
static double slope(tiny *here, bool through_hidden, bool through_picks, const char *method)
{
    tn_training_options options = usual();
    options.through_hidden = through_hidden;
    options.through_picks = through_picks;
    options.method = method;
    options.setting_count = strcmp(method, "ivt-lr") == 0 ? 2 : 0;
    course c;
    open_course(&c, here, &options);
    train_everything(&c);
    add_example(&c, PICTURE, "What is left of the ball?", 3, 3);
    add_example(&c, OTHER_PICTURE, "Which one is green?", 3, 2);
    learn(&c, 0, c.count);
    tn_real *gradient = gradients(&c);
    double square = 0;
    for (size_t i = 0; i < c.parameters->elements; i++)
        square += (double)gradient[i] * (double)gradient[i];
    /* The mean loss, of about 7, changes by 5e-4 either way: its rounding, some 1e-7 a token, is 1e-3 of that. With
     * larger steps the picks would change, and the loss would jump. */
    double step = 5e-4 / square;
    move(&c, gradient, step);
    double above = measure(&c) / (double)c.labels;
    uint64_t picked = c.picked;
    move(&c, gradient, -2 * step);
    double below = measure(&c) / (double)c.labels;
    assert_true(c.picked == picked);
    free(gradient);
    close_course(&c);
    return (above - below) / (2 * step * square);
}

#define SLOPE_BOUND 5e-3

static void full_gradient_is_that_of_the_loss(void **state)
{
    assert_true(within(slope(*state, true, true, "ivt-lr"), 1, SLOPE_BOUND));
    assert_true(within(slope(*state, true, true, "coconut"), 1, SLOPE_BOUND));
    assert_true(within(slope(*state, true, true, "ivt-lr-words"), 1, SLOPE_BOUND));
    assert_true(within(slope(*state, false, false, "cot"), 1, SLOPE_BOUND));
}

/* Negative controls: cutting any path removes its share. */
static void cut_gradients_are_not(void **state)
{
    assert_false(within(slope(*state, false, false, "ivt-lr"), 1, SLOPE_BOUND));
    assert_false(within(slope(*state, false, true, "ivt-lr"), 1, SLOPE_BOUND));
    assert_false(within(slope(*state, true, false, "ivt-lr"), 1, SLOPE_BOUND));
    assert_false(within(slope(*state, false, false, "coconut"), 1, SLOPE_BOUND));
}

/* The gradient of the final norm's scale for an example of one latent step. */
static tn_real *gradient_of_norm(tiny *here, bool through_hidden, size_t *count)
{
    tn_training_options options = usual();
    options.through_hidden = through_hidden;
    course c;
    open_course(&c, here, &options);
    train_everything(&c);
    add_example(&c, PICTURE, "What is left of the ball?", 3, 1);
    learn(&c, 0, 1);
    const tn_parameter *norm = tn_parameters_find(c.parameters, "model.norm.weight");
    assert_non_null(norm);
    tn_real *copy = malloc(norm->count * sizeof *copy);
    assert_non_null(copy);
    memcpy(copy, norm->grad, norm->count * sizeof *copy);
    *count = norm->count;
    close_course(&c);
    return copy;
}

/* The latent is fed after the final norm. If it is detached, no gradient flows through it to that norm's scale, although the
 * scale is trained. With one latent step, the only other difference between both variants is before the norm, so this one would
 * vanish. */
static void detached_latents_leave_the_norm_alone(void **state)
{
    size_t count;
    tn_real *cut = gradient_of_norm(*state, false, &count), *full = gradient_of_norm(*state, true, &count);
    assert_false(distance(cut, full, count) <= 100 * ORDER_BOUND);
    free(cut);
    free(full);
}

/* --------------------------------------------------------------- dropout -- */

/* Dropout comes from the seed: the same twice, another with another seed, none in measuring. */
static void dropout_follows_the_seed(void **state)
{
    static const char *const targets[] = { "q_proj", "down_proj" };
    tn_lora_options lora = { .rank = 4, .alpha = 64, .dropout = 0.5, .targets = { targets, 2, NULL } };
    tn_training_options options = usual();
    tn_rng rng = tn_rng_seed(3);
    course c;
    open_course(&c, *state, &options);
    tn_adapter *adapter;
    assert_int_equal(tn_adapter_make(c.model, &lora, &rng, &adapter, NULL), TENEBRA_OK);
    tn_adapter_attach(adapter);
    for (size_t i = 0; i < adapter->module_count; i++)
        for (size_t k = 0; k < adapter->modules[i].outputs * 4; k++)
            adapter->modules[i].b[k] = (tn_real)tn_rng_normal(&rng) / 4;
    assert_int_equal(tn_parameters_open(&c.parameters, NULL), TENEBRA_OK);
    assert_int_equal(tn_parameters_add_adapter(c.parameters, adapter, NULL), TENEBRA_OK);
    add_examples(&c);
    double losses[4];
    static const uint64_t seeds[] = { 1, 1, 2 };
    tn_real *kept[3];
    for (size_t i = 0; i < 3; i++) {
        tn_parameters_clear(c.parameters);
        tn_training_seed(c.training, seeds[i]);
        losses[i] = learn(&c, 0, c.count).loss;
        kept[i] = gradients(&c);
    }
    losses[3] = measure(&c);
    size_t bytes = c.parameters->elements * sizeof **kept;
    assert_true(same_number(losses[0], losses[1]));
    assert_memory_equal(kept[0], kept[1], bytes);
    assert_false(within(losses[0], losses[2], 1e-3));
    assert_false(within(losses[0], losses[3], 1e-3));
    assert_true(distance(kept[0], kept[2], c.parameters->elements) > 0.01);
    for (size_t i = 0; i < 3; i++)
        free(kept[i]);
    tn_parameters_close(c.parameters);
    c.parameters = NULL;
    tn_adapter_close(adapter);
    close_course(&c);
}

/* All examples in this order in one batch, or each in its own batch: the sum of the losses, the picks, and the gradients, which
 * the caller frees. */
static double train_in_order(course *c, const size_t *order, bool together, uint64_t *picked, tn_real **sums)
{
    double loss = 0;
    const tn_train_example *kept[EXAMPLES];
    memcpy(kept, c->pointers, sizeof kept);
    for (size_t i = 0; i < c->count; i++)
        c->pointers[i] = &c->examples[order[i]];
    tn_parameters_clear(c->parameters);
    tn_training_seed(c->training, 5);
    for (size_t i = 0; i < c->count; i += together ? c->count : 1) {
        memset(c->each, 0, sizeof c->each);
        loss += learn(c, i, together ? c->count : 1).loss;
        for (size_t k = 0; k < (together ? c->count : 1); k++)
            picked[order[i + k]] = c->each[k];
    }
    *sums = gradients(c);
    memcpy(c->pointers, kept, sizeof kept);
    return loss;
}

/* Dropout in tower and decoder, and random picks, depend on the example's number, whatever the batch is. */
static void draws_belong_to_the_example(void **state)
{
    static const tenebra_setting settings[] = { { "n-latent", "3" }, { "k-select", "4" }, { "latent-picks", "random" } };
    static const size_t orders[3][4] = { { 0, 1, 2, 3 }, { 3, 1, 0, 2 }, { 2, 3, 1, 0 } };
    const tn_lora_options lora = { .rank = 2, .alpha = 8, .dropout = 0.3, .targets = { .pattern = "all-linear" } };
    tn_training_options options = usual();
    options.settings = settings;
    options.setting_count = 3;
    for (int checkpoint = 0; checkpoint < 2; checkpoint++) {
        tn_rng rng = tn_rng_seed(3);
        course c;
        options.checkpoint = checkpoint;
        open_course(&c, *state, &options);
        tn_adapter *adapter;
        assert_int_equal(tn_adapter_make(c.model, &lora, &rng, &adapter, NULL), TENEBRA_OK);
        tn_adapter_attach(adapter);
        for (size_t i = 0; i < adapter->module_count; i++)
            for (size_t k = 0; k < adapter->modules[i].outputs * 2; k++)
                adapter->modules[i].b[k] = (tn_real)tn_rng_normal(&rng) / 4;
        assert_int_equal(tn_parameters_open(&c.parameters, NULL), TENEBRA_OK);
        assert_int_equal(tn_parameters_add_adapter(c.parameters, adapter, NULL), TENEBRA_OK);
        add_examples(&c);
        for (size_t i = 0; i < c.count; i++)
            c.examples[i].number = 100 + i;
        uint64_t alone[EXAMPLES] = { 0 }, picked[EXAMPLES] = { 0 };
        tn_real *expected, *found;
        double loss = train_in_order(&c, orders[0], false, alone, &expected);
        for (size_t k = 0; k < 3; k++) {
            assert_true(within(train_in_order(&c, orders[k], true, picked, &found), loss, ORDER_BOUND * loss));
            assert_memory_equal(picked, alone, sizeof alone);
            assert_true(distance(found, expected, c.parameters->elements) <= ORDER_BOUND);
            free(found);
        }
        c.examples[0].number = 99;
        assert_false(within(train_in_order(&c, orders[0], true, picked, &found), loss, ORDER_BOUND * loss));
        assert_true(picked[0] != alone[0] && picked[1] == alone[1]);
        assert_false(distance(found, expected, c.parameters->elements) <= 100 * ORDER_BOUND);
        free(found);
        free(expected);
        tn_parameters_close(c.parameters);
        c.parameters = NULL;
        tn_adapter_close(adapter);
        close_course(&c);
    }
}

/* ---------------------------------------------------------------- errors -- */

static void mistakes_are_told(void **state)
{
    tn_training_options options = usual();
    tenebra_error error = { 0 };
    static const tenebra_setting zero[] = { { "latent-text", "zero" } };
    course c;
    open_course(&c, *state, &options);
    train_everything(&c);
    add_example(&c, PICTURE, "Which one?", 3, 1);
    tn_train_example *example = &c.examples[0];

    example->text[0].token = 1 << 20;
    assert_int_equal(tn_training_learn(c.training, c.pointers, 1, 1, NULL, &error), TENEBRA_ERROR_MISMATCH);
    example->text[0].token = 5;
    assert_int_equal(tn_training_learn(c.training, c.pointers, 1, 1, NULL, NULL), TENEBRA_OK);
    example->labels[example->count - 1] = 1 << 20;
    assert_int_equal(tn_training_learn(c.training, c.pointers, 1, 1, NULL, &error), TENEBRA_ERROR_MISMATCH);
    example->parts[0].rows++;
    assert_int_equal(tn_training_learn(c.training, c.pointers, 1, 1, NULL, &error), TENEBRA_ERROR_MISMATCH);
    example->parts[0].rows--;
    assert_int_equal(tn_training_learn(c.training, c.pointers, 0, 1, NULL, &error), TENEBRA_ERROR_ARGUMENT);
    assert_int_equal(tn_training_learn(c.training, c.pointers, 1, 0, NULL, &error), TENEBRA_ERROR_ARGUMENT);

    atomic_bool cancel = true;
    example->labels[example->count - 1] = 5;
    tn_training_watch_cancel(c.training, &cancel);
    assert_int_equal(tn_training_learn(c.training, c.pointers, 1, 1, NULL, &error), TENEBRA_ERROR_CANCELLED);
    tn_training_watch_cancel(c.training, NULL);
    assert_int_equal(tn_training_learn(c.training, c.pointers, 1, 1, NULL, &error), TENEBRA_OK);

    tn_train_example none;
    assert_int_equal(prepare(&c, "/nowhere.png", "Which?", 1, 1, 0, &none, &error), TENEBRA_ERROR_IO);
    assert_null(none.text);
    close_course(&c);

    options.settings = zero;
    options.setting_count = 1;
    open_course(&c, *state, &options);
    assert_int_equal(prepare(&c, PICTURE, "Which?", 1, 1, 0, &none, &error), TENEBRA_ERROR_UNSUPPORTED);
    tn_training *no_training;
    assert_int_equal(tn_training_open(c.model, &(tn_training_options){ .method = "nobody" }, &no_training, &error), TENEBRA_ERROR_ARGUMENT);
    assert_null(no_training);
    assert_int_equal(error.code, TENEBRA_ERROR_ARGUMENT);
    close_course(&c);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(methods_arrange_trainings),
        cmocka_unit_test(steps_have_surroundings),
        cmocka_unit_test(long_examples_lose_steps),
        cmocka_unit_test(a_batch_is_the_sum_of_its_examples),
        cmocka_unit_test(threads_and_checkpoints_change_no_bit),
        cmocka_unit_test(checkpoints_save_memory),
        cmocka_unit_test(full_gradient_is_that_of_the_loss),
        cmocka_unit_test(cut_gradients_are_not),
        cmocka_unit_test(detached_latents_leave_the_norm_alone),
        cmocka_unit_test(dropout_follows_the_seed),
        cmocka_unit_test(draws_belong_to_the_example),
        cmocka_unit_test(mistakes_are_told),
    };
    return cmocka_run_group_tests(tests, tiny_set_up, tiny_tear_down);
}
