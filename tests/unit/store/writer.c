/* The writer: what it writes can be read back, and there is never an incomplete file with the final name. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "store/store.h"
#include "store/writer.h"
#include "unit/store/place.h"

#include <signal.h>
#include <sys/resource.h>
#include <sys/stat.h>

/* One U8 tensor "old" of `size` bytes at the place. */
static void write_old(const place *here, size_t size)
{
    tn_writer *writer;
    assert_int_equal(tn_writer_open(here->path, &writer, NULL), TENEBRA_OK);
    unsigned char *bytes = calloc(size + 1, 1);
    assert_non_null(bytes);
    assert_int_equal(tn_writer_declare(writer, "old", TN_STORE_U8, 1, &size, NULL), TENEBRA_OK);
    assert_int_equal(tn_writer_write(writer, bytes, size, NULL), TENEBRA_OK);
    assert_int_equal(tn_writer_finish(writer, NULL), TENEBRA_OK);
    tn_writer_close(writer);
    free(bytes);
}

static void assert_old(const place *here)
{
    tn_store *store;
    assert_int_equal(tn_store_open(here->path, &store, NULL), TENEBRA_OK);
    assert_non_null(tn_store_find(store, "old"));
    assert_int_equal(tn_store_count(store), 1);
    tn_store_close(store);
    assert_int_equal(count_files(here->directory), 1);
}

static void test_round_trip(void **state)
{
    const place *here = *state;
    tenebra_error error = { 0 };
    const size_t matrix[] = { 2, 3 }, none[] = { 0, 7 };
    const double wide = 2.5;
    const float values[6] = { 1, -2, 3, -4, 5, -6 };
    const int64_t ids[2] = { -1, 9223372036854775807 };
    const size_t two = 2, three = 3;
    tn_writer *writer;
    assert_int_equal(tn_writer_open(here->path, &writer, &error), TENEBRA_OK);
    assert_int_equal(tn_writer_declare(writer, "wide", TN_STORE_F64, 0, NULL, &error), TENEBRA_OK);
    assert_int_equal(tn_writer_declare(writer, "ids", TN_STORE_I64, 1, &two, &error), TENEBRA_OK);
    assert_int_equal(tn_writer_declare(writer, "m\xc3\xa4trix \"q\"", TN_STORE_F32, 2, matrix, &error), TENEBRA_OK);
    assert_int_equal(tn_writer_declare(writer, "none", TN_STORE_BF16, 2, none, &error), TENEBRA_OK);
    assert_int_equal(tn_writer_declare(writer, "odd", TN_STORE_U8, 1, &three, &error), TENEBRA_OK);
    assert_int_equal(tn_writer_metadata(writer, "format", "pt", &error), TENEBRA_OK);
    assert_int_equal(tn_writer_metadata(writer, "note", "two\nlines", &error), TENEBRA_OK);
    assert_int_equal(tn_writer_missing(writer), 8 + 16 + 24 + 3);

    /* Cuts that ignore the borders of tensors. */
    unsigned char all[51];
    memcpy(all, &wide, 8);
    memcpy(all + 8, ids, 16);
    memcpy(all + 24, values, 24);
    memcpy(all + 48, "xyz", 3);
    for (size_t at = 0, step = 1; at < sizeof all; at += step, step++) {
        if (step > sizeof all - at)
            step = sizeof all - at;
        assert_int_equal(tn_writer_write(writer, all + at, step, &error), TENEBRA_OK);
    }
    assert_int_equal(tn_writer_missing(writer), 0);
    assert_false(access(here->path, F_OK) == 0); /* not before it is finished */
    assert_int_equal(tn_writer_finish(writer, &error), TENEBRA_OK);
    tn_writer_close(writer);
    assert_int_equal(count_files(here->directory), 1);

    tn_store *store;
    assert_int_equal(tn_store_open(here->path, &store, &error), TENEBRA_OK);
    assert_int_equal(tn_store_count(store), 5);
    assert_string_equal(tn_store_metadata(store, 0, "note"), "two\nlines");
    float read[6];
    int64_t read_ids[2];
    uint8_t read_odd[3];
    assert_int_equal(tn_store_read_f32(store, "m\xc3\xa4trix \"q\"", read, 6, &error), TENEBRA_OK);
    assert_memory_equal(read, values, sizeof read);
    assert_int_equal(tn_store_read_i64(store, "ids", read_ids, 2, &error), TENEBRA_OK);
    assert_memory_equal(read_ids, ids, sizeof ids);
    assert_int_equal(tn_store_read_u8(store, "odd", read_odd, 3, &error), TENEBRA_OK);
    assert_memory_equal(read_odd, "xyz", 3);
    const tn_stored *scalar = tn_store_find(store, "wide"), *empty = tn_store_find(store, "none");
    assert_int_equal(scalar->rank, 0);
    assert_int_equal(empty->shape[1], 7);
    assert_int_equal(empty->bytes, 0);
    for (size_t i = 0; i < 5; i++)
        assert_true(tn_stored_is_aligned(tn_store_at(store, i))); /* wide types came first */
    tn_store_close(store);
}

