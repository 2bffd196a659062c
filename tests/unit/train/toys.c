/* Backbones that exist in tests/toys alone, with a method that exists there alone and with one of the house: trained, saved, resumed,
 * asked with and without what is known already, and together in rounds. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "image/decode.h"
#include "model/random.h"
#include "reason/rounds.h"
#include "toys/codes.h"
#include "toys/deep.h"
#include "toys/refine.h"
#include "unit/train/answers.h"
#include "unit/train/run.h"

#include <float.h>

#define PICTURE TENEBRA_TEST_DATA "/image/exif6.png"
#define OTHER_PICTURE TENEBRA_TEST_DATA "/image/444.jpg"

/* In the place of the lists that the build makes. */
extern const tn_method tn_method_direct, tn_method_ivt_lr, tn_method_icot, tn_method_coconut;
const tn_method *const tn_methods[] = { &refine_method, &tn_method_ivt_lr, &tn_method_icot, &tn_method_coconut, &tn_method_direct, NULL };
const tn_backbone *const tn_backbones[] = { &codes_backbone, &deep_backbone, NULL };
const tn_shape tn_shapes[] = {
    { "toy-codes", (const unsigned char *)codes_shape, sizeof codes_shape - 1 },
    { "toy-deep", (const unsigned char *)deep_shape, sizeof deep_shape - 1 },
    { NULL, NULL, 0 },
};

static const char *const shapes[] = { "shape=toy-codes", "shape=toy-deep" };
static const char *const trained[] = { "method=toy", "method=ivt-lr" };

/* -------------------------------------------------------------- training -- */

typedef struct values {
    size_t count;
    tn_real *all;
} values;

/* All trained values, and the auxiliary losses of the first and the last update. */
static values train(const tn_train_config *config, bool resume, uint64_t stop_after)
{
    watcher w = { .stop_after = stop_after };
    tn_trainer *trainer = run_trainer(config, resume, &w);
    bool has = strcmp(config->method, "toy") == 0 && trainer->last.stage > 0; /* stage 0 has no latent steps */
    assert_int_equal(isnan(trainer->last.auxiliary), !has);
    assert_int_equal(trainer->last.part_count, has);
    assert_true(isnan(trainer->last.auxiliary) || (trainer->last.auxiliary >= 0 && trainer->last.auxiliary < 20));
    values v = { 0, malloc(trainer->parameters->elements * sizeof *v.all) };
    assert_non_null(v.all);
    for (size_t i = 0; i < trainer->parameters->count; i++) {
        const tn_parameter *item = &trainer->parameters->items[i];
        assert_null(strstr(item->name, "quantiser")); /* no gradient goes through codes */
        memcpy(v.all + v.count, item->values, item->count * sizeof *item->values);
        v.count += item->count;
    }
    tn_trainer_close(trainer);
    return v;
}

static void test_trained_and_resumed(void **state)
{
    for (size_t s = 0; s < 2; s++)
        for (size_t m = 0; m < 2; m++) {
            const char *lines[] = { shapes[s], trained[m], "max_updates=8", "validate=false" };
            tn_train_config config;
            read_recipe(&config, *state, lines, 4);
            values part = train(&config, false, 5), rest = train(&config, true, 0), whole = train(&config, false, 0);
            assert_true(part.count == whole.count && rest.count == whole.count);
            assert_memory_not_equal(part.all, whole.all, whole.count * sizeof *whole.all);
            assert_memory_equal(rest.all, whole.all, whole.count * sizeof *whole.all);
            free(part.all);
            free(rest.all);
            free(whole.all);
            tn_train_config_free(&config);
        }
}

/* --------------------------------------------------------------- gradients -- */

static double size_of_grad(const tn_real *grad, size_t count)
{
    double sum = 0;
    for (size_t i = 0; i < count; i++)
        sum += fabs((double)grad[i]);
    return sum;
}

