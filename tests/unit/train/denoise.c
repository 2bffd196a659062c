/* Reconstruction from thoughts, trained, resumed and asked for: what the trainer measures of the targets, and what an answer shows. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "reason/modules.h"
#include "unit/train/run.h"

#include <jansson.h>
#include <math.h>

static const char picture_path[] = TENEBRA_TEST_DATA "/fuzz/image/rgb8.png";

/* All values of the module after a run; *last: its last update. */
static tn_real *train(const tn_train_config *config, bool resume, uint64_t stop_after, size_t *count, tn_train_update *last)
{
    watcher w = { .stop_after = stop_after };
    tn_trainer *trainer = run_trainer(config, resume, &w);
    tn_real *values = malloc(trainer->parameters->elements * sizeof *values);
    assert_non_null(values);
    *count = 0;
    for (size_t i = 0; i < trainer->parameters->count; i++) {
        const tn_parameter *item = &trainer->parameters->items[i];
        if (strncmp(item->name, "module.", strlen("module.")) != 0)
            continue;
        memcpy(values + *count, item->values, item->count * sizeof *values);
        *count += item->count;
    }
    *last = trainer->last;
    tn_trainer_close(trainer);
    return values;
}

static const char *const kinds[][3] = { { "rec=diffusion", "rec_target=rgb", "rec_size=16" }, { "rec=mse", "rec_target=rgb", "rec_size=32" },
                                        { "rec=diffusion", "rec_target=features", "rec_size=4" } };

static void read_kind(tn_train_config *config, const place *p, size_t kind, const char *weight)
{
    const char *lines[] = { "method=lare", "lq_width=16", "rec_width=16", "max_updates=6", "validate=false", weight, kinds[kind][0],
                            kinds[kind][1], kinds[kind][2] };
    read_recipe(config, p, lines, sizeof lines / sizeof *lines);
}

/* A run that is stopped and resumed has the bits of one that is not; another seed has others. */
static void test_resumed(void **state)
{
    for (size_t kind = 0; kind < 3; kind++) {
        tn_train_config config;
        tn_train_update last;
        size_t count, same;
        read_kind(&config, *state, kind, "lambda_r=0.5");
        tn_real *part = train(&config, false, 4, &same, &last);
        tn_real *rest = train(&config, true, 0, &count, &last);
        assert_int_equal(same, count);
        assert_memory_not_equal(part, rest, count * sizeof *rest);
        tn_real *whole = train(&config, false, 0, &same, &last);
        assert_memory_equal(rest, whole, count * sizeof *rest);
        assert_int_equal(last.part_count, 1);
        assert_string_equal(last.parts[0].name, "reconstruction");
        assert_true(isfinite(last.parts[0].value) && last.parts[0].value > 0);
        config.seed++;
        free(rest);
        rest = train(&config, false, 0, &same, &last);
        assert_memory_not_equal(rest, whole, count * sizeof *rest);
        free(part);
        free(rest);
        free(whole);
        tn_train_config_free(&config);
    }
}

static tenebra_model *open_trained(const place *p)
{
    char *directory = inside(p->output, "model");
    const tenebra_model_options options = { .size = sizeof options };
    tenebra_model *model;
    tenebra_error error = { 0 };
    if (tenebra_model_open(&model, directory, &options, &error) != TENEBRA_OK)
        fail_msg("%s: %s", error.where, error.sentence);
    free(directory);
    return model;
}

/* The only image of the set is measured: the picture that the model sees, normalised, has mean 0 and variance 1. Training keeps the
 * numbers, also a further run that starts from its result. */
