/* Training of the dialogue that zooms: its examples are what answering lays, calls and crops included, and gradients reach the tower
 * through the crop's rows. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "base/checked.h"
#include "model/parameters.h"
#include "reason/training.h"
#include "text/tokenizer_parts.h"
#include "unit/model/models.h"
#include "unit/reason/tiny.h"

enum { EXAMPLES = 3, CONTEXT = 2048, LABELS_MAX = 512, SETTINGS = 6 };

static const char *const words[] = { "the cat sits left", "it looks at a ball", "the ball is green" };

/* ------------------------------------------------------------------ course -- */

typedef struct course {
    tn_model *model;
    tn_parameters *parameters;
    tn_training *training;
    tenebra_setting settings[SETTINGS];
    size_t setting_count;
    tn_train_example examples[EXAMPLES];
    const tn_train_example *pointers[EXAMPLES];
    size_t count, labels;
} course;

static const tn_sample_region left = { { 0.25, 0, 0.5, 0.25 }, 1 }, lower = { { 0.5, 0.5, 1, 1 }, 2 };

/* Method and settings of a question; a setting that is NULL is left out. */
static void ask_cof(question *q, const char *picture, const char *form, const char *from, const char *size)
{
    ask_about(q, "cof", picture, NULL, "What is left of the ball?\nAnswer:");
    ask_set(q, "call-form", form);
    ask_set(q, "crop-from", from);
    if (size != NULL)
        ask_set(q, "crop-size", size);
}

/* A template whose turns end with a separator that is not the end token: in this vocabulary, ordinary text. */
static void take_chameleon_template(tn_model *model)
{
    int32_t id;
    assert_int_equal(tn_chat_template_find(model->directory, "chameleon", NULL, &model->chat_template, NULL), TENEBRA_OK);
    assert_int_equal(tn_tokenizer_add((tn_tokenizer *)(uintptr_t)model->tokenizer, "<image>", true, &id, NULL), TENEBRA_OK);
}

static void open_course(course *c, const tiny *here, const question *q, const char *kernels, bool checkpoint)
{
    tenebra_error error = { 0 };
    memset(c, 0, sizeof *c);
    const tn_training_options options = { .method = "cof", .settings = q->request.settings, .setting_count = q->request.setting_count,
                                          .positions = q->request.positions, .threads = 1, .image = q->request.image,
                                          .checkpoint = checkpoint };
    c->model = tiny_open_model(here, kernels);
    if (tn_training_open(c->model, &options, &c->training, &error) != TENEBRA_OK)
        fail_msg("%s: %s", error.where, error.sentence);
}

static void close_course(course *c)
{
    for (size_t i = 0; i < c->count; i++)
        tn_train_example_free(&c->examples[i]);
    tn_training_close(c->training);
    tn_parameters_close(c->parameters);
    tn_model_close(c->model);
}

static tenebra_code prepare(course *c, const question *q, const tn_sample_region *regions, size_t count, size_t limit,
                            tn_train_example *example, tenebra_error *error)
{
    const tn_train_example_source source = { .messages = &q->message, .message_count = 1, .steps = words, .step_count = 3,
                                             .answer = "B", .regions = regions, .region_count = count, .limit = limit };
    return tn_training_prepare(c->training, &source, example, error);
}

static tn_train_example *add(course *c, const question *q, const tn_sample_region *regions, size_t count)
{
    tenebra_error error = { 0 };
    tn_train_example *example = &c->examples[c->count];
    if (prepare(c, q, regions, count, 0, example, &error) != TENEBRA_OK)
        fail_msg("%s: %s", error.where, error.sentence);
    c->pointers[c->count++] = example;
    c->labels += example->label_count;
    return example;
}

/* ---------------------------------------------------------------- example -- */

/* The labels as a text, and the tokens of rows without one. */
static char *text_of(const course *c, const tn_train_example *example, bool labelled)
{
    tn_text text = { 0 };
    for (size_t i = 0; i < example->count; i++) {
        const int32_t *token = labelled ? &example->labels[i] : &example->text[i].token;
        if (*token >= 0 && labelled == (example->labels[i] >= 0))
            assert_int_equal(tn_tokenizer_decode(c->model->tokenizer, token, 1, false, &text, NULL), TENEBRA_OK);
    }
    char *made = strndup(text.length ? text.data : "", text.length);
    tn_text_free(&text);
    return made;
}

