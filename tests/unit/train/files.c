/* Files of a run: checkpoints that are read back bit for bit, logs that are truncated at a checkpoint, curves. */
#include "base/file.h"
#include "base/output.h"
#include "base/rng.h"
#include "train/checkpoint.h"
#include "train/files.h"
#include "train/log.h"

#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <signal.h>
#include <unistd.h>

#include <cmocka.h>

typedef struct place {
    char root[64];
} place;

static int open_place(void **state)
{
    place *p = calloc(1, sizeof *p);
    if (p == NULL)
        return -1;
    strcpy(p->root, "/tmp/tenebra-train-XXXXXX");
    *state = p;
    return mkdtemp(p->root) != NULL ? 0 : -1;
}

static int close_place(void **state)
{
    place *p = *state;
    tenebra_error error;
    char *inner = tn_path_join(p->root, "checkpoints");
    tn_files_remove_directory(inner, &error);
    free(inner);
    int code = tn_files_remove_directory(p->root, &error) == TENEBRA_OK ? 0 : -1;
    free(p);
    return code;
}

static char *inside(const place *p, const char *name)
{
    char *path = tn_path_join(p->root, name);
    assert_non_null(path);
    return path;
}

static void expect_text(const char *path, const char *text)
{
    tn_file file;
    assert_int_equal(tn_file_read(&file, path, SIZE_MAX, NULL), TENEBRA_OK);
    assert_int_equal(file.size, strlen(text));
    assert_memory_equal(file.data, text, file.size);
    tn_file_close(&file);
}

static bool contains(const char *path, const char *text)
{
    tn_file file;
    assert_int_equal(tn_file_read(&file, path, SIZE_MAX, NULL), TENEBRA_OK);
    char *copy = calloc(1, file.size + 1);
    assert_non_null(copy);
    memcpy(copy, file.data, file.size);
    bool found = strstr(copy, text) != NULL;
    free(copy);
    tn_file_close(&file);
    return found;
}

/* --------------------------------------------------------- checkpoints -- */

enum { PARAMETERS = 2, A = 6, B = 40000 };

typedef struct subject {
    tn_parameters parameters;
    tn_parameter items[PARAMETERS];
    tn_optimizer optimizer;
    float values[A + B], grad[A + B];
} subject;

static char name_a[] = "layer.a.weight", name_b[] = "layer.b.bias";

static subject *open_subject(uint64_t seed)
{
    subject *s = calloc(1, sizeof *s);
    assert_non_null(s);
    tn_rng rng = tn_rng_seed(seed);
    for (size_t i = 0; i < A + B; i++) {
        s->values[i] = (float)tn_rng_normal(&rng);
        s->grad[i] = (float)tn_rng_normal(&rng);
    }
    s->items[0] = (tn_parameter){ .name = name_a, .rank = 2, .shape = { 2, 3 }, .rows = 2, .cols = 3, .count = A,
                                  .values = s->values, .grad = s->grad };
    s->items[1] = (tn_parameter){ .name = name_b, .rank = 1, .shape = { B }, .rows = 1, .cols = B, .count = B,
                                  .values = s->values + A, .grad = s->grad + A };
    s->parameters = (tn_parameters){ .items = s->items, .count = PARAMETERS, .elements = A + B };
    tn_optimized items[PARAMETERS];
    for (size_t i = 0; i < PARAMETERS; i++)
        items[i] = (tn_optimized){ s->items[i].values, s->items[i].grad, NULL, s->items[i].count, true };
    tn_adamw settings = tn_adamw_defaults();
    assert_int_equal(tn_optimizer_open(&s->optimizer, items, PARAMETERS, &settings, NULL, NULL), TENEBRA_OK);
    tn_optimizer_step(&s->optimizer, 0.1, 1);
    tn_optimizer_step(&s->optimizer, 0.1, 1);
    return s;
}

static void close_subject(subject *s)
{
    tn_optimizer_close(&s->optimizer);
    free(s);
}

static void write_one(const char *directory, uint64_t update, const subject *s)
{
    json_t *state = json_pack("{s:I}", "update", (json_int_t)update);
    tenebra_error error;
    if (tn_checkpoint_write(directory, update, &s->parameters, &s->optimizer, state, &error) != TENEBRA_OK)
        fail_msg("%s: %s", error.where, error.sentence);
    json_decref(state);
}

