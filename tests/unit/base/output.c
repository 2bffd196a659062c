/* Files that appear when they are whole, and what is taken away. */
#include "base/output.h"

#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

static char folder[] = "/tmp/tenebra-output-XXXXXX";

static const char *in(const char *name)
{
    static char path[sizeof folder + 64];
    snprintf(path, sizeof path, "%s/%s", folder, name);
    return path;
}

static int make_folder(void **state)
{
    (void)state;
    return mkdtemp(folder) != NULL && chdir(folder) == 0 ? 0 : -1;
}

static int remove_folder(void **state)
{
    (void)state;
    return chdir("/") == 0 && rmdir(folder) == 0 ? 0 : -1;
}

static void put(const char *name, const char *text)
{
    FILE *file = fopen(name, "wb");
    assert_non_null(file);
    fputs(text, file);
    assert_int_equal(fclose(file), 0);
}

static void expect(const char *name, const char *text)
{
    char found[64] = "";
    FILE *file = fopen(name, "rb");
    assert_non_null(file);
    size_t length = fread(found, 1, sizeof found - 1, file);
    fclose(file);
    assert_int_equal(length, strlen(text));
    assert_string_equal(found, text);
}

static void the_old_file_stays_until_the_end(void **state)
{
    (void)state;
    tn_output output;
    put("page", "old");
    assert_int_equal(tn_output_open(&output, in("page"), NULL), TENEBRA_OK);
    assert_int_equal(tn_output_write(&output, "new", 3, NULL), TENEBRA_OK);
    expect("page", "old");
    assert_int_equal(access(output.partial, F_OK), 0);
    assert_int_equal(tn_output_finish(&output, NULL), TENEBRA_OK);
    tn_output_close(&output);
    expect("page", "new");

    assert_int_equal(tn_output_open(&output, "page", NULL), TENEBRA_OK); /* a path without a directory */
    char partial[64];
    assert_null(output.partial); /* nothing is made before the first byte */
    assert_int_equal(tn_output_write(&output, "half", 4, NULL), TENEBRA_OK);
    snprintf(partial, sizeof partial, "%s", output.partial);
    assert_int_equal(access(partial, F_OK), 0);
    tn_output_close(&output);
    expect("page", "new");
    assert_int_not_equal(access(partial, F_OK), 0);
    unlink("page");
}

static void bytes_are_written_over_and_room_is_asked_for(void **state)
{
    (void)state;
    tn_output output;
    tenebra_error error = { 0 };
    assert_int_equal(tn_output_open(&output, in("page"), NULL), TENEBRA_OK);
    assert_int_equal(tn_output_reserve(&output, 4, NULL), TENEBRA_OK);
    assert_int_equal(tn_output_write(&output, "a--d", 4, NULL), TENEBRA_OK);
    assert_int_equal(tn_output_rewrite(&output, 1, "bc", 2, NULL), TENEBRA_OK);
    assert_int_equal(tn_output_write(&output, "e", 1, NULL), TENEBRA_OK); /* appends to the existing contents */
    assert_int_equal(tn_output_finish(&output, NULL), TENEBRA_OK);
    expect("page", "abcde");
    assert_int_equal(tn_output_finish(&output, &error), TENEBRA_ERROR_ARGUMENT);
    tn_output_close(&output);
    assert_int_equal(tn_output_open(&output, "page", NULL), TENEBRA_OK);
    assert_int_equal(tn_output_reserve(&output, SIZE_MAX, &error), TENEBRA_ERROR_IO);
    assert_int_equal(tn_output_check_room("/tmp", 1, NULL), TENEBRA_OK);
    assert_int_equal(tn_output_check_room("/tmp", SIZE_MAX, NULL), TENEBRA_ERROR_IO);
    assert_non_null(strstr(error.sentence, "are free on its disk"));
    assert_int_equal(tn_output_write(&output, "x", 1, NULL), TENEBRA_ERROR_IO); /* it sticks */
    tn_output_close(&output);
    expect("page", "abcde");
    unlink("page");
}

static void files_of_directories(void **state)
{
    (void)state;
    const char *inner = "inner";
    assert_int_equal(mkdir(inner, 0777), 0);
    assert_int_equal(tn_output_put_in(inner, "page", "text", 4, NULL), TENEBRA_OK);
    expect("inner/page", "text");
    assert_int_equal(tn_output_copy(inner, ".", "page", NULL), TENEBRA_OK);
    assert_int_equal(tn_output_copy(inner, ".", "absent", NULL), TENEBRA_OK);
    expect("page", "text");
    assert_int_not_equal(access("absent", F_OK), 0);
    assert_int_equal(tn_output_copy(inner, "none", "page", NULL), TENEBRA_ERROR_IO);
    unlink("page");
    unlink("inner/page");
    rmdir(inner);
}

