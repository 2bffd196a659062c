/* Opening files and directories: shards, the index, hostile indices, lookups, checked copies. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "store/store.h"
#include "unit/store/files.h"

#include <math.h>
#include <pthread.h>
#include <sys/stat.h>

#define U8(name, begin, end, count) \
    "\"" name "\":{\"dtype\":\"U8\",\"shape\":[" #count "],\"data_offsets\":[" #begin "," #end "]}"

static const char shard_one[] = "{\"__metadata__\":{\"format\":\"one\"}," U8("a", 0, 2, 2) "," U8("b", 2, 5, 3) "}";
static const char shard_two[] = "{" U8("c", 0, 4, 4) "}";

#define MAP "{\"metadata\":{\"total_size\":9},\"weight_map\":{"
static const char sound_index[] = MAP "\"a\":\"one.safetensors\",\"c\":\"two.safetensors\",\"b\":\"one.safetensors\"}}";

/* A directory with both shards and this index. */
static char *make_sharded(const char *index)
{
    char *directory = make_directory();
    write_safetensors(directory, "one.safetensors", shard_one, 5);
    write_safetensors(directory, "two.safetensors", shard_two, 4);
    write_file(directory, "model.safetensors.index.json", index, strlen(index));
    return directory;
}

static void test_single_file(void **state)
{
    (void)state;
    char *directory = make_directory(), path[1024];
    write_safetensors(directory, "model.safetensors", shard_one, 5);
    snprintf(path, sizeof path, "%s/model.safetensors", directory);
    const char *const places[] = { path, directory };
    for (size_t i = 0; i < 2; i++) {
        tenebra_error error = { 0 };
        tn_store *store;
        assert_int_equal(tn_store_open(places[i], &store, &error), TENEBRA_OK);
        assert_int_equal(tn_store_count(store), 2);
        assert_int_equal(tn_store_bytes(store), 5);
        assert_int_equal(tn_store_file_count(store), 1);
        assert_string_equal(tn_store_file_path(store, 0), path);
        assert_string_equal(tn_store_metadata(store, 0, "format"), "one");
        assert_null(tn_store_metadata(store, 0, "other"));
        const tn_stored *b = tn_store_find(store, "b");
        assert_ptr_equal(b, tn_store_at(store, 1));
        assert_int_equal(((const unsigned char *)b->data)[0], 2);
        assert_null(tn_store_find(store, "c"));
        assert_null(tn_store_find(store, ""));
        tn_store_close(store);
    }
    tn_store_close(NULL);
    remove_directory(directory);
}

static void test_shards(void **state)
{
    (void)state;
    char *directory = make_sharded(sound_index);
    tenebra_error error = { 0 };
    tn_store *store;
    assert_int_equal(tn_store_open(directory, &store, &error), TENEBRA_OK);
    assert_int_equal(tn_store_file_count(store), 2);
    assert_int_equal(tn_store_count(store), 3);
    assert_int_equal(tn_store_bytes(store), 9);
    assert_string_equal(tn_store_at(store, 0)->name, "a");
    assert_string_equal(tn_store_at(store, 1)->name, "b");
    assert_string_equal(tn_store_at(store, 2)->name, "c");
    uint8_t values[4];
    assert_int_equal(tn_store_read_u8(store, "c", values, 4, &error), TENEBRA_OK);
    assert_int_equal(values[3], 3);
    tn_store_close(store);
    remove_directory(directory);
}

/* model.safetensors takes precedence over an index, as in the reference loader. */
static void test_single_before_index(void **state)
{
    (void)state;
    char *directory = make_sharded("not even JSON");
    write_safetensors(directory, "model.safetensors", shard_two, 4);
    tn_store *store;
    assert_int_equal(tn_store_open(directory, &store, NULL), TENEBRA_OK);
    assert_int_equal(tn_store_count(store), 1);
    tn_store_close(store);
    remove_directory(directory);
}

