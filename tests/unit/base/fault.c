/* Mapped files that another program truncates or writes to: the change is noticed, and an access after the end terminates the
 * process only if the fault is not caught. */
#include "base/file.h"

#include <fcntl.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

enum { BYTES = 3 << 16 };

static char folder[] = "/tmp/tenebra-fault-XXXXXX";
static char path[sizeof folder + 8];

static unsigned char byte_at(size_t i)
{
    return (unsigned char)(i * 7 + i / 256 + 1);
}

static void write_file(size_t size)
{
    FILE *file = fopen(path, "wb");
    assert_non_null(file);
    for (size_t i = 0; i < size; i++)
        fputc(byte_at(i), file);
    assert_int_equal(fclose(file), 0);
}

static int make_folder(void **state)
{
    (void)state;
    if (mkdtemp(folder) == NULL)
        return -1;
    snprintf(path, sizeof path, "%s/file", folder);
    return 0;
}

static int remove_folder(void **state)
{
    (void)state;
    unlink(path);
    return rmdir(folder);
}

static void a_mapped_file_that_is_cut_or_written_to_is_noticed(void **state)
{
    (void)state;
    tn_file file;
    tenebra_error error;
    write_file(BYTES);
    assert_int_equal(tn_file_map(&file, path, &error), TENEBRA_OK);
    assert_int_equal(file.data[BYTES - 1], byte_at(BYTES - 1));
    assert_int_equal(tn_file_check(&file, path, &error), TENEBRA_OK);
    assert_int_equal(chmod(path, 0600), 0); /* not its contents */
    assert_int_equal(tn_file_check(&file, path, &error), TENEBRA_OK);
    assert_int_equal(truncate(path, 1), 0);
    assert_int_equal(tn_file_check(&file, path, &error), TENEBRA_ERROR_IO);
    assert_non_null(strstr(error.sentence, "was cut from"));
    tn_file_close(&file);

    write_file(BYTES);
    assert_int_equal(tn_file_map(&file, path, &error), TENEBRA_OK);
    nanosleep(&(struct timespec){ 0, 20000000 }, NULL); /* more than a tick of the file system's clock */
    write_file(BYTES); /* cut, and as long as before again */
    assert_int_equal(tn_file_check(&file, path, &error), TENEBRA_ERROR_IO);
    assert_non_null(strstr(error.sentence, "written to"));
    tn_file_close(&file);

    write_file(BYTES);
    assert_int_equal(tn_file_map(&file, path, &error), TENEBRA_OK);
    assert_int_equal(unlink(path), 0);
    write_file(5); /* another file at the same path does not affect the mapping */
    assert_int_equal(tn_file_check(&file, path, &error), TENEBRA_OK);
    assert_int_equal(file.data[BYTES - 1], byte_at(BYTES - 1));
    tn_file_close(&file);
}

/* Reads a mapped file after its new end in another process. Returns the exit status. */
static int touch_cut_file(bool caught)
{
    pid_t child = fork();
    if (child == 0) {
        tn_file file;
        struct rlimit none = { 0, 0 };
        setrlimit(RLIMIT_CORE, &none);
        signal(SIGBUS, SIG_DFL); /* not the test library's */
        if ((caught && !tenebra_faults_catch()) || tn_file_map(&file, path, NULL) != TENEBRA_OK || truncate(path, 0) != 0)
            _exit(2);
        unsigned sum = 0;
        for (size_t i = 0; i < BYTES; i += 512)
            sum += file.data[i];
        _exit(sum != 0 ? 3 : tn_file_check(&file, path, NULL) == TENEBRA_ERROR_IO ? 0 : 4);
    }
    int status;
    assert_int_equal(waitpid(child, &status, 0), child);
    return status;
}

static void a_touch_behind_the_end_reads_zeros_where_it_is_caught(void **state)
{
    (void)state;
    write_file(BYTES);
    int status = touch_cut_file(true);
    assert_true(WIFEXITED(status));
    assert_int_equal(WEXITSTATUS(status), 0);
    write_file(BYTES);
    status = touch_cut_file(false);
    assert_true(WIFSIGNALED(status) && WTERMSIG(status) == SIGBUS);
}

static void another_bus_error_still_ends_the_process(void **state)
{
    (void)state;
    pid_t child = fork();
    if (child == 0) {
        struct rlimit none = { 0, 0 };
        setrlimit(RLIMIT_CORE, &none);
        tenebra_faults_catch();
        raise(SIGBUS); /* sent, not raised by an address */
        raise(SIGBUS);
        _exit(0);
    }
    int status;
    assert_int_equal(waitpid(child, &status, 0), child);
    assert_true(WIFSIGNALED(status) && WTERMSIG(status) == SIGBUS);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_mapped_file_that_is_cut_or_written_to_is_noticed),
        cmocka_unit_test(a_touch_behind_the_end_reads_zeros_where_it_is_caught),
        cmocka_unit_test(another_bus_error_still_ends_the_process),
    };
    return cmocka_run_group_tests(tests, make_folder, remove_folder);
}
