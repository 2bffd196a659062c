/* Prompts, steps and answers that the IVT-LR authors' own functions make of published rows. The rows may not be copied
 * into this repository; the test finds them through TENEBRA_EVAL_DATA and is skipped without it. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include "base/file.h"
#include "unit/data/files.h"

#define IMAGE_TOKENS "<<1024 x image token>>"
enum { SKIPPED = 77 };

static const char *root(void)
{
    const char *path = getenv("TENEBRA_EVAL_DATA");
    return path != NULL && path[0] != '\0' ? path : NULL;
}

/* The prompt of a preset with `image` in the place of the images. The caller frees it. */
static char *prompt_of(const char *preset, const tn_sample *sample, const char *image)
{
    tn_prompt prompt;
    assert_int_equal(tn_prompt_write(&prompt, tn_prompt_find(preset), sample, NULL), TENEBRA_OK);
    size_t size = prompt.length + strlen(image) + 1;
    char *text = malloc(size);
    snprintf(text, size, "%.*s%s%s", (int)prompt.image_at, prompt.text, image, prompt.text + prompt.image_at);
    tn_prompt_free(&prompt);
    return text;
}

/* Compares, and sees that a changed question would be noticed. */
static void expect_prompt(const char *preset, const tn_sample *sample, const char *image, const json_t *expected)
{
    assert_true(json_is_string(expected));
    char *text = prompt_of(preset, sample, image);
    assert_string_equal(text, json_string_value(expected));
    free(text);
    tn_sample changed = *sample;
    changed.question = "Another question?";
    text = prompt_of(preset, &changed, image);
    assert_string_not_equal(text, json_string_value(expected));
    free(text);
}

static void expect_steps(const tn_sample *sample, const json_t *expected)
{
    tn_steps steps;
    assert_true(json_is_array(expected));
    assert_int_equal(tn_steps_split(&steps, sample->rationale, TN_STEPS_GROUPS, NULL), TENEBRA_OK);
    assert_int_equal(steps.count, json_array_size(expected));
    for (size_t i = 0; i < steps.count; i++)
        assert_string_equal(steps.items[i], json_string_value(json_array_get(expected, i)));
    tn_steps_free(&steps);
}

static void expect_answer(const tn_sample *sample, const json_t *expected)
{
    char *answer;
    tn_prompt_answer(tn_prompt_find("ivtlr-train"), sample, &answer, NULL);
    assert_string_equal(answer, json_string_value(expected));
    free(answer);
}

static const tn_sample *find_sample(const tn_data *data, const char *id)
{
    for (size_t i = 0; i < tn_data_count(data); i++)
        if (strcmp(tn_data_sample(data, i)->id, id) == 0)
            return tn_data_sample(data, i);
    fail_msg("there is no sample %s", id);
    return NULL;
}

/* Calls `check` with each line of a file; returns how many there are. */
static size_t each_line(const char *name, void (*check)(const json_t *row, void *user), void *user)
{
    char path[1024];
    snprintf(path, sizeof path, "%s/%s", root(), name);
    FILE *file = fopen(path, "r");
    assert_non_null(file);
    char *line = NULL;
    size_t capacity = 0, count = 0;
    for (ssize_t length; (length = getline(&line, &capacity, file)) > 0; count++) {
        json_t *row;
        tn_json_parse(line, (size_t)length, path, &row, NULL);
        assert_non_null(row);
        check(row, user);
        json_decref(row);
    }
    free(line);
    fclose(file);
    return count;
}

static void check_lettered(const json_t *row, void *user)
{
    const tn_sample *sample = find_sample(user, json_string_value(json_object_get(row, "id")));
    expect_prompt("ivtlr-train", sample, "", json_object_get(row, "train_user_text"));
    expect_prompt("ivtlr-infer", sample, "", json_object_get(row, "test_user_text"));
    expect_answer(sample, json_object_get(row, "answer_text"));
    assert_true(tn_path_is_file(sample->images[0]));
}