/* Every kind of tensor of a file by the reference writer, copied, is the same again. */
static void test_copy_of_reference_file(void **state)
{
    const place *here = *state;
    tn_store *source;
    assert_int_equal(tn_store_open(TENEBRA_TEST_DATA "/store/adapter.safetensors", &source, NULL), TENEBRA_OK);
    tn_writer *writer;
    assert_int_equal(tn_writer_open(here->path, &writer, NULL), TENEBRA_OK);
    size_t count = tn_store_count(source);
    for (size_t i = 0; i < count; i++) {
        const tn_stored *tensor = tn_store_at(source, i);
        assert_int_equal(tn_writer_declare(writer, tensor->name, tensor->type, tensor->rank, tensor->shape, NULL),
                         TENEBRA_OK);
    }
    for (size_t i = 0; i < count; i++)
        assert_int_equal(tn_writer_write(writer, tn_store_at(source, i)->data, tn_store_at(source, i)->bytes, NULL),
                         TENEBRA_OK);
    assert_int_equal(tn_writer_finish(writer, NULL), TENEBRA_OK);
    tn_writer_close(writer);
    tn_store *copy;
    assert_int_equal(tn_store_open(here->path, &copy, NULL), TENEBRA_OK);
    assert_int_equal(tn_store_count(copy), count);
    for (size_t i = 0; i < count; i++) {
        const tn_stored *a = tn_store_at(source, i), *b = tn_store_at(copy, i);
        assert_string_equal(a->name, b->name);
        assert_int_equal(a->type, b->type);
        assert_int_equal(a->rank, b->rank);
        assert_memory_equal(a->shape, b->shape, sizeof a->shape);
        assert_int_equal(a->bytes, b->bytes);
        assert_memory_equal(a->data, b->data, a->bytes);
    }
    tn_store_close(copy);
    tn_store_close(source);
}

static void test_no_tensors(void **state)
{
    const place *here = *state;
    tn_writer *writer;
    assert_int_equal(tn_writer_open(here->path, &writer, NULL), TENEBRA_OK);
    assert_int_equal(tn_writer_finish(writer, NULL), TENEBRA_OK);
    tn_writer_close(writer);
    tn_store *store;
    assert_int_equal(tn_store_open(here->path, &store, NULL), TENEBRA_OK);
    assert_int_equal(tn_store_count(store), 0);
    tn_store_close(store);
}