static void test_checkpoint_comes_back(void **state)
{
    char *directory = inside(*state, "checkpoints");
    subject *saved = open_subject(1), *other = open_subject(2);
    write_one(directory, 5, saved);
    write_one(directory, 12, saved);
    json_t *found;
    char *path;
    uint64_t newest;
    assert_int_equal(tn_checkpoint_find(directory, &path, &newest, NULL), TENEBRA_OK);
    assert_int_equal(newest, 12);
    assert_int_equal(tn_checkpoint_state(path, &found, NULL), TENEBRA_OK);
    assert_int_equal(json_integer_value(json_object_get(found, "update")), 12);
    assert_memory_not_equal(saved->values, other->values, sizeof saved->values);
    assert_int_equal(tn_checkpoint_read(path, &other->parameters, &other->optimizer, 77, NULL), TENEBRA_OK);
    assert_memory_equal(saved->values, other->values, sizeof saved->values);
    assert_memory_equal(saved->optimizer.first, other->optimizer.first, (A + B) * sizeof(float));
    assert_memory_equal(saved->optimizer.second, other->optimizer.second, (A + B) * sizeof(float));
    assert_int_equal(other->optimizer.step, 77);
    /* A parameter of another name or shape does not take what was saved. */
    tenebra_error error = { 0 };
    other->items[1].name = name_a;
    other->items[0].name = name_b;
    assert_int_equal(tn_checkpoint_read(path, &other->parameters, &other->optimizer, 1, &error), TENEBRA_ERROR_MISMATCH);
    json_decref(found);
    free(path);
    close_subject(saved);
    close_subject(other);
    free(directory);
}

static void test_prune(void **state)
{
    char *directory = inside(*state, "checkpoints");
    subject *s = open_subject(1);
    uint64_t *numbers;
    size_t count;
    for (uint64_t i = 8; i < 12; i++)
        write_one(directory, i, s);
    char *partial = tn_path_join(directory, "update-00000099.safetensors.partial-1-1");
    assert_int_equal(tn_output_put(partial, "x", 1, NULL), TENEBRA_OK);
    assert_int_equal(tn_checkpoint_prune(directory, 2, NULL), TENEBRA_OK);
    assert_false(tn_path_is_file(partial));
    assert_int_equal(tn_files_numbers(directory, "update-", ".safetensors", &numbers, &count, NULL), TENEBRA_OK);
    assert_int_equal(count, 2);
    assert_int_equal(numbers[0], 11);
    assert_int_equal(numbers[1], 10);
    free(numbers);
    free(partial);
    close_subject(s);
    free(directory);
}

/* A disk that takes no more: the error says so and the older checkpoint stays. */
static void test_full_disk(void **state)
{
    char *directory = inside(*state, "checkpoints");
    subject *s = open_subject(1);
    write_one(directory, 1, s);
    struct rlimit old, small = { 100000, 0 };
    assert_int_equal(getrlimit(RLIMIT_FSIZE, &old), 0);
    small.rlim_max = old.rlim_max;
    struct sigaction ignore = { .sa_handler = SIG_IGN }, before;
    sigaction(SIGXFSZ, &ignore, &before);
    assert_int_equal(setrlimit(RLIMIT_FSIZE, &small), 0);
    tenebra_error error = { 0 };
    json_t *about = json_object(), *found;
    tenebra_code code = tn_checkpoint_write(directory, 2, &s->parameters, &s->optimizer, about, &error);
    assert_int_equal(setrlimit(RLIMIT_FSIZE, &old), 0);
    sigaction(SIGXFSZ, &before, NULL);
    assert_int_equal(code, TENEBRA_ERROR_IO);
    json_decref(about);
    char *path;
    uint64_t newest;
    assert_int_equal(tn_checkpoint_find(directory, &path, &newest, NULL), TENEBRA_OK);
    assert_int_equal(newest, 1);
    assert_int_equal(tn_checkpoint_state(path, &found, NULL), TENEBRA_OK);
    assert_int_equal(tn_checkpoint_read(path, &s->parameters, &s->optimizer, 1, NULL), TENEBRA_OK);
    json_decref(found);
    free(path);
    close_subject(s);
    free(directory);
}

static void test_no_checkpoint_and_damaged(void **state)
{
    char *directory = inside(*state, "checkpoints"), *path;
    json_t *found;
    uint64_t newest;
    tenebra_error error = { 0 };
    assert_int_equal(tn_checkpoint_find(directory, &path, &newest, NULL), TENEBRA_OK);
    assert_null(path);
    assert_int_equal(tn_files_make_directory(directory, NULL), TENEBRA_OK);
    char *file = tn_path_join(directory, "update-00000003.safetensors");
    assert_int_equal(tn_output_put(file, "garbage", 7, NULL), TENEBRA_OK);
    assert_int_equal(tn_checkpoint_find(directory, &path, &newest, NULL), TENEBRA_OK);
    assert_string_equal(path, file);
    assert_int_equal(tn_checkpoint_state(path, &found, &error), TENEBRA_ERROR_FORMAT);
    assert_null(found);
    free(path);
    free(file);
    free(directory);
}

/* ----------------------------------------------------------------- log -- */

static void test_log_is_cut(void **state)
{
    char *path = inside(*state, "log.jsonl");
    static const char text[] = "{\"update\":1}\n{\"update\":2}\nnonsense\n{\"update\":3}\n{\"upda";
    assert_int_equal(tn_output_put(path, text, strlen(text), NULL), TENEBRA_OK);
    int log;
    assert_int_equal(tn_log_open(path, 2, 2, &log, NULL), TENEBRA_OK);
    expect_text(path, "{\"update\":1}\n{\"update\":2}\n");
    assert_int_equal(tn_log_append(log, path, json_pack("{s:i}", "update", 3), NULL), TENEBRA_OK);
    close(log);
    expect_text(path, "{\"update\":1}\n{\"update\":2}\n{\"update\":3}\n");
    free(path);
}