static void test_measured(void **state)
{
    const place *p = *state;
    tn_train_config config;
    tn_train_update last;
    size_t count;
    read_kind(&config, p, 0, "lambda_r=0.5");
    free(train(&config, false, 1, &count, &last));
    free(train(&config, true, 0, &count, &last));
    tn_train_config_free(&config);
    tenebra_model *model = open_trained(p);
    const tn_method *method = tn_method_find("lare");
    const tn_denoiser d = method->denoiser(tn_module_of(model, "lare"));
    assert_true(tn_denoiser_shows(&d) && tn_denoiser_is_measured(&d));
    tn_real mean[3], deviation[3];
    memcpy(mean, tn_vector_values(&d.parts.frame->mean), sizeof mean);
    memcpy(deviation, tn_vector_values(&d.parts.frame->deviation), sizeof deviation);
    for (size_t c = 0; c < 3; c++)
        assert_true(mean[c] >= 0 && mean[c] <= 1 && deviation[c] > 0);
    assert_true(mean[0] > 0.1 || mean[1] > 0.1 || mean[2] > 0.1); /* neither 0 nor 1, as in a module that was not measured */
    tenebra_model_close(model);

    char *result = inside(p->output, "model"), *first = inside(p->root, "first");
    char start[128];
    assert_int_equal(rename(result, first), 0);
    snprintf(start, sizeof start, "model=%s", first);
    char data[128], output[128];
    const char *all[] = { data, output, start, "method=lare", "finetuning_type=full", "batch_size=2", "gradient_accumulation_steps=1", "max_updates=2",
                          "num_epochs=2", "epochs_per_stage=1", "max_latent_stage=1", "validate=false", "lambda_r=0.5", "threads=1" };
    tenebra_error error;
    snprintf(data, sizeof data, "data=hops:%s", p->data);
    snprintf(output, sizeof output, "output=%s", p->output);
    if (tn_train_config_read(&config, NULL, all, sizeof all / sizeof *all, &error) != TENEBRA_OK)
        fail_msg("%s: %s", error.where, error.sentence);
    free(train(&config, false, 0, &count, &last));
    tn_train_config_free(&config);
    model = open_trained(p);
    const tn_denoiser again = method->denoiser(tn_module_of(model, "lare"));
    assert_memory_equal(mean, tn_vector_values(&again.parts.frame->mean), sizeof mean);
    assert_memory_equal(deviation, tn_vector_values(&again.parts.frame->deviation), sizeof deviation);
    tenebra_model_close(model);
    assert_int_equal(tn_files_remove_directory(first, &error), TENEBRA_OK);
    free(result);
    free(first);
}

/* ---------------------------------------------------------------- asking -- */

/* What an answer shows, copied. */
typedef struct shown {
    bool told;
    char note[200];
    size_t side, steps, pictures, size;
    unsigned char seen[32 * 32 * 3], last[32 * 32 * 3];
    double error, other_error, loss, other_loss;
    float latents[16 * 256];
    char *json;
} shown;

static void ask(const tenebra_model *model, const char *method, bool wanted, const shown *other, uint64_t seed, shown *to)
{
    const tenebra_part parts[] = { { .kind = TENEBRA_PART_IMAGE_FILE, .text = picture_path }, { .text = "What is number 1?" } };
    const tenebra_message message = { .role = "user", .parts = parts, .part_count = 2 };
    const tenebra_input input = { "reconstruct", other != NULL ? other->latents : NULL, other != NULL ? other->steps : 0,
                                  other != NULL ? other->size : 0 };
    const tenebra_request request = { .size = sizeof request, .messages = &message, .message_count = 1, .method = method, .max_tokens = 2,
                                      .reconstruct = wanted, .inputs = &input, .input_count = other != NULL, .sampling.seed = seed };
    const tenebra_session_options one = { .size = sizeof one, .threads = 1, .context = 512 };
    const tenebra_trace *trace = NULL;
    tenebra_error error = { 0 };
    tenebra_session *session;
    memset(to, 0, sizeof *to);
    assert_int_equal(tenebra_session_open(&session, model, &one, &error), TENEBRA_OK);
    if (tenebra_session_ask(session, &request, &trace, &error) != TENEBRA_OK)
        fail_msg("%s: %s", error.where, error.sentence);
    const tenebra_reconstruction *made = trace->reconstruction;
    to->told = made != NULL;
    to->steps = trace->step_count;
    to->json = tenebra_trace_json(trace);
    for (size_t i = 0; i < trace->step_count; i++) {
        to->size = trace->steps[i].hidden_size;
        memcpy(to->latents + i * to->size, trace->steps[i].hidden, to->size * sizeof *to->latents);
        to->pictures += trace->steps[i].reconstruction != NULL;
        if (trace->steps[i].reconstruction != NULL)
            memcpy(to->last, trace->steps[i].reconstruction, made->side * made->side * 3);
    }
    if (made != NULL) {
        snprintf(to->note, sizeof to->note, "%s", made->note != NULL ? made->note : "");
        to->side = made->side;
        to->error = made->error;
        to->other_error = made->other_error;
        to->loss = made->loss;
        to->other_loss = made->other_loss;
        if (made->seen != NULL)
            memcpy(to->seen, made->seen, made->side * made->side * 3);
    }
    tenebra_session_close(session);
}

static size_t length_of(const json_t *text) { return json_string_length(text); }

