/* A format of tensor files that exists only in this file: a model in this format is opened, answers questions, is verified and
 * quantised like any other.
 *
 * A model is a directory of *.toy files, two of them here, and no config.json: each file says a part of it. A file begins with
 * lines of text: "toy 1", "config OBJECT" in JSON, "tensor OFFSET TYPE RANK DIMENSION ... NAME" with offsets in the file, "end". */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/file.h"
#include "base/output.h"
#include "model/quantize.h"
#include "model/recipe.h"
#include "store/format.h"
#include "unit/store/files.h"
#include "verify/verify.h"

#define GOLDEN TENEBRA_TEST_DATA "/golden/qwen2vl_tied"
#define TALKING TENEBRA_TEST_DATA "/../../models/default"

/* ------------------------------------------------------------ the format -- */

static const char MAGIC[] = "toy 1\n", END[] = "\nend\n";

static bool knows(const unsigned char *bytes, size_t size)
{
    return size >= sizeof MAGIC - 1 && memcmp(bytes, MAGIC, sizeof MAGIC - 1) == 0;
}

/* The number before the next space. */
static bool next_number(char **at, size_t *value)
{
    char *end;
    *value = strtoull(*at, &end, 10);
    bool good = end != *at && *end == ' ';
    *at = end + good;
    return good;
}

static bool read_tensor(const tn_contents *contents, char *line, tn_stored *tensor)
{
    char *space = strchr(line, ' ');
    size_t offset;
    if (space == NULL)
        return false;
    *space++ = '\0';
    if (!tn_store_type_by_name(line, &tensor->type) || !next_number(&space, &offset) || !next_number(&space, &tensor->rank) ||
        tensor->rank > TN_STORED_RANK_MAX)
        return false;
    for (size_t i = 0; i < tensor->rank; i++)
        if (!next_number(&space, &tensor->shape[i]))
            return false;
    tensor->name = space;
    tensor->data = contents->bytes + offset;
    return tn_stored_name_is_valid(space) && tn_stored_measure(tensor) && offset <= contents->size &&
           tensor->bytes <= contents->size - offset;
}

static tenebra_code read_lines(tn_contents *contents, char *text, const char *name, tenebra_error *error)
{
    for (char *line = text, *end; (end = strchr(line, '\n')) != NULL; line = end + 1) {
        *end = '\0';
        bool good = true;
        if (strncmp(line, "config ", 7) == 0)
            good = (contents->config = json_loads(line + 7, 0, NULL)) != NULL;
        else if (strncmp(line, "tensor ", 7) == 0)
            good = read_tensor(contents, line + 7, &contents->tensors[contents->count++]);
        if (!good)
            return tn_fail(error, TENEBRA_ERROR_FORMAT, name, "is a damaged toy");
    }
    return TENEBRA_OK;
}

static tenebra_code open_toy(tn_contents *contents, const char *name, tenebra_error *error)
{
    const char *bytes = (const char *)contents->bytes, *end = NULL;
    size_t lines = 0;
    for (size_t i = 0; end == NULL && i + strlen(END) <= contents->size; i++) {
        lines += bytes[i] == '\n';
        if (memcmp(bytes + i, END, strlen(END)) == 0)
            end = bytes + i + 1;
    }
    if (!knows(contents->bytes, contents->size) || end == NULL)
        return tn_fail(error, TENEBRA_ERROR_FORMAT, name, "is no whole toy");
    contents->own = strndup(bytes, (size_t)(end - bytes));
    contents->tensors = calloc(lines, sizeof *contents->tensors);
    assert_non_null(contents->own);
    assert_non_null(contents->tensors);
    return read_lines(contents, contents->own, name, error);
}

static void close_toy(tn_contents *contents)
{
    free(contents->own);
}

static const tn_format toy = { .name = "toy", .names = { "*.toy" }, .weights = { "*.toy" }, .knows = knows, .open = open_toy, .close = close_toy };

/* In the place of the list that the build makes. */
extern const tn_format tn_format_safetensors;
const tn_format *const tn_formats[] = { &toy, &tn_format_safetensors, NULL };

/* -------------------------------------------------------------- writing -- */