static void test_curves(void **state)
{
    char *path = inside(*state, "log.jsonl"), *page = inside(*state, "curves.html"), *table = inside(*state, "log.csv");
    static const char text[] =
        "{\"update\":1,\"epoch\":0,\"stage\":0,\"loss\":2.5,\"lr\":0.1,\"grad_norm\":3,\"token_accuracy\":0.2}\n"
        "{\"update\":2,\"epoch\":0,\"stage\":0,\"loss\":1.5,\"lr\":0.1,\"grad_norm\":2,\"token_accuracy\":0.4}\n"
        "{\"update\":2,\"epoch\":0,\"stage\":0,\"validation_accuracy\":0.75,\"validation_count\":4}\n"
        "{\"update\":3,\"epoch\":1,\"stage\":1,\"loss\":1.25,\"lr\":0.1,\"grad_norm\":2,\"token_accuracy\":0.5}\n";
    static const char more[] =
        "{\"update\":1,\"loss\":2.5}\n{\"update\":2,\"loss\":1.5,\"auxiliary\":0.5,\"first_part\":3.25,\"<b>\":1,\"topics\":{\"x\":[1,2]}}\n"
        "{\"update\":3,\"loss\":1.25,\"auxiliary\":0.25,\"first_part\":2.75}\n";
    assert_int_equal(tn_output_put(path, text, strlen(text), NULL), TENEBRA_OK);
    assert_int_equal(tn_curves_write(path, ((place *)*state)->root, "a <b> & c", NULL), TENEBRA_OK);
    assert_true(contains(table, "update,epoch,stage,loss,lr,grad_norm"));
    assert_true(contains(table, "\n2,0,0,1.5,0.1,2,0.4,,,,,,\n"));
    assert_true(contains(table, "\n2,0,0,,,,,,,,,0.75,4\n"));
    assert_true(contains(page, "a &lt;b&gt; &amp; c"));
    assert_true(contains(page, "prefers-color-scheme:dark"));
    assert_true(contains(page, ">stage 1</text>"));
    assert_true(contains(page, "<title>2: 0.75</title>"));
    assert_false(contains(page, "nan"));
    assert_false(contains(page, "http"));
    assert_false(contains(page, "first_part"));
    /* Further numbers, such as the losses of a method, get columns and panels; a name with other characters does not. */
    assert_int_equal(tn_output_put(path, more, strlen(more), NULL), TENEBRA_OK);
    assert_int_equal(tn_curves_write(path, ((place *)*state)->root, "a", NULL), TENEBRA_OK);
    assert_true(contains(table, "validation_count,auxiliary,first_part\n1,,,2.5,,,,,,,,,,,\n2,,,1.5,,,,,,,,,,0.5,3.25\n"));
    assert_true(contains(page, ">first_part</text>") && contains(page, "<title>3: 2.75</title>"));
    assert_false(contains(page, "<b>") || contains(page, "topics"));
    free(path);
    free(page);
    free(table);
}

static bool is_x(const char *name)
{
    return strcmp(name, "x") == 0;
}

static void test_directories(void **state)
{
    const place *p = *state;
    char *one = inside(p, "one"), *two = inside(p, "two"), *file = inside(p, "one/x"), *there = inside(p, "two/x");
    assert_int_equal(tn_files_make_directory(one, NULL), TENEBRA_OK);
    assert_int_equal(tn_files_make_directory(one, NULL), TENEBRA_OK);
    assert_int_equal(tn_files_make_directory(two, NULL), TENEBRA_OK);
    assert_int_equal(tn_output_put(file, "new", 3, NULL), TENEBRA_OK);
    assert_int_equal(tn_output_put(there, "old", 3, NULL), TENEBRA_OK);
    assert_int_equal(tn_files_swap_directory(one, two, is_x, NULL), TENEBRA_OK);
    expect_text(there, "new");
    assert_false(tn_path_is_directory(one));
    assert_int_equal(tn_files_remove_directory(two, NULL), TENEBRA_OK);
    assert_int_equal(tn_files_remove_directory(two, NULL), TENEBRA_OK);
    tenebra_error error = { 0 };
    assert_int_equal(tn_output_put(file, "x", 1, &error), TENEBRA_ERROR_IO);
    free(one);
    free(two);
    free(file);
    free(there);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_checkpoint_comes_back, open_place, close_place),
        cmocka_unit_test_setup_teardown(test_prune, open_place, close_place),
        cmocka_unit_test_setup_teardown(test_full_disk, open_place, close_place),
        cmocka_unit_test_setup_teardown(test_no_checkpoint_and_damaged, open_place, close_place),
        cmocka_unit_test_setup_teardown(test_log_is_cut, open_place, close_place),
        cmocka_unit_test_setup_teardown(test_curves, open_place, close_place),
        cmocka_unit_test_setup_teardown(test_directories, open_place, close_place),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