static void example_says(const tiny *here, const char *form, const tn_sample_region *regions, size_t count, const char *taught)
{
    question q;
    course c;
    ask_cof(&q, PICTURE, form, "seen", NULL);
    open_course(&c, here, &q, "reference", false);
    const tn_train_example *example = add(&c, &q, regions, count);
    char *labels = text_of(&c, example, true), *given = text_of(&c, example, false);
    assert_string_equal(labels, taught);
    assert_non_null(strstr(given, "What is left of the ball?"));
    assert_null(strstr(given, "Answer:"));
    assert_int_equal(strstr(given, "<tools>") != NULL, strcmp(form, "json") == 0);
    assert_int_equal(example->picture_count, 1 + count);
    assert_int_equal(example->part_count, 1);
    assert_int_equal(example->latent_steps, 0);
    size_t cells = 0;
    for (size_t i = 0; i < example->count; i++)
        cells += example->text[i].kind == TN_ROW_CELL;
    assert_int_equal(cells, 16 * (1 + count));
    for (size_t i = example->prompt; i < example->count; i++) /* the end of a reply is that of the template */
        assert_true(example->labels[i] == -1 || example->labels[i] == example->text[i].token);
    free(labels);
    free(given);
    close_course(&c);
}

#define JSON(box) "<tool_call>\n{\"name\": \"image_zoom_in_tool\", \"arguments\": {\"bbox_2d\": [" box "]}}\n</tool_call><|im_end|>"

static void test_dialogue(void **state)
{
    const tn_sample_region both[] = { left, lower };
    example_says(*state, "json", both, 1, "<think>the cat sits left\n</think>\n" JSON("28, 0, 56, 28")
                 "<think>it looks at a ball\nthe ball is green\n</think>\n<answer>B</answer><|im_end|>");
    example_says(*state, "json", both, 2, "<think>the cat sits left\n</think>\n" JSON("28, 0, 56, 28")
                 "<think>it looks at a ball\n</think>\n" JSON("56, 56, 112, 112")
                 "<think>the ball is green\n</think>\n<answer>B</answer><|im_end|>");
    example_says(*state, "brief", both, 2, "the cat sits left\n<tool_call>28 0 56 28</tool_call><|im_end|>"
                 "it looks at a ball\n<tool_call>56 56 112 112</tool_call><|im_end|>the ball is green\nB<|im_end|>");
    /* Without a region it is an answer at once. */
    example_says(*state, "brief", NULL, 0, "the cat sits left\nit looks at a ball\nthe ball is green\nB<|im_end|>");
    example_says(*state, "json", NULL, 0, "<think>the cat sits left\nit looks at a ball\nthe ball is green\n</think>\n"
                 "<answer>B</answer><|im_end|>");
}

/* Boxes are whole pixels of the image as the model sees it, at least one. */
static void test_boxes(void **state)
{
    static const tn_sample_region regions[] = { { { 0, 0, 1, 1 }, 0 }, { { 0.999, 0, 1, 0.001 }, 0 }, { { 0.1, 0.2, 0.33, 0.49 }, 0 } };
    static const char *const boxes[] = { "0 0 112 112", "111 0 112 1", "11 22 37 55" };
    for (size_t i = 0; i < 3; i++) {
        question q;
        course c;
        char box[64];
        ask_cof(&q, PICTURE, "brief", "seen", NULL);
        open_course(&c, *state, &q, "reference", false);
        char *labels = text_of(&c, add(&c, &q, &regions[i], 1), true);
        snprintf(box, sizeof box, "<tool_call>%s</tool_call>", boxes[i]);
        assert_non_null(strstr(labels, box));
        free(labels);
        close_course(&c);
    }
}

static void is_refused(const tiny *here, question *q, const tn_sample_region *regions, size_t count, const char *reason)
{
    tenebra_error error = { 0 };
    tn_train_example example;
    course c;
    open_course(&c, here, q, "reference", false);
    assert_int_equal(prepare(&c, q, regions, count, 0, &example, &error), TENEBRA_ERROR_ARGUMENT);
    assert_string_equal(error.where, "regions");
    assert_non_null(strstr(error.sentence, reason));
    assert_null(example.text);
    assert_null(example.pictures);
    close_course(&c);
}

static void test_regions_that_cannot_be_shown(void **state)
{
    const tn_sample_region both[] = { left, lower }, nowhere = { { 0.5, 0.5, 0.5, 0.9 }, 0 }, outside = { { 1.5, 0, 2, 1 }, 0 };
    question q;
    ask_cof(&q, PICTURE, "brief", "seen", NULL);
    is_refused(*state, &q, &nowhere, 1, "does not see that part");
    is_refused(*state, &q, &outside, 1, "does not see that part");
    ask_set(&q, "rounds", "2");
    is_refused(*state, &q, both, 2, "raise rounds");
    ask_cof(&q, PICTURE, "json", "seen", NULL);
    ask_set(&q, "max-images", "2");
    is_refused(*state, &q, both, 2, "max-images");
    ask_cof(&q, NULL, "json", "seen", NULL);
    is_refused(*state, &q, both, 1, "no image");
}