static void what_stands_there_is_checked(void **state)
{
    (void)state;
    tenebra_error error;
    put("page", "old");
    assert_int_equal(tn_output_check("page", false, &error), TENEBRA_ERROR_ARGUMENT);
    assert_non_null(strstr(error.sentence, "--force"));
    assert_int_equal(tn_output_check("page", true, &error), TENEBRA_OK);
    assert_int_equal(tn_output_check("other", false, &error), TENEBRA_OK);
    assert_int_equal(tn_output_check("/dev/null", false, &error), TENEBRA_OK);
    assert_int_equal(tn_output_check("", true, &error), TENEBRA_ERROR_ARGUMENT);
    assert_int_equal(tn_output_check(folder, true, &error), TENEBRA_ERROR_ARGUMENT);
    assert_int_equal(tn_output_put(folder, "x", 1, &error), TENEBRA_ERROR_ARGUMENT);
    assert_int_equal(tn_output_put("none/page", "x", 1, &error), TENEBRA_ERROR_IO);
    unlink("page");
}

static void devices_and_pipes_are_written_themselves(void **state)
{
    (void)state;
    tenebra_error error;
    assert_int_equal(tn_output_put("/dev/null", "x", 1, &error), TENEBRA_OK);
    assert_int_equal(tn_output_put("/dev/full", "x", 1, &error), TENEBRA_ERROR_IO);
    assert_non_null(strstr(error.sentence, "No space left"));
    assert_int_equal(mkfifo("pipe", 0600), 0);
    assert_int_equal(tn_output_put("pipe", "x", 1, &error), TENEBRA_ERROR_IO);
    assert_non_null(strstr(error.sentence, "reader has closed it"));
    int reader = open("pipe", O_RDONLY | O_NONBLOCK);
    char byte = 0;
    assert_int_equal(tn_output_put("pipe", "x", 1, &error), TENEBRA_OK);
    assert_int_equal(read(reader, &byte, 1), 1);
    assert_int_equal(byte, 'x');
    close(reader);
    unlink("pipe");
}

/* A number of a process that has ended. */
static long dead_process(void)
{
    pid_t child = fork();
    if (child == 0)
        _exit(0);
    assert_int_equal(waitpid(child, NULL, 0), child);
    return (long)child;
}

static void leftovers_of_the_dead_go_and_all_else_stays(void **state)
{
    (void)state;
    long dead = dead_process(), alive = (long)getpid();
    const struct {
        const char *front, *behind;
        long process;
        bool goes;
    } names[] = {
        { "page.partial-", "-0", dead, true },     { "page.partial-", "-17", dead, true },  { "page.partial-", "", dead, true },
        { "page.partial-", "-0", alive, false },   { "page.partial-", "-", dead, false },   { "page.partial-", "-0x", dead, false },
        { "page2.partial-", "-0", dead, false },   { "apage.partial-", "-0", dead, false }, { "page.partial-", ".old", dead, false },
        { "page.partial-0", "-0-1", dead, false }, { "page.partial-9999999999", "", dead, false },
    };
    enum { NAMES = sizeof names / sizeof *names };
    char name[NAMES][64];
    for (size_t i = 0; i < NAMES; i++) {
        snprintf(name[i], sizeof name[i], "%s%ld%s", names[i].front, names[i].process, names[i].behind);
        put(name[i], "half");
    }
    tn_output_sweep(in("page"));
    for (size_t i = 0; i < NAMES; i++) {
        if ((access(name[i], F_OK) != 0) != names[i].goes)
            fail_msg("%s", name[i]);
        unlink(name[i]);
    }
}

/* A process id means nothing on another machine, but a lock does. */
static void a_locked_leftover_stays(void **state)
{
    (void)state;
    char name[64];
    snprintf(name, sizeof name, "model.partial-%ld", dead_process());
    assert_int_equal(mkdir(name, 0700), 0);
    int held = tn_output_hold(name);
    assert_true(held >= 0);
    tn_output_sweep("model");
    assert_int_equal(access(name, F_OK), 0);
    close(held);
    tn_output_sweep("model");
    assert_int_not_equal(access(name, F_OK), 0);
}

/* A link of such a name is not followed. */
static void links_are_left_alone(void **state)
{
    (void)state;
    char name[64];
    put("precious", "kept");
    snprintf(name, sizeof name, "page.partial-%ld-0", dead_process());
    assert_int_equal(symlink("precious", name), 0);
    tn_output_sweep("page");
    expect("precious", "kept");
    unlink(name);
    unlink("precious");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_old_file_stays_until_the_end),
        cmocka_unit_test(bytes_are_written_over_and_room_is_asked_for),
        cmocka_unit_test(files_of_directories),
        cmocka_unit_test(what_stands_there_is_checked),
        cmocka_unit_test(devices_and_pipes_are_written_themselves),
        cmocka_unit_test(leftovers_of_the_dead_go_and_all_else_stays),
        cmocka_unit_test(a_locked_leftover_stays),
        cmocka_unit_test(links_are_left_alone),
    };
    return cmocka_run_group_tests(tests, make_folder, remove_folder);
}