/* The gradients of one training example. */
static tn_trainer *learn(const tn_train_config *config, bool through_picks, tn_train_example *example)
{
    static const tenebra_part parts[] = { { .kind = TENEBRA_PART_IMAGE_FILE, .text = PICTURE }, { .text = "What is it?" } };
    static const tenebra_message message = { .role = "user", .parts = parts, .part_count = 2 };
    tenebra_error error = { 0 };
    tn_trainer *trainer = open_trainer(config, &(tn_trainer_options){ .plan_only = true });
    const tn_training_options options = { .method = config->method, .threads = 1, .through_picks = through_picks,
                                         .checkpoint = config->checkpointing };
    tn_training *training;
    if (tn_training_open(trainer->model, &options, &training, &error) != TENEBRA_OK)
        fail_msg("%s: %s", error.where, error.sentence);
    const tn_train_example_source source = { .messages = &message, .message_count = 1, .answer = "A", .latents = 2 };
    if (tn_training_prepare(training, &source, example, &error) != TENEBRA_OK)
        fail_msg("%s: %s", error.where, error.sentence);
    const tn_train_example *const examples[] = { example };
    tn_training_result result;
    if (tn_training_learn(training, examples, 1, 1, &result, &error) != TENEBRA_OK)
        fail_msg("%s: %s", error.where, error.sentence);
    tn_training_close(training);
    return trainer;
}

/* Pictures that are tokens: the rows of the table that the codes name get a gradient, those of other codes none. */
static void test_gradient_into_the_table(void **state)
{
    tn_train_config config;
    tn_train_example example;
    const char *lines[] = { shapes[0], "method=ivt-lr" };
    read_recipe(&config, *state, lines, 2);
    double seen[2] = { 0 };
    for (size_t through = 0; through < 2; through++) {
        tn_trainer *trainer = learn(&config, through, &example);
        const tn_encoder_config *vision = &trainer->model->config.vision;
        const tn_parameter *table = tn_parameters_find(trainer->parameters, "words.weight");
        assert_non_null(table);
        size_t cols = trainer->model->config.decoder.hidden_size, with = 0;
        for (size_t c = 0; c < vision->code_count; c++) {
            double size = size_of_grad(table->grad + (size_t)vision->ids[c] * cols, cols);
            with += size > 0;
            seen[through] += size;
        }
        assert_true(with > 0 && with < vision->code_count);
        tn_train_example_free(&example);
        tn_trainer_close(trainer);
    }
    assert_true(seen[0] != seen[1]); /* picked rows are constants, or not */
    tn_train_config_free(&config);
}

/* A tower with rows that are added: all of its tensors get a gradient. */
static void test_gradient_into_the_tower(void **state)
{
    tn_train_config config;
    tn_train_example example;
    const char *lines[] = { shapes[1], "method=toy", "gradient_checkpointing=true" };
    read_recipe(&config, *state, lines, 3);
    tn_trainer *trainer = learn(&config, true, &example);
    size_t tensors = 0;
    for (size_t i = 0; i < trainer->parameters->count; i++) {
        const tn_parameter *item = &trainer->parameters->items[i];
        double size = size_of_grad(item->grad, item->count);
        tensors += strncmp(item->name, "eye.", 4) == 0;
        if (!(size > 0))
            fail_msg("%s has no gradient", item->name);
    }
    assert_int_equal(tensors, 4 + 2 * 6);
    tn_train_example_free(&example);
    tn_trainer_close(trainer);
    tn_train_config_free(&config);
}

/* The gradients of the first update with latent steps, of all samples in batches of that many, and the values of losses. */
static values gradients_of(const place *p, const char *batch_size, const char *accumulation, tn_train_update *update)
{
    const char *lines[] = { shapes[1], "method=toy", "resume=1", "max_updates=1", "validate=false", "latent_grad_full=true", batch_size,
                            accumulation };
    tn_train_config config;
    read_recipe(&config, p, lines, 8);
    tn_trainer *trainer = run_trainer(&config, false, &(watcher){ 0 });
    values v = { 0, malloc(trainer->parameters->elements * sizeof *v.all) };
    assert_non_null(v.all);
    for (size_t i = 0; i < trainer->parameters->count; i++) {
        const tn_parameter *item = &trainer->parameters->items[i];
        memcpy(v.all + v.count, item->grad, item->count * sizeof *item->grad);
        v.count += item->count;
    }
    bool differ = false;
    for (size_t i = 0; i < SAMPLES; i++)
        differ = differ || trainer->examples[i].label_count != trainer->examples[0].label_count;
    *update = trainer->last;
    assert_true(update->samples == SAMPLES && differ);
    tn_trainer_close(trainer);
    tn_train_config_free(&config);
    return v;
}