/* The tensors of a store whose names begin with `front`, or, with `others`, all the others. */
static void write_toy(const char *directory, const char *name, const tn_store *store, const char *front, bool others,
                      const json_t *config)
{
    char path[1024];
    size_t offset = 1 << 16, count = tn_store_count(store);
    snprintf(path, sizeof path, "%s/%s", directory, name);
    FILE *file = fopen(path, "wb");
    assert_non_null(file);
    char *text = json_dumps(config, JSON_COMPACT);
    fprintf(file, "%sconfig %s\n", MAGIC, text);
    free(text);
    for (int data = 0; data < 2; data++) {
        for (size_t i = 0; i < count; i++) {
            const tn_stored *tensor = tn_store_at(store, i);
            if ((strncmp(tensor->name, front, strlen(front)) == 0) == others)
                continue;
            if (data) {
                assert_int_equal(fwrite(tensor->data, 1, tensor->bytes, file), tensor->bytes);
                continue;
            }
            fprintf(file, "tensor %s %zu %zu", tn_store_type_of(tensor->type)->name, offset, tensor->rank);
            for (size_t d = 0; d < tensor->rank; d++)
                fprintf(file, " %zu", tensor->shape[d]);
            fprintf(file, " %s\n", tensor->name);
            offset += tensor->bytes;
        }
        if (!data) {
            fputs(END + 1, file);
            assert_true(ftell(file) < 1 << 16);
            fseek(file, 1 << 16, SEEK_SET);
        }
    }
    assert_int_equal(fclose(file), 0);
}

/* A model directory as two toys: the tower with what config.json says of it, and the rest. Its tokenizer is copied. */
static char *make_toy(const char *model)
{
    static const char *const companions[] = { "tokenizer.json", "tokenizer_config.json", "generation_config.json",
                                              "preprocessor_config.json" };
    char *directory = make_directory(), path[1024];
    tn_store *store;
    assert_int_equal(tn_store_open(model, &store, NULL), TENEBRA_OK);
    snprintf(path, sizeof path, "%s/config.json", model);
    json_t *config = json_load_file(path, 0, NULL), *part = json_object();
    json_object_set(part, "vision_config", json_object_get(config, "vision_config"));
    json_object_del(config, "vision_config");
    write_toy(directory, "tower.toy", store, "visual.", false, part);
    write_toy(directory, "words.toy", store, "visual.", true, config);
    for (size_t i = 0; i < sizeof companions / sizeof *companions; i++)
        assert_int_equal(tn_output_copy(model, directory, companions[i], NULL), TENEBRA_OK);
    json_decref(config);
    json_decref(part);
    tn_store_close(store);
    return directory;
}

/* ---------------------------------------------------------------- tests -- */

static void test_it_is_opened(void **state)
{
    (void)state;
    char *directory = make_toy(GOLDEN "/model");
    tn_store *toys, *published;
    assert_int_equal(tn_store_open(directory, &toys, NULL), TENEBRA_OK);
    assert_int_equal(tn_store_open(GOLDEN "/model", &published, NULL), TENEBRA_OK);
    assert_int_equal(tn_store_file_count(toys), 2);
    assert_int_equal(tn_store_count(toys), tn_store_count(published));
    for (size_t i = 0; i < tn_store_count(toys); i++) {
        const tn_stored *mine = tn_store_at(toys, i), *theirs = tn_store_find(published, mine->name);
        assert_non_null(theirs);
        assert_int_equal(mine->bytes, theirs->bytes);
        assert_memory_equal(mine->data, theirs->data, mine->bytes);
    }
    json_t *config = json_load_file(GOLDEN "/model/config.json", 0, NULL);
    assert_true(json_equal(tn_store_config(toys), config));
    assert_null(tn_store_config(published));
    json_decref(config);
    tn_store_close(toys);
    tn_store_close(published);
    remove_directory(directory);
}

static size_t failures_of(const char *model)
{
    tn_verify verify;
    tenebra_error error = { 0 };
    size_t failed = 0;
    const tn_verify_options options = { .model = model, .threads = 2 };
    if (tn_verify_open(&verify, GOLDEN "/case.safetensors", &options, &error) != TENEBRA_OK)
        fail_msg("%s: %s", error.where, error.sentence);
    tn_verify_run(&verify);
    assert_int_equal(verify.failure.code, TENEBRA_OK);
    assert_true(verify.row_count > 20);
    for (size_t i = 0; i < verify.row_count; i++)
        failed += !verify.rows[i].passed;
    tn_verify_close(&verify);
    return failed;
}

static void test_it_is_verified(void **state)
{
    (void)state;
    char *directory = make_toy(GOLDEN "/model"), path[1024];
    assert_int_equal(failures_of(directory), 0);
    snprintf(path, sizeof path, "%s/words.toy", directory);
    FILE *file = fopen(path, "r+b"); /* the exponents of the last weights */
    assert_int_equal(fseek(file, -1, SEEK_END), 0);
    assert_true(fputc(0x41, file) == 0x41 && fclose(file) == 0);
    assert_true(failures_of(directory) > 0);
    remove_directory(directory);
}