static void test_shown(void **state)
{
    const place *p = *state;
    shown *a = calloc(6, sizeof *a);
    assert_non_null(a);
    for (size_t kind = 0; kind < 3; kind++) {
        tn_train_config config;
        tn_train_update last;
        size_t count;
        read_kind(&config, p, kind, "lambda_r=0.5");
        free(train(&config, false, 0, &count, &last));
        tn_train_config_free(&config);
        tenebra_model *model = open_trained(p);
        bool picture = kind < 2;
        ask(model, "lare", true, NULL, 1, &a[0]);
        ask(model, "lare", true, &a[0], 1, &a[1]);
        ask(model, "lare", false, NULL, 1, &a[2]);
        ask(model, "lare", true, NULL, 2, &a[3]);
        ask(model, "direct", true, NULL, 1, &a[4]);
        for (size_t i = 0; i < a[0].steps * a[0].size; i++) /* vectors of something else */
            a[5].latents[i] = (float)((i * 7919) % 13) - 6;
        a[5].steps = a[0].steps;
        a[5].size = a[0].size;
        shown other;
        ask(model, "lare", true, &a[5], 1, &other);
        assert_true(a[0].told && a[0].steps == 4);
        assert_int_equal(a[0].pictures, picture ? 4 : 0);
        assert_int_equal(a[0].side, picture ? (kind == 0 ? 16 : 32) : 0);
        assert_true((a[0].note[0] == '\0') == picture);
        assert_true(isfinite(a[0].error) && a[0].error > 0 && isfinite(a[0].loss) && a[0].loss > 0);
        assert_true(isnan(a[0].other_error) && isnan(a[0].other_loss));
        /* Its own vectors as those of another question give the same numbers; others give others. */
        assert_true(a[1].error == a[0].error && a[1].other_error == a[0].error && a[1].other_loss == a[0].loss);
        assert_memory_equal(a[1].last, a[0].last, sizeof a[0].last);
        assert_true(other.error == a[0].error && other.other_error != a[0].error && other.other_loss != a[0].loss);
        /* Not asked for: nothing. Noise of another seed: another picture, unless it is predicted at once. */
        assert_true(!a[2].told && a[2].pictures == 0 && strstr(a[2].json, "reconstruction") == NULL);
        assert_true((a[3].error == a[0].error) == (kind == 1));
        /* The picture of the original is in the JSON, too. */
        json_t *json = json_loads(a[0].json, 0, NULL), *made = json_object_get(json, "reconstruction");
        assert_int_equal(length_of(json_object_get(made, "seen")), a[0].side * a[0].side * 6);
        const json_t *step = json_object_get(json_array_get(json_object_get(json, "steps"), 3), "reconstruction");
        assert_int_equal(length_of(json_object_get(step, "rgb")), a[0].side * a[0].side * 6);
        json_decref(json);
        /* A method without such a network says so. */
        assert_true(a[4].told && a[4].pictures == 0 && strstr(a[4].note, "nothing") != NULL);
        for (size_t i = 0; i < 5; i++)
            free(a[i].json);
        free(other.json);
        tenebra_model_close(model);
    }
    free(a);
}

/* ------------------------------------------------------------- refusals -- */

static void test_without(void **state)
{
    const place *p = *state;
    tn_train_config config;
    tn_train_update last;
    size_t count;
    shown a;
    read_kind(&config, p, 0, "lambda_r=0");
    free(train(&config, false, 0, &count, &last));
    assert_int_equal(last.part_count, 0);
    tn_train_config_free(&config);
    tenebra_model *model = open_trained(p);
    ask(model, "lare", true, NULL, 1, &a);
    assert_true(a.told && a.pictures == 0 && strstr(a.note, "without reconstruction") != NULL && isnan(a.error));
    free(a.json);
    tenebra_model_close(model);
    /* A size of the other target. */
    const tenebra_setting settings[] = { { "lambda-r", "1" }, { "rec-size", "4" } };
    tn_module_shape shape = { .sizes = { [TN_MODULE_HIDDEN] = 48 } };
    tenebra_error error;
    assert_int_equal(tn_method_find("lare")->shape_module(settings, 2, &shape, &error), TENEBRA_ERROR_ARGUMENT);
    assert_string_equal(error.where, "rec-size");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_resumed, open_place, close_place),
        cmocka_unit_test_setup_teardown(test_measured, open_place, close_place),
        cmocka_unit_test_setup_teardown(test_shown, open_place, close_place),
        cmocka_unit_test_setup_teardown(test_without, open_place, close_place),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
