/* Evaluations of backbones that exist in tests/toys alone: every question is answered, whatever the number of processes and of questions
 * at once. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "base/file.h"
#include "base/output.h"
#include "eval/journal.h"
#include "eval/run.h"
#include "model/random.h"
#include "toys/codes.h"
#include "toys/deep.h"
#include "unit/store/files.h"

#include <sys/stat.h>
#include <unistd.h>

/* In the place of the lists that the build makes. */
const tn_backbone *const tn_backbones[] = { &codes_backbone, &deep_backbone, NULL };
const tn_shape tn_shapes[] = {
    { "toy-codes", (const unsigned char *)codes_shape, sizeof codes_shape - 1 },
    { "toy-deep", (const unsigned char *)deep_shape, sizeof deep_shape - 1 },
    { NULL, NULL, 0 },
};

enum { QUESTIONS = 5, ENTRIES = 4 };

/* "directory/set" with its pictures and "directory/model". */
static void make_set(const char *directory)
{
    static const char *const pictures[] = { "image/exif6.png", "image/444.jpg" };
    char path[1024], rows[8192] = "";
    tn_file file;
    for (size_t i = 0; i < 3; i++) {
        snprintf(path, sizeof path, "%s/%s", directory, (const char *[]){ "set", "set/data", "set/data/images" }[i]);
        assert_int_equal(mkdir(path, 0777), 0);
    }
    for (size_t i = 0; i < 2; i++) {
        snprintf(path, sizeof path, "%s/%s", TENEBRA_TEST_DATA, pictures[i]);
        assert_int_equal(tn_file_read(&file, path, 1 << 20, NULL), TENEBRA_OK);
        snprintf(path, sizeof path, "%s/set/data/images/%zu.png", directory, i);
        assert_int_equal(tn_output_put(path, file.data, file.size, NULL), TENEBRA_OK);
        tn_file_close(&file);
    }
    for (int i = 0; i < QUESTIONS; i++) {
        char row[1024];
        snprintf(row, sizeof row, "{\"id\": \"q%d\", \"category\": \"x\", \"image_id\": \"q%d\", \"question\": \"What is number %d?\", "
                 "\"choices\": [\"a cat\", \"a dog\"], \"context\": \"\", \"answer\": \"%c\", \"rationale\": \"because.\", "
                 "\"split\": \"test\", \"image\": \"data/images/%d.png\", \"domain\": \"d\", \"topic\": \"t\"}\n",
                 i, i, i, i % 2 ? 'A' : 'B', i % 2);
        strncat(rows, row, sizeof rows - strlen(rows) - 1);
    }
    snprintf(path, sizeof path, "%s/set/data/test.jsonl", directory);
    assert_int_equal(tn_output_put(path, rows, strlen(rows), NULL), TENEBRA_OK);
}

/* What answers must have in common: text, tokens and picks, by question and entry. */
static json_t *answers_of(const char *path)
{
    FILE *file = fopen(path, "r");
    static char line[1 << 20];
    json_t *all = json_object();
    assert_non_null(file);
    while (fgets(line, sizeof line, file) != NULL) {
        json_t *record = json_loads(line, 0, NULL);
        const char *id = json_string_value(json_object_get(record, "id")), *label = json_string_value(json_object_get(record, "method"));
        char key[128];
        if (id != NULL && label != NULL) {
            assert_null(json_object_get(record, "error"));
            json_object_del(record, "ms");
            json_object_del(record, "digest");
            json_t *steps = json_object_get(record, "steps"), *step;
            size_t index;
            json_array_foreach(steps, index, step)
                json_object_del(step, "ms");
            snprintf(key, sizeof key, "%s %s", id, label);
            json_object_set(all, key, record);
        }
        json_decref(record);
    }
    fclose(file);
    return all;
}

static json_t *evaluate(const char *directory, size_t parallel)
{
    char model[1024], data[1024], output[1024];
    snprintf(model, sizeof model, "%s/model", directory);
    snprintf(data, sizeof data, "hops:%s/set", directory);
    snprintf(output, sizeof output, "%s/run.jsonl", directory);
    static const char *const entries[ENTRIES] = { "ivt-lr:n-latent=2:k-select=2", "icot:at-start=yes:patches=2", "coconut:n-latent=2",
                                                  "direct" };
    tn_eval_plan plan = { .model = model, .data = data, .model_options.size = sizeof plan.model_options, .session = { .size = sizeof plan.session, .context = 512 },
                          .request = { .size = sizeof plan.request, .max_tokens = 6, .scores = true } };
    const tn_eval_options options = { .output = output, .anew = true, .workers = 1, .threads = 1, .parallel = parallel, .leave = _exit };
    tenebra_error error = { 0 };
    tn_eval *eval = NULL;
    for (size_t i = 0; i < ENTRIES; i++)
        assert_int_equal(tn_eval_plan_add(&plan, entries[i], &error), TENEBRA_OK);
    if (tn_eval_open(&eval, &plan, &options, &error) != TENEBRA_OK || tn_eval_run(eval, &error) != TENEBRA_OK)
        fail_msg("%s: %s", error.where, error.sentence);
    assert_int_equal(tn_eval_failures(eval), 0);
    tn_eval_close(eval);
    tn_eval_plan_free(&plan);
    json_t *answers = answers_of(output);
    assert_int_equal(unlink(output), 0);
    return answers;
}

static void test_evaluated(void **state)
{
    (void)state;
    for (const tn_shape *shape = tn_shapes; shape->name != NULL; shape++) {
        char *directory = make_directory(), path[1024];
        make_set(directory);
        snprintf(path, sizeof path, "%s/model", directory);
        const tn_random_options options = { .shape = shape->name, .tokenizer = TENEBRA_TEST_DATA "/tokenizer-small", .seed = 9,
                                            .type = TN_F32 };
        assert_int_equal(tn_random_model_write(path, &options, NULL), TENEBRA_OK);
        json_t *alone = evaluate(directory, 1), *together = evaluate(directory, 4);
        assert_int_equal(json_object_size(alone), QUESTIONS * ENTRIES);
        if (!json_equal(alone, together))
            fail_msg("%s: answers differ between one at once and four", shape->name);
        json_t *one = json_object_get(alone, "q0 direct"), *other = json_object_get(alone, "q1 direct"); /* another picture */
        assert_non_null(one);
        assert_false(json_equal(one, other));
        json_decref(alone);
        json_decref(together);
        static const char *const folders[] = { "/set/data/images", "/set/data", "/set", "/model", "" };
        for (size_t i = 0; i < sizeof folders / sizeof *folders; i++) {
            snprintf(path, sizeof path, "%s%s", directory, folders[i]);
            remove_directory(strdup(path));
        }
        free(directory);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = { cmocka_unit_test(test_evaluated) };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