/* Downloaded models are often links into a cache. */
static void test_linked_shard(void **state)
{
    (void)state;
    char *directory = make_sharded(sound_index), *cache = make_directory(), target[1024], link[1024];
    write_safetensors(cache, "blob", shard_two, 4);
    snprintf(target, sizeof target, "%s/blob", cache);
    snprintf(link, sizeof link, "%s/two.safetensors", directory);
    assert_int_equal(unlink(link), 0);
    assert_int_equal(symlink(target, link), 0);
    tn_store *store;
    assert_int_equal(tn_store_open(directory, &store, NULL), TENEBRA_OK);
    assert_int_equal(tn_store_count(store), 3);
    tn_store_close(store);
    remove_directory(directory);
    remove_directory(cache);
}

typedef struct bad_index {
    const char *index;
    tenebra_code code;
    const char *where, *words;
} bad_index;

static const bad_index bad_indices[] = {
    { "", TENEBRA_ERROR_FORMAT, "index.json", "not valid JSON" },
    { "[]", TENEBRA_ERROR_FORMAT, "index.json", "must contain one JSON object" },
    { "{}", TENEBRA_ERROR_FORMAT, "index.json", "no object \"weight_map\"" },
    { "{\"weight_map\":[\"a\"]}", TENEBRA_ERROR_FORMAT, "index.json", "no object \"weight_map\"" },
    { MAP "\"a\":7}}", TENEBRA_ERROR_FORMAT, "index.json", "\"a\" is not mapped" },
    { MAP "\"a\":\"\"}}", TENEBRA_ERROR_FORMAT, "index.json", "\"a\" is not mapped" },
    { MAP "\"a\":\"..\"}}", TENEBRA_ERROR_FORMAT, "index.json", "\"a\" is not mapped" },
    { MAP "\"a\":\".\"}}", TENEBRA_ERROR_FORMAT, "index.json", "\"a\" is not mapped" },
    { MAP "\"a\":\"../one.safetensors\"}}", TENEBRA_ERROR_FORMAT, "index.json", "\"a\" is not mapped" },
    { MAP "\"a\":\"/etc/passwd\"}}", TENEBRA_ERROR_FORMAT, "index.json", "\"a\" is not mapped" },
    { MAP "\"a\":\"one.safetensors\\u0000\"}}", TENEBRA_ERROR_FORMAT, "index.json", "\"a\" is not mapped" },
    { MAP "\"a\":\"one.safetensors\",\"a\":\"two.safetensors\"}}", TENEBRA_ERROR_FORMAT, "index.json", "duplicate" },
    { MAP "\"a\":\"absent.safetensors\"}}", TENEBRA_ERROR_IO, "absent.safetensors", "cannot be opened" },
    { MAP "\"a\":\"one.safetensors\",\"b\":\"one.safetensors\",\"c\":\"two.safetensors\",\"d\":\"two.safetensors\"}}",
      TENEBRA_ERROR_MISMATCH, "index.json", "\"d\" is missing from two.safetensors" },
    { MAP "\"a\":\"one.safetensors\",\"b\":\"two.safetensors\",\"c\":\"two.safetensors\"}}",
      TENEBRA_ERROR_MISMATCH, "index.json", "\"b\" is in one.safetensors, not in two.safetensors" },
    { MAP "\"a\":\"one.safetensors\",\"c\":\"two.safetensors\"}}", TENEBRA_ERROR_MISMATCH, "index.json",
      "\"b\" of one.safetensors is not in the index" },
};

/* The code that is returned and the record say the same, and no record is needed. */
static void assert_refused(const char *path, tenebra_code expected, const char *where, const char *words)
{
    tenebra_error error = { 0 };
    tn_store *none;
    assert_int_equal(tn_store_open(path, &none, &error), expected);
    assert_null(none);
    assert_error(&error, expected, where, words);
    assert_int_equal(tn_store_open(path, &none, NULL), expected);
}

static void test_bad_indices(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof bad_indices / sizeof *bad_indices; i++) {
        char *directory = make_sharded(bad_indices[i].index);
        assert_refused(directory, bad_indices[i].code, bad_indices[i].where, bad_indices[i].words);
        remove_directory(directory);
    }
}