/* A loss of the method is a mean over the samples of an update: its gradients and its value do not depend on the division into batches,
 * although the samples have different numbers of labelled tokens. */
static void test_accumulated(void **state)
{
    tn_train_update one, three;
    values whole = gradients_of(*state, "batch_size=6", "gradient_accumulation_steps=1", &one);
    values parts = gradients_of(*state, "batch_size=2", "gradient_accumulation_steps=3", &three);
    double largest = 0, difference = 0;
    assert_int_equal(whole.count, parts.count);
    for (size_t i = 0; i < whole.count; i++) {
        largest = fmax(largest, fabs((double)whole.all[i]));
        difference = fmax(difference, fabs((double)whole.all[i] - (double)parts.all[i]));
    }
    assert_true(largest > 1e-3);
    if (!(difference <= 2e-6 * largest)) /* sums of a few f32 numbers in another order */
        fail_msg("gradients differ by %g of %g", difference, largest);
    assert_true(one.part_count == 1 && three.part_count == 1);
    assert_string_equal(one.parts[0].name, "number");
    assert_true(fabs(one.parts[0].value - three.parts[0].value) <= 1e-6 * one.parts[0].value);
    assert_true(one.parts[0].value > 0 && one.auxiliary == one.parts[0].value);
    free(whole.all);
    free(parts.all);
}

/* ----------------------------------------------------------------- asking -- */

/* A fresh session, one that knows picture and rows already, and one that computes all rows anew with each step, answer alike; another
 * picture, or other rows after layers, do not. */
static void check_answers(tenebra_model *model)
{
    for (size_t m = 0; tn_methods[m] != NULL; m++) {
        question q, other, anew;
        answer first, again, recomputed, changed, bare;
        tenebra_session *session = open_session(model), *fresh = open_session(model);
        ask_about(&q, tn_methods[m]->name, PICTURE, NULL, "What is it?");
        ask_about(&other, tn_methods[m]->name, OTHER_PICTURE, NULL, "What is it?");
        anew = q;
        anew.message.parts = anew.parts;
        anew.request.messages = &anew.message;
        anew.request.recompute = true;
        keep_answer(&first, ask(session, &q));
        assert_true(first.cells > 0);
        const tenebra_trace *trace = ask(session, &q);
        assert_true(trace->vision_cached == 1 && trace->prompt_reused > first.cells);
        keep_answer(&again, trace);
        assert_true(same(&first, &again));
        keep_answer(&recomputed, ask(fresh, &anew));
        assert_true(same(&first, &recomputed));
        keep_answer(&changed, ask(session, &other));
        assert_false(same(&first, &changed));
        model->decoder.config.rope_theta *= 2; /* the control: numbers are compared that depend on all of it */
        keep_answer(&bare, ask(fresh, &anew));
        assert_false(same(&first, &bare));
        model->decoder.config.rope_theta /= 2;
        tenebra_session_close(session);
        tenebra_session_close(fresh);
    }
}

/* Interventions on the latent text and on the choice of cells: answers with the cache are those without, and each changes something. */
static void check_interventions(const tenebra_model *model)
{
    static const char *const ways[][2] = { { "latent-text", "keep" }, { "latent-text", "zero" }, { "latent-text", "noise" },
                                           { "latent-text", "mean" }, { "latent-text", "frozen" }, { "latent-text", "shuffle" },
                                           { "latent-text", "drop" }, { "latent-picks", "random" }, { "latent-picks", "lowest" },
                                           { "latent-picks", "none" } };
    answer kept[sizeof ways / sizeof *ways];
    for (size_t w = 0; w < sizeof ways / sizeof *ways; w++) {
        answer anew;
        question q;
        const tenebra_setting settings[] = { { "n-latent", "3" }, { "k-select", "2" }, { ways[w][0], ways[w][1] } };
        for (size_t recompute = 0; recompute < 2; recompute++) {
            tenebra_session *session = open_session(model);
            ask_about(&q, "ivt-lr", OTHER_PICTURE, NULL, "What is it?");
            q.request.settings = settings;
            q.request.setting_count = 3;
            q.request.recompute = recompute;
            keep_answer(recompute ? &anew : &kept[w], ask(session, &q));
            tenebra_session_close(session);
        }
        assert_true(same(&kept[w], &anew));
        assert_true(w == 0 || !same(&kept[0], &kept[w]));
    }
}