static void test_replaces_at_once(void **state)
{
    const place *here = *state;
    write_old(here, 10);
    tn_store *open_before;
    assert_int_equal(tn_store_open(here->path, &open_before, NULL), TENEBRA_OK);
    const size_t one = 1;
    tn_writer *writer;
    assert_int_equal(tn_writer_open(here->path, &writer, NULL), TENEBRA_OK);
    assert_int_equal(tn_writer_declare(writer, "new", TN_STORE_U8, 1, &one, NULL), TENEBRA_OK);
    assert_int_equal(tn_writer_write(writer, "n", 1, NULL), TENEBRA_OK);
    tn_store *meanwhile;
    assert_int_equal(tn_store_open(here->path, &meanwhile, NULL), TENEBRA_OK);
    assert_non_null(tn_store_find(meanwhile, "old"));
    tn_store_close(meanwhile);
    assert_int_equal(tn_writer_finish(writer, NULL), TENEBRA_OK);
    tn_writer_close(writer);
    uint8_t byte;
    tn_store *after;
    assert_int_equal(tn_store_open(here->path, &after, NULL), TENEBRA_OK);
    assert_int_equal(tn_store_read_u8(after, "new", &byte, 1, NULL), TENEBRA_OK);
    assert_int_equal(byte, 'n');
    tn_store_close(after);
    uint8_t old[10];
    assert_int_equal(tn_store_read_u8(open_before, "old", old, 10, NULL), TENEBRA_OK);
    tn_store_close(open_before);
}

static void test_given_up(void **state)
{
    const place *here = *state;
    write_old(here, 10);
    const size_t one = 1;
    tn_writer *writer;
    assert_int_equal(tn_writer_open(here->path, &writer, NULL), TENEBRA_OK);
    assert_int_equal(tn_writer_declare(writer, "new", TN_STORE_U8, 1, &one, NULL), TENEBRA_OK);
    assert_int_equal(tn_writer_write(writer, "n", 1, NULL), TENEBRA_OK);
    assert_int_equal(count_files(here->directory), 2);
    tn_writer_close(writer);
    assert_old(here);
    tn_writer_close(NULL);
}

static void test_unfinished_data(void **state)
{
    const place *here = *state;
    write_old(here, 10);
    const size_t two = 2;
    tenebra_error error = { 0 };
    tn_writer *writer;
    assert_int_equal(tn_writer_open(here->path, &writer, NULL), TENEBRA_OK);
    assert_int_equal(tn_writer_declare(writer, "new", TN_STORE_U8, 1, &two, NULL), TENEBRA_OK);
    assert_int_equal(tn_writer_write(writer, "n", 1, NULL), TENEBRA_OK);
    assert_int_equal(tn_writer_finish(writer, &error), TENEBRA_ERROR_ARGUMENT);
    assert_error(&error, TENEBRA_ERROR_ARGUMENT, "x.safetensors", "1 bytes of the declared tensors were not written");
    memset(&error, 0, sizeof error);
    assert_int_equal(tn_writer_write(writer, "n", 1, &error), TENEBRA_ERROR_ARGUMENT); /* it sticks */
    assert_error(&error, TENEBRA_ERROR_ARGUMENT, "x.safetensors", "were not written");
    tn_writer_close(writer);
    assert_old(here);
}

/* A file system that takes no more looks like this, by a limit that needs no rights to set:
 * the error must name the file and the old one must survive. */
static void test_full_disk(void **state)
{
    const place *here = *state;
    write_old(here, 10);
    struct rlimit before, tight = { 0 };
    assert_int_equal(getrlimit(RLIMIT_FSIZE, &before), 0);
    tight.rlim_cur = 4096;
    tight.rlim_max = before.rlim_max;
    signal(SIGXFSZ, SIG_IGN);
    const size_t size = 10000;
    unsigned char *bytes = calloc(size, 1);
    tn_writer *writer;
    assert_int_equal(tn_writer_open(here->path, &writer, NULL), TENEBRA_OK);
    assert_int_equal(tn_writer_declare(writer, "new", TN_STORE_U8, 1, &size, NULL), TENEBRA_OK);
    tenebra_error error = { 0 };
    assert_int_equal(setrlimit(RLIMIT_FSIZE, &tight), 0);
    tenebra_code code = tn_writer_write(writer, bytes, size, &error);
    assert_int_equal(setrlimit(RLIMIT_FSIZE, &before), 0);
    assert_int_equal(code, TENEBRA_ERROR_IO);
    assert_error(&error, TENEBRA_ERROR_IO, "x.safetensors", "cannot be written: ");
    assert_int_equal(tn_writer_finish(writer, &error), TENEBRA_ERROR_IO);
    tn_writer_close(writer);
    free(bytes);
    assert_old(here);
}