/* Steps are dropped from the end until the example fits; every attempt starts from the prompt. */
static void test_long_examples_lose_steps(void **state)
{
    const tn_sample_region both[] = { left, lower };
    tn_train_example whole, cut;
    question q;
    course c;
    ask_cof(&q, PICTURE, "brief", "seen", NULL);
    open_course(&c, *state, &q, "reference", false);
    assert_int_equal(prepare(&c, &q, both, 2, 0, &whole, NULL), TENEBRA_OK);
    assert_int_equal(prepare(&c, &q, both, 2, whole.rows - 14, &cut, NULL), TENEBRA_OK);
    assert_true(cut.steps_dropped >= 2);
    assert_int_equal(cut.picture_count, 3);
    char *labels = text_of(&c, &cut, true);
    assert_non_null(strstr(labels, "<tool_call>28 0 56 28</tool_call><|im_end|><tool_call>56 56 112 112</tool_call><|im_end|>B<|im_end|>"));
    free(labels);
    tn_train_example_free(&whole);
    tn_train_example_free(&cut);
    close_course(&c);
}

/* -------------------------------------------------------------- agreement -- */

/* An answer whose replies are the labels. */
static run *say(const tn_model *model, question *q, const tn_train_example *example, int32_t said[LABELS_MAX])
{
    tenebra_error error = { 0 };
    tn_session *session;
    assert_true(example->label_count <= LABELS_MAX);
    q->request.forced_count = 0;
    for (size_t i = 0; i < example->count; i++)
        if (example->labels[i] >= 0)
            said[q->request.forced_count++] = example->labels[i];
    q->request.forced = said;
    q->request.max_tokens = LABELS_MAX;
    if (tn_session_open(model, &(tn_session_options){ .context = CONTEXT, .threads = 1 }, &session, &error) != TENEBRA_OK)
        fail_msg("%s: %s", error.where, error.sentence);
    run *made = run_in(session, q, NULL);
    q->request.forced_count = 0;
    return made;
}

/* Whether the rows of the answer are those of the example; the last one, the end token, does not run. */
static bool same_rows(const run *made, const tn_train_example *example)
{
    bool same = made->session->sequence.length + 1 == example->count;
    for (size_t i = 0; same && i + 1 < example->count; i++) {
        const tn_row *a = &made->reasoner.span.rows[i], *b = &example->text[i];
        same = a->kind == b->kind && a->token == b->token;
        if (same && a->kind == TN_ROW_CELL)
            same = a->cell == b->cell && memcmp(&a->picture->content, &b->picture->content, sizeof a->picture->content) == 0;
    }
    return same;
}

/* The sum of the cross entropies of the labels, from the rows of the answer: the prompt in one span, then one row after another, as
 * a reply is decoded. */
static double loss_of_answer(const run *made, const tn_train_example *example)
{
    const tn_model *model = made->session->model;
    tn_row *rows = made->reasoner.span.rows;
    size_t labels = 0, width = made->session->logits.cols;
    int32_t wanted[LABELS_MAX];
    tn_real *logits = malloc(example->label_count * width * sizeof *logits), loss = 0;
    tn_session *session;
    assert_non_null(logits);
    assert_int_equal(tn_session_open(model, &(tn_session_options){ .context = CONTEXT, .threads = 1 }, &session, NULL), TENEBRA_OK);
    for (size_t at = 0; at + 1 < example->count;) {
        size_t count = at == 0 ? example->prompt : 1;
        assert_int_equal(tn_session_append(session, rows + at, count, NULL, NULL, NULL), TENEBRA_OK);
        at += count;
        if (example->labels[at] < 0)
            continue;
        assert_int_equal(tn_session_logits(session, NULL), TENEBRA_OK);
        memcpy(logits + labels * width, session->logits.data, width * sizeof *logits);
        wanted[labels++] = example->labels[at];
    }
    assert_int_equal(labels, example->label_count);
    tn_ops *ops = &session->engine->ops;
    assert_true(tn_op_read(ops, tn_op_cross_entropy(ops, tn_op_import(ops, labels, width, logits), wanted, 1), &loss));
    tn_session_close(session);
    free(logits);
    return (double)loss;
}