static void test_lettered_rows(void **state)
{
    (void)state;
    char place[600];
    snprintf(place, sizeof place, "%s/samples/m3cot", root());
    tenebra_error error;
    tn_data *data = open_set("m3cot", place, "test", NULL, &error);
    if (data == NULL)
        fail_msg("%s: %s", error.where, error.sentence);
    assert_int_equal(tn_data_count(data), 18);
    assert_int_equal(each_line("samples/m3cot/expected_prompts.jsonl", check_lettered, data), 18);
    tn_data_close(data);
}

static void test_row_with_rationale(void **state)
{
    (void)state;
    char path[600], *tree = make_tree();
    snprintf(path, sizeof path, "%s/samples/m3cot/train_row_no_image.json", root());
    json_t *file;
    tn_json_read(path, 1 << 20, &file, NULL);
    assert_non_null(file);
    char *line = json_dumps(json_object_get(file, "row"), 0);
    put_file(tree, "train.jsonl", line);
    tenebra_error error;
    tn_data *data = open_set("m3cot", tree, "train", NULL, &error);
    assert_non_null(data);
    const json_t *expected = json_object_get(file, "expected");
    expect_prompt("ivtlr-train", tn_data_sample(data, 0), "", json_object_get(expected, "train_user_text"));
    expect_steps(tn_data_sample(data, 0), json_object_get(expected, "steps"));
    expect_answer(tn_data_sample(data, 0), json_object_get(expected, "answer_text"));
    tn_data_close(data);
    free(line);
    json_decref(file);
    remove_tree(tree);
}

static void check_indexed(const json_t *row, void *user)
{
    tn_data **splits = user;
    const char *split = json_string_value(json_object_get(row, "split"));
    tn_data *data = splits[strcmp(split, "train") == 0 ? 0 : strcmp(split, "val") == 0 ? 1 : 2];
    const tn_sample *sample = find_sample(data, json_string_value(json_object_get(row, "pid")));
    expect_prompt("ivtlr-fused-train", sample, IMAGE_TOKENS, json_object_get(row, "train_text"));
    expect_prompt("ivtlr-fused-infer", sample, "<image>", json_object_get(row, "test_text"));
    expect_prompt("ivtlr-infer-parens", sample, "<image>", json_object_get(row, "test_text"));
    expect_steps(sample, json_object_get(row, "steps"));
    expect_answer(sample, json_object_get(row, "answer_text"));
    assert_int_equal(sample->answer, json_integer_value(json_object_get(row, "gt_answer")));
    assert_true(tn_path_is_file(sample->images[0]));
}

static void test_indexed_rows(void **state)
{
    (void)state;
    static const char *const names[] = { "train", "val", "test" };
    static const size_t rows[] = { 17, 17, 18 };
    char place[600];
    tn_data *splits[3];
    size_t with_image = 0;
    snprintf(place, sizeof place, "%s/samples/scienceqa", root());
    for (size_t i = 0; i < 3; i++) {
        tenebra_error error;
        splits[i] = open_set("scienceqa", place, names[i], NULL, &error);
        if (splits[i] == NULL)
            fail_msg("%s: %s", error.where, error.sentence);
        assert_int_equal(tn_data_rows(splits[i]), rows[i]);
        with_image += tn_data_count(splits[i]);
    }
    assert_int_equal(with_image, 34);
    assert_int_equal(each_line("samples/scienceqa/expected_prompts.jsonl", check_indexed, splits), 34);
    for (size_t i = 0; i < 3; i++)
        tn_data_close(splits[i]);
}

int main(void)
{
    if (root() == NULL) {
        printf("skipped: TENEBRA_EVAL_DATA names no directory with published samples\n");
        return SKIPPED;
    }
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_lettered_rows),
        cmocka_unit_test(test_row_with_rationale),
        cmocka_unit_test(test_indexed_rows),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