/* More than any disk has is refused before the first byte. */
static void test_no_room(void **state)
{
    const place *here = *state;
    write_old(here, 10);
    const size_t size = (size_t)1 << 59;
    tenebra_error error = { 0 };
    tn_writer *writer;
    assert_int_equal(tn_writer_open(here->path, &writer, NULL), TENEBRA_OK);
    assert_int_equal(tn_writer_declare(writer, "new", TN_STORE_U8, 1, &size, NULL), TENEBRA_OK);
    assert_int_equal(tn_writer_write(writer, "n", 1, &error), TENEBRA_ERROR_IO);
    assert_error(&error, TENEBRA_ERROR_IO, "x.safetensors", "needs 576460752303423488 bytes, but only");
    tn_writer_close(writer);
    assert_old(here);
}

static void test_impossible_places(void **state)
{
    const place *here = *state;
    tenebra_error error = { 0 };
    tn_writer *writer;
    assert_int_equal(tn_writer_open("", &writer, &error), TENEBRA_ERROR_ARGUMENT);
    assert_null(writer);
    assert_int_equal(error.code, TENEBRA_ERROR_ARGUMENT);
    assert_int_equal(tn_writer_open(here->directory, &writer, &error), TENEBRA_ERROR_ARGUMENT);
    assert_error(&error, TENEBRA_ERROR_ARGUMENT, here->directory, "not the name of a file");
    char path[2048];
    snprintf(path, sizeof path, "%s/absent/x.safetensors", here->directory);
    assert_int_equal(tn_writer_open(path, &writer, NULL), TENEBRA_OK);
    assert_int_equal(tn_writer_finish(writer, &error), TENEBRA_ERROR_IO);
    assert_error(&error, TENEBRA_ERROR_IO, "absent/x.safetensors", "cannot be created: No such file");
    tn_writer_close(writer);
}

/* ------------------------------------------------------------- bad calls -- */

typedef tenebra_code bad_call(tn_writer *writer, tenebra_error *error);

static tenebra_code declare(tn_writer *writer, const char *name, size_t rank, const size_t *shape,
                            tenebra_error *error)
{
    return tn_writer_declare(writer, name, TN_STORE_F32, rank, shape, error);
}

static const size_t one = 1;

static tenebra_code call_twice(tn_writer *writer, tenebra_error *error)
{
    declare(writer, "a", 1, &one, error);
    return declare(writer, "a", 1, &one, error);
}

static tenebra_code call_metadata_name(tn_writer *writer, tenebra_error *error)
{
    return declare(writer, "__metadata__", 1, &one, error);
}

static tenebra_code call_empty_name(tn_writer *writer, tenebra_error *error)
{
    return declare(writer, "", 1, &one, error);
}

static tenebra_code call_not_utf8(tn_writer *writer, tenebra_error *error)
{
    return declare(writer, "a\xff", 1, &one, error);
}

static tenebra_code call_rank(tn_writer *writer, tenebra_error *error)
{
    const size_t shape[9] = { 1, 1, 1, 1, 1, 1, 1, 1, 1 };
    return declare(writer, "a", 9, shape, error);
}