static double measure(course *c)
{
    tenebra_error error = { 0 };
    tn_training_result result;
    if (tn_training_measure(c->training, c->pointers, c->count, &result, &error) != TENEBRA_OK)
        fail_msg("%s: %s", error.where, error.sentence);
    return result.loss;
}

/* The loss of training has the bits of the logits from which answering chooses. `chameleon`: with that template. */
static void agrees(const tiny *here, const char *kernels, const char *form, const char *from, const char *positions, bool chameleon)
{
    const tn_sample_region both[] = { left, lower };
    int32_t said[LABELS_MAX];
    question q;
    course c;
    ask_cof(&q, PICTURE, form, from, "84x56");
    q.request.positions = positions;
    open_course(&c, here, &q, kernels, false);
    if (chameleon)
        take_chameleon_template(c.model);
    const tn_train_example *example = add(&c, &q, both, 2);
    double loss = measure(&c);
    size_t ends = 0;
    for (size_t i = 1; i < example->count; i++) /* the end token where the template goes on with another one */
        ends += example->labels[i] >= 0 && example->labels[i] != example->text[i].token;
    assert_int_equal(ends, chameleon ? 2 : 0);
    run *made = say(c.model, &q, example, said);
    assert_int_equal(made->trace->images_added, 2);
    assert_int_equal(made->trace->finish, TENEBRA_FINISH_END_TOKEN);
    assert_int_equal(made->trace->token_count, example->label_count);
    assert_true(same_rows(made, example));
    if (!same_number(loss_of_answer(made, example), loss))
        fail_msg("%s, %s, %s: %.9g in answering, %.9g in training", kernels, form, positions, loss_of_answer(made, example), loss);
    run_free(made);
    /* Negative controls: regions from the other source, other positions. */
    if (strcmp(kernels, "reference") == 0) {
        ask_cof(&q, PICTURE, form, strcmp(from, "seen") == 0 ? "original" : "seen", "84x56");
        q.request.positions = positions;
        made = say(c.model, &q, example, said);
        assert_false(same_rows(made, example));
        assert_false(same_number(loss_of_answer(made, example), loss));
        run_free(made);
        ask_cof(&q, PICTURE, form, from, "84x56");
        q.request.positions = strcmp(positions, "mrope") == 0 ? "sequential" : "mrope";
        made = say(c.model, &q, example, said);
        assert_true(same_rows(made, example));
        assert_false(same_number(loss_of_answer(made, example), loss));
        run_free(made);
    }
    close_course(&c);
}

static void test_training_is_answering(void **state)
{
    for (size_t i = 0; tn_kernels_at(i) != NULL; i++) {
        if (!is_steady(tn_kernels_at(i)))
            continue;
        agrees(*state, tn_kernels_at(i)->name, "brief", "original", "mrope", false);
        agrees(*state, tn_kernels_at(i)->name, "brief", "seen", "sequential", false);
    }
    agrees(*state, "reference", "json", "original", "mrope", false);
    agrees(*state, "reference", "brief", "original", "sequential", true);
}

/* ------------------------------------------------------------- gradients -- */

static void open_three(course *c, const tiny *here, bool checkpoint)
{
    const tn_sample_region both[] = { left, lower };
    question q, other;
    ask_cof(&q, PICTURE, "brief", "original", NULL);
    ask_cof(&other, OTHER_PICTURE, "brief", "original", NULL);
    open_course(c, here, &q, "reference", checkpoint);
    assert_int_equal(tn_parameters_open(&c->parameters, NULL), TENEBRA_OK);
    assert_int_equal(tn_parameters_add_weights(c->parameters, c->model, NULL, NULL), TENEBRA_OK);
    add(c, &q, both, 1);
    add(c, &other, NULL, 0);
    add(c, &other, both, 2);
}

static double learn(course *c, size_t first, size_t count)
{
    tenebra_error error = { 0 };
    tn_training_result result;
    if (tn_training_learn(c->training, c->pointers + first, count, 1 / (double)c->labels, &result, &error) != TENEBRA_OK)
        fail_msg("%s: %s", error.where, error.sentence);
    return result.loss;
}

static tn_real *gradients(const course *c)
{
    tn_real *all = malloc(c->parameters->elements * sizeof *all);
    assert_non_null(all);
    for (size_t i = 0, at = 0; i < c->parameters->count; at += c->parameters->items[i++].count)
        memcpy(all + at, c->parameters->items[i].grad, c->parameters->items[i].count * sizeof *all);
    return all;
}