/* Many of them at once, over one engine. */
static void check_rounds(const tenebra_model *model)
{
    enum { QUESTIONS = 10 };
    static const char *const words[] = { "What is it?", "Say which of the things in this picture is the smallest one, and why.", "Here?" };
    question all[QUESTIONS];
    answer alone[QUESTIONS];
    tenebra_error error = { 0 };
    tn_rounds *rounds;
    size_t method_count = sizeof tn_methods / sizeof *tn_methods - 1, begun = 0, taken = 0;
    for (size_t i = 0; i < QUESTIONS; i++) {
        ask_about(&all[i], tn_methods[i % method_count]->name, i % 4 == 3 ? NULL : i % 2 ? OTHER_PICTURE : PICTURE,
                  i == 4 ? OTHER_PICTURE : NULL, words[i % 3]);
        all[i].request.no_reuse = true;
        tenebra_session *session = open_session(model);
        keep_answer(&alone[i], ask(session, &all[i]));
        tenebra_session_close(session);
    }
    const tn_session_options options = { .context = 512, .threads = 2 };
    assert_int_equal(tn_rounds_open(&rounds, model, &options, 4, &error), TENEBRA_OK);
    while (taken < QUESTIONS) {
        tn_rounds_end end;
        while (begun < QUESTIONS && tn_rounds_has_room(rounds)) {
            assert_int_equal(tn_rounds_begin(rounds, &all[begun].request, NULL, NULL, &alone[begun], &error), TENEBRA_OK);
            begun++;
        }
        tn_rounds_run(rounds);
        while (tn_rounds_take(rounds, &end)) {
            answer together;
            if (end.code != TENEBRA_OK)
                fail_msg("%s: %s", end.error.where, end.error.sentence);
            keep_answer(&together, end.trace);
            assert_true(same(&together, end.user));
            assert_false(same(&together, end.user == &alone[0] ? &alone[1] : &alone[0]));
            taken++;
        }
    }
    tn_rounds_close(rounds);
}

/* Tokens that pictures are made of have the lowest logit; without the rule one of them is likely, if its row of the head says so. */
static void check_never_generated(tenebra_model *model)
{
    const tn_encoder_config *vision = &model->config.vision;
    tn_session *session;
    assert_int_equal(tn_session_open(model, &(tn_session_options){ .context = 64, .threads = 1 }, &session, NULL), TENEBRA_OK);
    tn_row rows[2] = { tn_row_of_token(5), tn_row_of_token(7) };
    rows[1].position = (tn_position){ { 1, 1, 1 } };
    size_t count = model->decoder.never_count;
    assert_int_equal(count, vision->code_count);
    for (size_t ruled = 0; ruled < 2; ruled++) {
        model->decoder.never_count = ruled ? count : 0;
        tn_session_reset(session);
        assert_int_equal(tn_session_append(session, rows, 2, NULL, NULL, NULL), TENEBRA_OK);
        assert_int_equal(tn_session_logits(session, NULL), TENEBRA_OK);
        for (size_t token = 0; token < session->logits.cols; token++) {
            bool code = false;
            for (size_t c = 0; c < vision->code_count; c++)
                code = code || (size_t)vision->ids[c] == token;
            assert_int_equal(session->logits.data[token] == -FLT_MAX, ruled && code);
        }
    }
    tn_session_close(session);
}