static void test_tensor_in_two_shards(void **state)
{
    (void)state;
    char *directory = make_sharded(sound_index);
    write_safetensors(directory, "two.safetensors", "{" U8("c", 0, 4, 4) "," U8("a", 4, 6, 2) "}", 6);
    assert_refused(directory, TENEBRA_ERROR_MISMATCH, "two.safetensors", "\"a\" is also in one.safetensors");
    remove_directory(directory);
}

/* Pitfall: a download that stopped early leaves its last shard short. */
static void test_cut_shard(void **state)
{
    (void)state;
    char *directory = make_sharded(sound_index), path[1024];
    snprintf(path, sizeof path, "%s/two.safetensors", directory);
    struct stat info;
    assert_int_equal(stat(path, &info), 0);
    for (off_t length = info.st_size; length-- > 0;) {
        assert_int_equal(truncate(path, length), 0);
        assert_refused(directory, TENEBRA_ERROR_FORMAT, "two.safetensors", "");
    }
    remove_directory(directory);
}

static void test_not_there(void **state)
{
    (void)state;
    char *directory = make_directory(), path[1024];
    assert_refused(directory, TENEBRA_ERROR_IO, directory, "contains no weights; they would be in one of model.safetensors, model.safetensors.index.json");
    snprintf(path, sizeof path, "%s/absent.safetensors", directory);
    assert_refused(path, TENEBRA_ERROR_IO, "absent.safetensors", "cannot be opened");
    write_file(directory, "model.safetensors", "", 0);
    assert_refused(directory, TENEBRA_ERROR_FORMAT, "model.safetensors", "has 0 bytes");
    remove_directory(directory);
}

static void test_checked_copies(void **state)
{
    (void)state;
    char *directory = make_directory();
    write_safetensors(directory, "model.safetensors",
                      "{\"f\":{\"dtype\":\"F32\",\"shape\":[2],\"data_offsets\":[0,8]},"
                      "\"i\":{\"dtype\":\"I64\",\"shape\":[1],\"data_offsets\":[8,16]},"
                      "\"none\":{\"dtype\":\"F32\",\"shape\":[0],\"data_offsets\":[16,16]}}", 16);
    tn_store *store;
    assert_int_equal(tn_store_open(directory, &store, NULL), TENEBRA_OK);
    float f[3];
    int64_t i;
    uint8_t u[8];
    tenebra_error error = { 0 };
    assert_int_equal(tn_store_read_f32(store, "f", f, 2, &error), TENEBRA_OK);
    uint32_t bits;
    memcpy(&bits, &f[1], sizeof bits);
    assert_int_equal(bits, 0x07060504);
    assert_int_equal(tn_store_read_i64(store, "i", &i, 1, &error), TENEBRA_OK);
    assert_true(i == 0x0f0e0d0c0b0a0908);
    assert_int_equal(tn_store_read_f32(store, "none", NULL, 0, &error), TENEBRA_OK);

    assert_int_equal(tn_store_read_f32(store, "g", f, 2, &error), TENEBRA_ERROR_MISMATCH);
    assert_error(&error, TENEBRA_ERROR_MISMATCH, "model.safetensors", "no tensor \"g\"");
    assert_int_equal(tn_store_read_f32(store, "f", f, 3, &error), TENEBRA_ERROR_MISMATCH);
    assert_error(&error, TENEBRA_ERROR_MISMATCH, "model.safetensors", "\"f\" has 2 values, not 3");
    assert_int_equal(tn_store_read_i64(store, "f", &i, 1, &error), TENEBRA_ERROR_MISMATCH);
    assert_error(&error, TENEBRA_ERROR_MISMATCH, "model.safetensors", "\"f\" is of type F32, not I64");
    assert_int_equal(tn_store_read_u8(store, "i", u, 8, &error), TENEBRA_ERROR_MISMATCH);
    tn_store_close(store);
    remove_directory(directory);
}