static double distance(const tn_real *a, const tn_real *b, size_t count)
{
    double difference = 0, whole = 0;
    for (size_t i = 0; i < count; i++) {
        difference += ((double)a[i] - (double)b[i]) * ((double)a[i] - (double)b[i]);
        whole += (double)b[i] * (double)b[i];
    }
    return sqrt(difference / whole);
}

/* Bounds as in unit/reason/training.c, with and without gradient checkpointing. */
static void test_a_batch_is_the_sum_of_its_examples(void **state)
{
    for (int checkpoint = 0; checkpoint < 2; checkpoint++) {
        course c;
        open_three(&c, *state, checkpoint);
        double together = learn(&c, 0, EXAMPLES), alone = 0;
        tn_real *all = gradients(&c);
        tn_parameters_clear(c.parameters);
        for (size_t i = 0; i < EXAMPLES; i++)
            alone += learn(&c, i, 1);
        tn_real *sum = gradients(&c);
        assert_true(within(together, alone, 1e-6 * alone));
        assert_true(distance(all, sum, c.parameters->elements) <= 1e-5);
        learn(&c, 0, 1); /* negative control: one example has another weight */
        tn_real *wrong = gradients(&c);
        assert_false(distance(all, wrong, c.parameters->elements) <= 1e-5);
        free(all);
        free(sum);
        free(wrong);
        close_course(&c);
    }
}

static void move(course *c, const tn_real *direction, double by)
{
    for (size_t i = 0, at = 0; i < c->parameters->count; i++)
        for (size_t k = 0; k < c->parameters->items[i].count; k++)
            c->parameters->items[i].values[k] += (tn_real)(by * (double)direction[at++]);
}

/* The derivative of the loss of all examples along a gradient, relative to its squared norm. The step is that of
 * unit/reason/training.c. */
static double slope(course *c, const tn_real *gradient)
{
    double square = 0;
    for (size_t i = 0; i < c->parameters->elements; i++)
        square += (double)gradient[i] * (double)gradient[i];
    double step = 5e-4 / square;
    move(c, gradient, step);
    double above = measure(c) / (double)c->labels;
    move(c, gradient, -2 * step);
    double below = measure(c) / (double)c->labels;
    move(c, gradient, step);
    return (above - below) / (2 * step * square);
}

static void test_gradient_is_that_of_the_loss(void **state)
{
    course c;
    open_three(&c, *state, false);
    learn(&c, 0, EXAMPLES);
    tn_real *gradient = gradients(&c);
    assert_true(within(slope(&c, gradient), 1, 5e-3));
    tn_parameters_clear(c.parameters); /* negative control: without the example of two regions */
    learn(&c, 0, 2);
    tn_real *part = gradients(&c);
    assert_false(within(slope(&c, part), 1, 5e-3));
    free(gradient);
    free(part);
    close_course(&c);
}

/* The rows of a crop give the tower a gradient of its own: other pixels give another one. */
static void test_gradient_of_the_tower(void **state)
{
    static const char *const from[] = { "original", "seen", "original" };
    tn_real *found[3];
    size_t count = 0;
    for (size_t i = 0; i < 3; i++) {
        question q;
        course c;
        ask_cof(&q, OTHER_PICTURE, "brief", from[i], NULL);
        open_course(&c, *state, &q, "reference", false);
        assert_int_equal(tn_parameters_open(&c.parameters, NULL), TENEBRA_OK);
        static const char *const tower[] = { "visual.*", NULL };
        assert_int_equal(tn_parameters_add_weights(c.parameters, c.model, &(tn_parameters_filter){ .include = tower }, NULL), TENEBRA_OK);
        add(&c, &q, &left, 1);
        learn(&c, 0, 1);
        count = c.parameters->elements;
        found[i] = gradients(&c);
        close_course(&c);
    }
    assert_memory_equal(found[0], found[2], count * sizeof *found[0]);
    assert_false(distance(found[1], found[0], count) <= 1e-3);
    for (size_t i = 0; i < 3; i++)
        free(found[i]);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_dialogue),                     cmocka_unit_test(test_boxes),
        cmocka_unit_test(test_regions_that_cannot_be_shown), cmocka_unit_test(test_long_examples_lose_steps),
        cmocka_unit_test(test_training_is_answering),        cmocka_unit_test(test_a_batch_is_the_sum_of_its_examples),
        cmocka_unit_test(test_gradient_is_that_of_the_loss), cmocka_unit_test(test_gradient_of_the_tower),
    };
    return cmocka_run_group_tests(tests, tiny_set_up, tiny_tear_down);
}