/* Rectangles of picks lie in what is seen of the picture, which the second toy cuts. */
static void check_rectangles(const tenebra_model *model, bool cut)
{
    question q;
    tenebra_session *session = open_session(model);
    ask_about(&q, "ivt-lr", OTHER_PICTURE, NULL, "What is it?");
    const tenebra_trace *trace = ask(session, &q);
    const tenebra_image *image = &trace->images[0];
    assert_true(trace->step_count > 0 && trace->steps[0].pick_count > 0);
    assert_int_equal(image->rows * image->columns, trace->image_tokens);
    for (size_t p = 0; p < trace->steps[0].pick_count; p++) {
        const tenebra_pick *pick = &trace->steps[0].picks[p];
        double width = (double)image->width / (double)image->columns, height = (double)image->height / (double)image->rows;
        assert_true(fabs(pick->x1 - pick->x0 - width) < 1e-9 && fabs(pick->y1 - pick->y0 - height) < 1e-9);
        double x = (double)image->x + (double)(pick->index % image->columns) * width;
        double y = (double)image->y + (double)(pick->index / image->columns) * height;
        assert_true(fabs(pick->x0 - x) < 1e-9 && fabs(pick->y0 - y) < 1e-9);
    }
    tn_image whole;
    assert_int_equal(tn_image_read(&whole, OTHER_PICTURE, NULL, true, NULL), TENEBRA_OK);
    assert_true(whole.width != whole.height);
    assert_int_equal(image->width * image->height < whole.width * whole.height, cut);
    if (cut) { /* 45 x 35 pixels are resized to 10 x 8, of which columns 1 to 9 are seen: 4.5 to 40.5 of 45, in whole pixels 4 to 41 */
        assert_true(image->x == 4 && image->y == 0);
        assert_true(image->width == 37 && image->height == 35);
    }
    assert_true(labs((long)image->x * 2 - (long)(whole.width - image->width)) <= 2); /* its middle */
    assert_true(labs((long)image->y * 2 - (long)(whole.height - image->height)) <= 2);
    tn_image_free(&whole);
    tenebra_session_close(session);
}

static void test_asked(void **state)
{
    const place *p = *state;
    for (size_t s = 0; s < 2; s++) {
        const char *lines[] = { shapes[s], "method=toy", "max_updates=6", "validate=false" };
        tn_train_config config;
        tenebra_error error = { 0 };
        tenebra_model *model;
        read_recipe(&config, p, lines, 4);
        free(train(&config, false, 0).all);
        tn_train_config_free(&config);
        char *directory = inside(p->output, "model");
        const tenebra_model_options options = { .size = sizeof options, .kernels = "reference" };
        if (tenebra_model_open(&model, directory, &options, &error) != TENEBRA_OK)
            fail_msg("%s: %s", error.where, error.sentence);
        assert_string_equal(model->note, "");
        check_answers(model);
        check_interventions(model);
        check_rounds(model);
        check_rectangles(model, s == 1);
        if (s == 0)
            check_never_generated(model);
        tenebra_model_close(model);
        free(directory);
    }
}

/* Adapters, also on the tower where it can be trained, and the module beside them; the model alone answers otherwise. */
static void test_adapters(void **state)
{
    const place *p = *state;
    for (size_t s = 0; s < 2; s++) {
        char base[128], *path = inside(p->root, "base"), *made = inside(p->output, "initial"), *adapter = inside(p->output, "adapter");
        const char *full[] = { shapes[s], "method=toy", "max_updates=1", "validate=false" };
        const char *lora[] = { "method=toy", "finetuning_type=lora", "lora_rank=2", "lora_target=all", "freeze_vision_tower=false",
                               "max_updates=6", "validate=false", base };
        tenebra_error error = { 0 };
        tn_train_config config;
        question q;
        answer with, again, bare;
        read_recipe(&config, p, full, 4);
        free(train(&config, false, 0).all);
        tn_train_config_free(&config);
        assert_int_equal(rename(made, path), 0);
        snprintf(base, sizeof base, "model=%s", path);
        read_recipe(&config, p, lora, 8);
        config.shape = NULL;
        values part = train(&config, false, 3), rest = train(&config, true, 0), whole = train(&config, false, 0);
        assert_true(rest.count == whole.count && part.count == whole.count);
        assert_memory_equal(rest.all, whole.all, whole.count * sizeof *whole.all);
        assert_memory_not_equal(part.all, whole.all, whole.count * sizeof *whole.all);
        for (size_t on = 0; on < 2; on++) {
            const tenebra_adapter one = { .directory = adapter, .strength = 1 };
            const tenebra_model_options options = { .size = sizeof options, .kernels = "reference", .adapters = &one, .adapter_count = on };
            tenebra_model *model;
            if (tenebra_model_open(&model, path, &options, &error) != TENEBRA_OK)
                fail_msg("%s: %s", error.where, error.sentence);
            tenebra_session *session = open_session(model);
            ask_about(&q, "ivt-lr", OTHER_PICTURE, NULL, "What is it?");
            keep_answer(on ? &with : &bare, ask(session, &q));
            keep_answer(&again, ask(session, &q));
            assert_true(same(on ? &with : &bare, &again));
            tenebra_session_close(session);
            tenebra_model_close(model);
        }
        assert_false(same(&with, &bare));
        free(part.all);
        free(rest.all);
        free(whole.all);
        tn_train_config_free(&config);
        tn_files_remove_directory(path, &error);
        tn_files_remove_directory(adapter, &error);
        free(path);
        free(made);
        free(adapter);
    }
}