/* The answer of a model in `directory` to a question, for free(). */
static char *answer_of(const char *directory)
{
    tenebra_error error = { 0 };
    tenebra_model *model = NULL;
    tenebra_session *session = NULL;
    if (tenebra_model_open(&model, directory, NULL, &error) == TENEBRA_OK)
        tenebra_session_open(&session, model, NULL, &error);
    const tenebra_part part = { .kind = TENEBRA_PART_TEXT, .text = "Which colour has the circle?" };
    const tenebra_message message = { .role = "user", .parts = &part, .part_count = 1 };
    const tenebra_request request = { .size = sizeof request, .messages = &message, .message_count = 1, .max_tokens = 12 };
    const tenebra_trace *trace = NULL;
    if (session == NULL || tenebra_session_ask(session, &request, &trace, &error) != TENEBRA_OK)
        fail_msg("%s: %s", error.where, error.sentence);
    char *answer = strdup(trace->text);
    tenebra_session_close(session);
    tenebra_model_close(model);
    return answer;
}

static void test_it_is_asked(void **state)
{
    (void)state;
    char *directory = make_toy(TALKING), *mine = answer_of(directory), *theirs = answer_of(TALKING);
    assert_true(strlen(theirs) > 0);
    assert_string_equal(mine, theirs);
    free(mine);
    free(theirs);
    remove_directory(directory);
}

static char *quantised(const char *model)
{
    char *directory = make_directory();
    tn_quantize_options options = { .recipe = tn_recipe_of(TN_Q4_0, TN_PANELS) };
    tn_quantize_report report;
    tenebra_error error = { 0 };
    if (tn_quantize_weights(model, directory, &options, &report, &error) != TENEBRA_OK)
        fail_msg("%s: %s", error.where, error.sentence);
    tn_quantize_report_free(&report);
    return directory;
}

static void read_in(const char *directory, const char *name, tn_file *file)
{
    char path[1024];
    snprintf(path, sizeof path, "%s/%s", directory, name);
    assert_int_equal(tn_file_read(file, path, 1 << 28, NULL), TENEBRA_OK);
}

static void test_it_is_quantised(void **state)
{
    (void)state;
    tn_file one, other;
    char *directory = make_toy(GOLDEN "/model"), *mine = quantised(directory), *theirs = quantised(GOLDEN "/model");
    read_in(mine, "model.safetensors", &one);
    read_in(theirs, "model.safetensors", &other);
    assert_int_equal(one.size, other.size);
    assert_memory_equal(one.data, other.data, one.size);
    tn_file_close(&one);
    tn_file_close(&other);
    assert_int_equal(count_files(theirs), 1); /* the caller copies config.json, if there is one */
    assert_int_equal(count_files(mine), 2);
    tn_model *model;
    assert_int_equal(tn_model_open(mine, NULL, &model, NULL), TENEBRA_OK);
    tn_model_close(model);
    remove_directory(directory);
    remove_directory(mine);
    remove_directory(theirs);
}

static void refuses(const char *path, tenebra_code code, const char *where, const char *words)
{
    tenebra_error error = { 0 };
    tn_store *store;
    assert_int_equal(tn_store_open(path, &store, &error), code);
    assert_null(store);
    assert_int_equal(error.code, code);
    assert_non_null(strstr(error.where, where));
    assert_non_null(strstr(error.sentence, words));
}

static void test_what_is_in_no_format(void **state)
{
    (void)state;
    char *directory = make_directory(), path[1024];
    refuses(directory, TENEBRA_ERROR_IO, directory, "one of *.toy, model.safetensors, model.safetensors.index.json");
    write_file(directory, "a.toy", "tensors", 7); /* its name makes it one */
    refuses(directory, TENEBRA_ERROR_FORMAT, "a.toy", "no whole toy");
    write_file(directory, "a.toy", "toy 1\ntensor F32 0 1 9 a\nend\n", 29);
    refuses(directory, TENEBRA_ERROR_FORMAT, "a.toy", "damaged");
    write_file(directory, "a.gguf", "GGUF\3\0\0\0", 8);
    snprintf(path, sizeof path, "%s/a.gguf", directory);
    refuses(path, TENEBRA_ERROR_UNSUPPORTED, "a.gguf", "reads tensors from: toy, safetensors");
    /* Of two formats in a directory the first counts, and the other is noted. */
    write_file(directory, "a.toy", "toy 1\nend\n", 10);
    write_safetensors(directory, "model.safetensors", "{}", 0);
    tn_store *store;
    char text[TN_NOTES_TEXT];
    assert_int_equal(tn_store_open(directory, &store, NULL), TENEBRA_OK);
    assert_string_equal(tn_notes_print(tn_store_notes(store), text), "model.safetensors: all of it");
    tn_store_close(store);
    remove_directory(directory);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_it_is_opened),    cmocka_unit_test(test_it_is_verified),
        cmocka_unit_test(test_it_is_asked),     cmocka_unit_test(test_it_is_quantised),
        cmocka_unit_test(test_what_is_in_no_format),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
