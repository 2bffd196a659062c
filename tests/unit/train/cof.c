/* Chain-of-Focus, trained: a small model learns to call for the region whose mark is asked for, and to read the mark there. Where
 * regions are cut from what the prompt shows, it learns the call and no mark. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "base/checked.h"
#include "base/rng.h"
#include "image/png_write.h"
#include "reason/asked.h"
#include "unit/train/run.h"

#include <math.h>

enum { SIDE = 224, MARKS = 2, LOOKS = 4 /* images of each mark, with other grain */, HELD = 2, QUESTIONS = MARKS * HELD, EDGE = 16 };

/* The region that samples name, in pixels and as rows of the data have it. */
enum { LEFT = 56, TOP = 112, WIDTH = 56 };
#define BOX "[0.25, 0.5, 0.5, 0.75]"

/* ------------------------------------------------------------------- data -- */

/* Stripes of single pixels, upright or lying, that fade out at the borders. The bicubic filter that halves an image is symmetric, so
 * nothing of them is left in the size of the prompt (data/hops_mark.c). */
static void draw(size_t mark, uint64_t grain, unsigned char *pixels)
{
    tn_rng rng = tn_rng_seed(grain);
    for (size_t i = 0; i < (size_t)SIDE * SIDE; i++) {
        size_t x = i % SIDE, y = i / SIDE;
        float fade = fminf(1, (float)tn_min(tn_min(x, SIDE - 1 - x), tn_min(y, SIDE - 1 - y)) / EDGE);
        float value = 128 + ((mark ? x : y) % 2 ? 60.0f : -60.0f) * fade + 3 * (float)(tn_rng_uniform(&rng) - tn_rng_uniform(&rng));
        pixels[3 * i] = pixels[3 * i + 1] = pixels[3 * i + 2] = (unsigned char)(value + 0.5f);
    }
}

static void write_marks(const place *p, const char *split, size_t first, size_t count)
{
    unsigned char *pixels = malloc((size_t)3 * SIDE * SIDE);
    char rows[8192] = "", name[128];
    assert_non_null(pixels);
    for (size_t i = 0; i < MARKS * count; i++) {
        draw(i % MARKS, first + i / MARKS, pixels);
        const tn_image image = { .width = SIDE, .height = SIDE, .channels = 3, .pixels = pixels };
        char row[1024];
        snprintf(name, sizeof name, "%s/data/images/%s-%zu.png", p->data, split, i);
        assert_int_equal(tn_png_write(&image, name, NULL), TENEBRA_OK);
        snprintf(row, sizeof row, "{\"id\": \"%s-%zu\", \"question\": \"Which?\", \"choices\": [\"a\", \"b\"], \"answer\": \"%c\", \"rationale\": "
                 "\"\", \"image\": \"data/images/%s-%zu.png\", \"topic\": \"t\", \"regions\": [{\"box\": " BOX "}]}\n", split, i,
                 (int)('A' + i % MARKS), split, i);
        strncat(rows, row, sizeof rows - strlen(rows) - 1);
    }
    snprintf(name, sizeof name, "%s/data/%s.jsonl", p->data, split);
    assert_int_equal(tn_output_put(name, rows, strlen(rows), NULL), TENEBRA_OK);
    free(pixels);
}

static int open_marks(void **state)
{
    if (open_place(state) != 0)
        return -1;
    write_marks(*state, "train", 0, LOOKS);
    write_marks(*state, "dev", LOOKS, HELD);
    return 0;
}

/* ---------------------------------------------------------------- training -- */

static const char *place_of(const place *p, char set[128])
{
    snprintf(set, 128, "hops:%s", p->data);
    return set;
}

static void read_marks_recipe(tn_train_config *config, const place *p, const char *from, const char *length)
{
    char data[128], output[128];
    tenebra_error error;
    const char *const lines[] = {
        data, output, "shape=tiny", "tokenizer=" TENEBRA_TEST_DATA "/tokenizer-small", "method=cof", "prompt=brief", "call_form=brief", "lead=",
        "image_size=112x112", "crop_size=56x56", "enlarge=100", from, "validate=false", length, "batch_size=8",
        "gradient_accumulation_steps=1", "init_std=0", "lr=1e-3", "threads=2",
    };
    snprintf(data, sizeof data, "data=hops:%s", p->data);
    snprintf(output, sizeof output, "output=%s", p->output);
    if (tn_train_config_read(config, NULL, lines, sizeof lines / sizeof *lines, &error) != TENEBRA_OK)
        fail_msg("%s: %s", error.where, error.sentence);
}