static tenebra_code call_product(tn_writer *writer, tenebra_error *error)
{
    const size_t shape[2] = { (size_t)1 << 40, (size_t)1 << 40 };
    return declare(writer, "a", 2, shape, error);
}

static tenebra_code call_sum(tn_writer *writer, tenebra_error *error)
{
    const size_t huge = (size_t)1 << 58; /* 2^60 bytes each; offsets end at 2^63 - 1 */
    char name[2] = "a";
    for (size_t i = 0; i < 7; i++, name[0]++)
        assert_int_equal(declare(writer, name, 1, &huge, error), TENEBRA_OK);
    return declare(writer, name, 1, &huge, error);
}

static tenebra_code call_late_tensor(tn_writer *writer, tenebra_error *error)
{
    declare(writer, "a", 1, &one, error);
    tn_writer_write(writer, "1234", 4, error);
    return declare(writer, "b", 1, &one, error);
}

static tenebra_code call_late_metadata(tn_writer *writer, tenebra_error *error)
{
    tn_writer_write(writer, "", 0, error);
    return tn_writer_metadata(writer, "a", "b", error);
}

static tenebra_code call_metadata_twice(tn_writer *writer, tenebra_error *error)
{
    tn_writer_metadata(writer, "a", "b", error);
    return tn_writer_metadata(writer, "a", "b", error);
}

static tenebra_code call_metadata_bytes(tn_writer *writer, tenebra_error *error)
{
    return tn_writer_metadata(writer, "a", "\xff", error);
}

static tenebra_code call_too_much(tn_writer *writer, tenebra_error *error)
{
    declare(writer, "a", 1, &one, error);
    return tn_writer_write(writer, "12345", 5, error);
}

static tenebra_code call_finish_twice(tn_writer *writer, tenebra_error *error)
{
    assert_int_equal(tn_writer_finish(writer, error), TENEBRA_OK);
    return tn_writer_finish(writer, error);
}

static void test_bad_calls(void **state)
{
    const place *here = *state;
    static const struct {
        bad_call *call;
        const char *words;
    } calls[] = {
        { call_twice, "declared twice" },        { call_metadata_name, "readers refuse" },
        { call_empty_name, "readers refuse" },   { call_not_utf8, "readers refuse" },
        { call_rank, "too many dimensions" },    { call_product, "too many dimensions or bytes" },
        { call_sum, "too many dimensions or bytes" }, { call_late_tensor, "after the first data" },
        { call_late_metadata, "after the first data" }, { call_metadata_twice, "given twice" },
        { call_metadata_bytes, "not UTF-8" },    { call_too_much, "5 bytes are more than the 4" },
        { call_finish_twice, "already finished" },
    };
    for (size_t i = 0; i < sizeof calls / sizeof *calls; i++) {
        tn_writer *writer;
        assert_int_equal(tn_writer_open(here->path, &writer, NULL), TENEBRA_OK);
        tenebra_error error = { 0 };
        assert_int_equal(calls[i].call(writer, &error), TENEBRA_ERROR_ARGUMENT);
        assert_error(&error, TENEBRA_ERROR_ARGUMENT, "x.safetensors", calls[i].words);
        tn_writer_close(writer);
    }
    assert_int_equal(count_files(here->directory), 1); /* what the first finish of the last call made */
}

/* The mode follows the umask, as for any new file. */
static void test_mode(void **state)
{
    const place *here = *state;
    mode_t before = umask(027);
    write_old(here, 1);
    umask(before);
    struct stat info;
    assert_int_equal(stat(here->path, &info), 0);
    assert_int_equal(info.st_mode & 0777, 0640);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(test_round_trip),  TEST(test_copy_of_reference_file), TEST(test_no_tensors),
        TEST(test_replaces_at_once), TEST(test_given_up),   TEST(test_unfinished_data),
        TEST(test_full_disk),   TEST(test_impossible_places),      TEST(test_bad_calls),
        TEST(test_mode),        TEST(test_no_room),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