/* ------------------------------------------------------------------- sizes -- */

/* Replaces the encoder's look at pixels by one that fails. */
static tenebra_code blind(const void *rule, const tn_image *image, tn_prepared *prepared, tenebra_error *error)
{
    (void)rule, (void)image, (void)prepared;
    return tn_fail(error, TENEBRA_ERROR_IO, "pixels", "were looked at");
}

/* What does not fit into the context is refused by the sizes of its pictures: no pixel is prepared. What fits needs them. */
static void test_measured_without_pixels(void **state)
{
    const place *p = *state;
    char *directory = inside(p->root, "blind");
    const tn_random_options made = { .shape = "toy-codes", .tokenizer = TENEBRA_TEST_DATA "/tokenizer-small", .seed = 3, .type = TN_F32 };
    assert_int_equal(tn_random_model_write(directory, &made, NULL), TENEBRA_OK);
    tenebra_model *model;
    assert_int_equal(tenebra_model_open(&model, directory, NULL, NULL), TENEBRA_OK);
    tn_image_encoder encoder = codes_encoder;
    tn_backbone backbone = codes_backbone;
    encoder.prepare = blind;
    backbone.encoder = &encoder;
    model->backbone = model->networks.backbone = &backbone;
    static const size_t contexts[] = { 10, 30, 300 };
    static const tenebra_code codes[] = { TENEBRA_ERROR_LIMIT, TENEBRA_ERROR_LIMIT, TENEBRA_ERROR_IO };
    for (size_t i = 0; i < 3; i++) { /* pictures alone, with their words, and everything */
        const tenebra_session_options options = { .size = sizeof options, .context = contexts[i], .threads = 1 };
        tenebra_session *session;
        question q;
        const tenebra_trace *trace;
        tenebra_error error = { 0 };
        assert_int_equal(tenebra_session_open(&session, model, &options, NULL), TENEBRA_OK);
        ask_about(&q, "direct", PICTURE, NULL, "What are the things that can be seen here, and which of them is small?");
        assert_int_equal(tenebra_session_ask(session, &q.request, &trace, &error), codes[i]);
        assert_string_equal(error.where, codes[i] == TENEBRA_ERROR_LIMIT ? "context" : "pixels");
        tenebra_session_close(session);
    }
    tenebra_model_close(model);
    tenebra_error error;
    assert_int_equal(tn_files_remove_directory(directory, &error), TENEBRA_OK);
    free(directory);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_trained_and_resumed, open_place, close_place),
        cmocka_unit_test_setup_teardown(test_gradient_into_the_table, open_place, close_place),
        cmocka_unit_test_setup_teardown(test_gradient_into_the_tower, open_place, close_place),
        cmocka_unit_test_setup_teardown(test_accumulated, open_place, close_place),
        cmocka_unit_test_setup_teardown(test_asked, open_place, close_place),
        cmocka_unit_test_setup_teardown(test_adapters, open_place, close_place),
        cmocka_unit_test_setup_teardown(test_measured_without_pixels, open_place, close_place),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