/* Asks the held-out questions. Returns the number of right answers; *shown: that of calls for the right region. */
static size_t ask(const place *p, const tn_train_config *config, size_t *shown)
{
    char *directory = inside(p->output, "model");
    size_t right = 0;
    tenebra_error error = { 0 };
    tenebra_model *model;
    tenebra_session *session;
    tn_data *data;
    char set[128];
    if (tenebra_model_open(&model, directory, NULL, &error) != TENEBRA_OK ||
        tenebra_session_open(&session, model, NULL, &error) != TENEBRA_OK)
        fail_msg("%s: %s", error.where, error.sentence);
    assert_int_equal(tn_data_open(place_of(p, set), "dev", NULL, &data, &error), TENEBRA_OK);
    *shown = 0;
    for (size_t i = 0; i < QUESTIONS; i++) {
        const tenebra_trace *trace;
        tn_asked asked;
        assert_int_equal(tn_asked_write(&asked, tn_prompt_find("brief"), tn_data_sample(data, i), &error), TENEBRA_OK);
        tenebra_request request = tn_asked_request(&asked);
        request.method = "cof";
        request.settings = config->settings;
        request.setting_count = config->setting_count;
        request.max_tokens = 32;
        request.image = config->image;
        if (tenebra_session_ask(session, &request, &trace, &error) != TENEBRA_OK)
            fail_msg("%s: %s", error.where, error.sentence);
        const tenebra_note *calls = tenebra_trace_note(trace, "calls");
        const tenebra_region *call = calls != NULL && calls->count == 1 ? calls->regions : NULL;
        *shown += call != NULL && call->outcome == TENEBRA_OUTCOME_SHOWN && call->x0 == LEFT && call->x1 == LEFT + WIDTH &&
                  call->y0 == TOP && call->y1 == TOP + WIDTH;
        right += strcmp(trace->text, i % MARKS ? " b" : " a") == 0;
        tn_asked_free(&asked);
    }
    tn_data_close(data);
    tenebra_session_close(session);
    tenebra_model_close(model);
    free(directory);
    return right;
}

static size_t learn(const place *p, const char *from, size_t *shown)
{
    tn_train_config config;
    watcher w = { 0 };
    read_marks_recipe(&config, p, from, "num_epochs=24");
    tn_trainer_close(run_trainer(&config, false, &w));
    size_t right = ask(p, &config, shown);
    tn_train_config_free(&config);
    return right;
}

static void test_marks_are_read(void **state)
{
    size_t shown;
    assert_int_equal(learn(*state, "crop_from=original", &shown), QUESTIONS);
    assert_int_equal(shown, QUESTIONS);
    /* Negative control: the call is learned as well, but there is nothing to see. */
    assert_true(learn(*state, "crop_from=seen", &shown) < QUESTIONS);
    assert_int_equal(shown, QUESTIONS);
}

/* All trained values after an uninterrupted run, or one that stopped after two updates. */
static tn_real *values_of(const tn_train_config *config, bool resume, uint64_t stop_after, size_t *count)
{
    watcher w = { .stop_after = stop_after };
    tn_trainer *trainer = run_trainer(config, resume, &w);
    const tn_parameters *parameters = trainer->parameters;
    tn_real *values = malloc(parameters->elements * sizeof *values);
    assert_non_null(values);
    *count = parameters->elements;
    for (size_t i = 0, at = 0; i < parameters->count; at += parameters->items[i++].count)
        memcpy(values + at, parameters->items[i].values, parameters->items[i].count * sizeof *values);
    tn_trainer_close(trainer);
    return values;
}

static void test_resumed(void **state)
{
    tn_train_config config;
    size_t count;
    read_marks_recipe(&config, *state, "crop_from=original", "num_epochs=4");
    tn_real *whole = values_of(&config, false, 0, &count), *part = values_of(&config, false, 2, &count);
    assert_memory_not_equal(part, whole, count * sizeof *whole);
    tn_real *rest = values_of(&config, true, 0, &count);
    assert_memory_equal(rest, whole, count * sizeof *whole);
    free(whole);
    free(part);
    free(rest);
    tn_train_config_free(&config);
}

/* A run continues only with the regions that it began with. */
static void test_other_regions(void **state)
{
    const place *p = *state;
    tn_train_config config;
    tn_trainer *trainer;
    tenebra_error error = { 0 };
    size_t count;
    char *rows = inside(p->data, "data/train.jsonl");
    tn_file file;
    read_marks_recipe(&config, p, "crop_from=original", "num_epochs=4");
    free(values_of(&config, false, 2, &count));
    assert_int_equal(tn_file_read(&file, rows, 1 << 20, NULL), TENEBRA_OK);
    char *text = calloc(file.size + 1, 1), *box;
    assert_non_null(text);
    memcpy(text, file.data, file.size);
    assert_non_null(box = strstr(text, BOX));
    box[strlen("[0.25, 0.5, 0.")] = '7';
    assert_int_equal(tn_output_put(rows, text, file.size, NULL), TENEBRA_OK);
    assert_int_equal(tn_trainer_open(&config, &(tn_trainer_options){ .resume = true }, &trainer, &error), TENEBRA_ERROR_MISMATCH);
    tn_file_close(&file);
    free(text);
    free(rows);
    tn_train_config_free(&config);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_marks_are_read, open_marks, close_place),
        cmocka_unit_test_setup_teardown(test_resumed, open_marks, close_place),
        cmocka_unit_test_setup_teardown(test_other_regions, open_marks, close_place),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
