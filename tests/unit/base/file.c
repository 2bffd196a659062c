/* Files and paths: contents, limits, paths that are not files, and a mapped file that changes. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/file.h"

static char *directory(void)
{
    static char path[] = "/tmp/tenebra-base-XXXXXX";
    return strstr(path, "XXXXXX") ? mkdtemp(path) : path;
}

static char *write_file(const char *name, const char *text)
{
    char *path = tn_path_join(directory(), name);
    FILE *file = fopen(path, "wb");
    assert_non_null(file);
    assert_int_equal(fwrite(text, 1, strlen(text), file), strlen(text));
    assert_int_equal(fclose(file), 0);
    return path;
}

static void contents_come_back(void **state)
{
    (void)state;
    char *path = write_file("text", "twelve bytes");
    tn_file file;
    assert_int_equal(tn_file_read(&file, path, 12, NULL), TENEBRA_OK);
    assert_int_equal(file.size, 12);
    assert_memory_equal(file.data, "twelve bytes", 12);
    assert_false(file.mapped);
    tn_file_close(&file);
    assert_int_equal(tn_file_map(&file, path, NULL), TENEBRA_OK);
    assert_true(file.mapped);
    assert_memory_equal(file.data, "twelve bytes", 12);
    assert_int_equal(tn_file_check(&file, path, NULL), TENEBRA_OK);
    tn_file_close(&file);
    tn_file_close(&file);
    free(path);
}

static void a_mapped_file_that_shrinks_is_noticed(void **state)
{
    (void)state;
    char *path = write_file("shrinks", "twelve bytes");
    tn_file file;
    tenebra_error error = { 0 };
    assert_int_equal(tn_file_map(&file, path, NULL), TENEBRA_OK);
    assert_int_equal(truncate(path, 3), 0);
    assert_int_equal(tn_file_check(&file, path, &error), TENEBRA_ERROR_IO);
    assert_string_equal(error.where, path);
    tn_file_close(&file);
    free(path);
}

static void an_empty_file_is_one(void **state)
{
    (void)state;
    char *path = write_file("empty", "");
    tn_file file;
    assert_int_equal(tn_file_read(&file, path, 0, NULL), TENEBRA_OK);
    assert_true(file.data == NULL && file.size == 0);
    tn_file_close(&file);
    assert_int_equal(tn_file_map(&file, path, NULL), TENEBRA_OK);
    assert_true(file.data == NULL && file.size == 0);
    tn_file_close(&file);
    free(path);
}

static void refusals_name_the_path(void **state)
{
    (void)state;
    char *path = write_file("long", "0123456789"), *missing = tn_path_join(directory(), "missing");
    const struct { const char *path; size_t limit; tenebra_code code; } cases[] = {
        { path, 9, TENEBRA_ERROR_LIMIT }, { missing, 100, TENEBRA_ERROR_IO }, { directory(), 100, TENEBRA_ERROR_IO },
        { "/dev/null", 100, TENEBRA_ERROR_IO }, { "", 100, TENEBRA_ERROR_IO },
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        tn_file file;
        tenebra_error error = { 0 };
        assert_int_equal(tn_file_read(&file, cases[i].path, cases[i].limit, &error), cases[i].code);
        assert_int_equal(error.code, cases[i].code);
        assert_string_equal(error.where, cases[i].path);
        assert_true(error.sentence[0] != '\0' && file.data == NULL && file.size == 0);
        tn_file_close(&file);
    }
    assert_true(tn_path_is_file(path) && !tn_path_is_directory(path));
    assert_true(tn_path_is_directory(directory()) && !tn_path_is_file(directory()));
    assert_false(tn_path_is_file(missing) || tn_path_is_directory(missing));
    free(path);
    free(missing);
}

static tenebra_code read_small(tn_file *file, const char *path, tenebra_error *error)
{
    return tn_file_read(file, path, 100, error);
}

/* Nothing writes into the pipe, so a reader that waited for data would never return. */
static void a_pipe_is_not_waited_for(void **state)
{
    (void)state;
    char *path = tn_path_join(directory(), "pipe");
    assert_int_equal(mkfifo(path, 0600), 0);
    tenebra_code (*const readers[])(tn_file *, const char *, tenebra_error *) = { read_small, tn_file_map };
    for (size_t i = 0; i < sizeof readers / sizeof *readers; i++) {
        tn_file file;
        tenebra_error error = { 0 };
        assert_int_equal(readers[i](&file, path, &error), TENEBRA_ERROR_IO);
        assert_string_equal(error.where, path);
        assert_non_null(strstr(error.sentence, "is not a regular file"));
        assert_true(file.data == NULL && file.size == 0);
    }
    assert_false(tn_path_is_file(path) || tn_path_is_directory(path));
    free(path);
}

static int tidy(void **state)
{
    (void)state;
    static const char *const names[] = { "text", "shrinks", "empty", "long", "pipe" };
    for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
        char *path = tn_path_join(directory(), names[i]);
        unlink(path);
        free(path);
    }
    return rmdir(directory());
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(contents_come_back),
        cmocka_unit_test(a_mapped_file_that_shrinks_is_noticed),
        cmocka_unit_test(an_empty_file_is_one),
        cmocka_unit_test(refusals_name_the_path),
        cmocka_unit_test(a_pipe_is_not_waited_for),
    };
    return cmocka_run_group_tests(tests, NULL, tidy);
}