/* ------------------------------------------- a file of the reference writer -- */

#define ADAPTER TENEBRA_TEST_DATA "/store/adapter.safetensors"

/* Sum, first and last value of some tensors, computed from the file by a separate program. */
static const struct {
    const char *name;
    double sum, first, last;
} facts[] = {
    { "base_model.model.model.layers.0.self_attn.q_proj.lora_A.weight", -2.7852432678919286,
      -0.12330689281225204, -0.017171964049339294 },
    { "base_model.model.model.layers.0.self_attn.q_proj.lora_B.weight", -0.6545369479426881,
      -0.05479366332292557, -0.11878222227096558 },
    { "base_model.model.model.layers.1.mlp.down_proj.lora_B.weight", -0.14273987151682377,
      -0.00765742314979434, -0.01137692853808403 },
};

/* The sums are of at most 512 doubles below 1: they agree to rounding. */
static bool matches(const float *values, size_t count, size_t fact)
{
    double sum = 0;
    for (size_t i = 0; i < count; i++)
        sum += (double)values[i];
    return fabs(sum - facts[fact].sum) < 1e-12 && fabs((double)values[0] - facts[fact].first) < 1e-12 &&
           fabs((double)values[count - 1] - facts[fact].last) < 1e-12;
}

static void test_reference_file(void **state)
{
    (void)state;
    tenebra_error error = { 0 };
    tn_store *store;
    assert_int_equal(tn_store_open(ADAPTER, &store, &error), TENEBRA_OK);
    assert_int_equal(tn_store_count(store), 28);
    assert_string_equal(tn_store_metadata(store, 0, "format"), "pt");
    for (size_t i = 0; i < 3; i++) {
        const tn_stored *tensor = tn_store_find(store, facts[i].name);
        assert_non_null(tensor);
        float *values = malloc(tensor->bytes);
        assert_non_null(values);
        assert_int_equal(tn_store_read_f32(store, facts[i].name, values, tensor->elements, &error), TENEBRA_OK);
        assert_true(matches(values, tensor->elements, i));
        assert_false(matches(values, tensor->elements, (i + 1) % 3)); /* negative control */
        values[tensor->elements / 2] += 1e-3f;
        assert_false(matches(values, tensor->elements, i));
        values[0] = NAN;
        assert_false(matches(values, tensor->elements, i));
        free(values);
    }
    tn_store_close(store);
}

/* -------------------------------------------------------------- threads -- */

static void *find_all(void *argument)
{
    const tn_store *store = argument;
    size_t found = 0;
    for (size_t turn = 0; turn < 200; turn++)
        for (size_t i = 0; i < tn_store_count(store); i++)
            found += tn_store_find(store, tn_store_at(store, i)->name) == tn_store_at(store, i);
    return found == 200 * tn_store_count(store) ? argument : NULL;
}

static void test_shared_between_threads(void **state)
{
    (void)state;
    tn_store *store;
    assert_int_equal(tn_store_open(ADAPTER, &store, NULL), TENEBRA_OK);
    pthread_t threads[4];
    for (size_t i = 0; i < 4; i++)
        assert_int_equal(pthread_create(&threads[i], NULL, find_all, store), 0);
    for (size_t i = 0; i < 4; i++) {
        void *result;
        assert_int_equal(pthread_join(threads[i], &result), 0);
        assert_ptr_equal(result, store);
    }
    tn_store_close(store);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_single_file),
        cmocka_unit_test(test_shards),
        cmocka_unit_test(test_single_before_index),
        cmocka_unit_test(test_linked_shard),
        cmocka_unit_test(test_bad_indices),
        cmocka_unit_test(test_tensor_in_two_shards),
        cmocka_unit_test(test_cut_shard),
        cmocka_unit_test(test_not_there),
        cmocka_unit_test(test_checked_copies),
        cmocka_unit_test(test_reference_file),
        cmocka_unit_test(test_shared_between_threads),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
