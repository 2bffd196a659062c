/* Files of torch.save: those of a real torch (tools/make_torch_cases.py), each rule broken once, and files cut or changed
 * anywhere. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "base/file.h"
#include "base/json.h"
#include "base/rng.h"
#include "store/format.h"
#include "store/pickle.h"
#include "unit/store/place.h"

#define DATA TENEBRA_TEST_DATA "/torch"

static json_t *cases;

static int open_cases(void **state)
{
    (void)state;
    return tn_json_read_object(DATA, "cases.json", 1 << 20, true, &cases, NULL) == TENEBRA_OK ? 0 : -1;
}

static int close_cases(void **state)
{
    (void)state;
    json_decref(cases);
    return 0;
}

static void read_case(const char *name, tn_file *file)
{
    char path[1024];
    snprintf(path, sizeof path, DATA "/%s", name);
    assert_int_equal(tn_file_read(file, path, 1 << 20, NULL), TENEBRA_OK);
}

static const tn_stored *find(const tn_contents *contents, const char *name)
{
    for (size_t i = 0; i < contents->count; i++)
        if (strcmp(contents->tensors[i].name, name) == 0)
            return &contents->tensors[i];
    return NULL;
}

/* ["F32", [2, 3], "0000803f..."] */
static void compare(const tn_stored *tensor, const json_t *expected)
{
    const json_t *shape = json_array_get(expected, 1);
    const char *hex = json_string_value(json_array_get(expected, 2));
    assert_string_equal(tn_store_type_of(tensor->type)->name, json_string_value(json_array_get(expected, 0)));
    assert_int_equal(tensor->rank, json_array_size(shape));
    for (size_t i = 0; i < tensor->rank; i++)
        assert_int_equal(tensor->shape[i], json_integer_value(json_array_get(shape, i)));
    assert_int_equal(2 * tensor->bytes, strlen(hex));
    for (size_t i = 0; i < tensor->bytes; i++) {
        char byte[3];
        snprintf(byte, sizeof byte, "%02x", ((const unsigned char *)tensor->data)[i]);
        assert_memory_equal(byte, hex + 2 * i, 2);
    }
}

static void test_sound_files(void **state)
{
    (void)state;
    const char *name, *tensor;
    json_t *tensors, *expected;
    size_t compared = 0;
    json_object_foreach(json_object_get(cases, "sound"), name, tensors) {
        tn_file file;
        tn_contents contents;
        tenebra_error error = { 0 };
        read_case(name, &file);
        if (tn_contents_open(&contents, file.data, file.size, name, &error) != TENEBRA_OK)
            fail_msg("%s: %s", name, error.sentence);
        assert_int_equal(contents.count, json_object_size(tensors));
        json_object_foreach(tensors, tensor, expected) {
            const tn_stored *found = find(&contents, tensor);
            assert_non_null(found);
            compare(found, expected);
            compared++;
        }
        const char *member = json_string_value(json_object_get(json_object_get(cases, "notes"), name));
        char text[TN_NOTES_TEXT];
        tn_notes_print(&contents.notes, text);
        if (member != NULL)
            assert_non_null(strstr(text, member));
        else
            assert_string_equal(text, "");
        tn_contents_close(&contents);
        tn_file_close(&file);
    }
    assert_true(compared > 100);
}

static bool inside(const tn_file *file, const tn_stored *tensor)
{
    const unsigned char *data = tensor->data;
    return data >= file->data && data <= file->data + file->size;
}

/* Tensors lie in the file where they can, and views of one storage share it. */
static void test_places(void **state)
{
    (void)state;
    tn_file file;
    tn_contents contents;
    read_case("views.pth", &file);
    assert_int_equal(tn_contents_open(&contents, file.data, file.size, "views.pth", NULL), TENEBRA_OK);
    static const char *const plain[] = { "base", "same", "rows", "offset", "cube", "number", "one", "nothing", "parameter" };
    static const char *const copied[] = { "turned", "columns", "step", "permuted", "inner", "middle", "repeated", "half" };
    for (size_t i = 0; i < sizeof plain / sizeof *plain; i++)
        assert_true(inside(&file, find(&contents, plain[i])));
    for (size_t i = 0; i < sizeof copied / sizeof *copied; i++)
        assert_false(inside(&file, find(&contents, copied[i])));
    assert_ptr_equal(find(&contents, "base")->data, find(&contents, "same")->data);
    assert_ptr_equal(find(&contents, "turned")->data, find(&contents, "turned_again")->data);
    assert_ptr_equal(find(&contents, "rows")->data, (const float *)find(&contents, "base")->data + 8);
    tn_contents_close(&contents);
    tn_file_close(&file);
}

static void test_refused_files(void **state)
{
    (void)state;
    static const struct {
        const char *name;
        tenebra_code code;
    } codes[] = { { "FORMAT", TENEBRA_ERROR_FORMAT }, { "UNSUPPORTED", TENEBRA_ERROR_UNSUPPORTED }, { "LIMIT", TENEBRA_ERROR_LIMIT } };
    const char *name;
    json_t *expected;
    size_t checked = 0;
    json_object_foreach(json_object_get(cases, "refused"), name, expected) {
        tn_file file;
        tn_contents contents;
        tenebra_error error = { 0 };
        read_case(name, &file);
        if (tn_contents_open(&contents, file.data, file.size, name, &error) == TENEBRA_OK)
            fail_msg("%s is read", name);
        for (size_t i = 0; i < 3; i++)
            if (strcmp(codes[i].name, json_string_value(json_array_get(expected, 0))) == 0)
                assert_error(&error, codes[i].code, name, json_string_value(json_array_get(expected, 1)));
        assert_int_equal(contents.count, 0);
        assert_null(contents.tensors);
        tn_file_close(&file);
        checked++;
    }
    assert_true(checked > 80);
    assert_int_not_equal(access("/tmp/tenebra-was-executed", F_OK), 0);
}

/* ------------------------------------------------------------ damage -- */

/* Opens a copy that ends where its memory ends, and reads all tensors. */
static tenebra_code open_copy(const unsigned char *bytes, size_t size, tenebra_error *error)
{
    unsigned char *copy = malloc(size > 0 ? size : 1);
    assert_non_null(copy);
    memcpy(copy, bytes, size);
    tn_contents contents;
    tenebra_code code = tn_contents_open(&contents, copy, size, "x.pth", error);
    unsigned sum = 0;
    bool sealed = false;
    for (size_t i = 0; i < contents.count; i++)
        for (size_t k = 0; k < contents.tensors[i].bytes; k++)
            sum += ((const unsigned char *)contents.tensors[i].data)[k];
    if (code == TENEBRA_OK && contents.format->verify(&contents, "x.pth", &sealed, error) != TENEBRA_OK)
        code = TENEBRA_ERROR_FORMAT;
    assert_true(sum <= 255 * size * (contents.count + 1));
    tn_contents_close(&contents);
    free(copy);
    return code;
}

static void test_cut_anywhere(void **state)
{
    (void)state;
    static const char *const names[] = { "views.pth", "zip64.pth", "protocol4.pth" };
    for (size_t i = 0; i < 3; i++) {
        tn_file file;
        read_case(names[i], &file);
        for (size_t size = 0; size < file.size; size++) {
            tenebra_error error = { 0 };
            assert_int_not_equal(open_copy(file.data, size, &error), TENEBRA_OK);
            assert_true(error.sentence[0] != '\0');
        }
        assert_int_equal(open_copy(file.data, file.size, NULL), TENEBRA_OK);
        tn_file_close(&file);
    }
}

/* The place of some bytes in a file. */
static size_t place_of(const tn_file *file, const char *bytes, size_t count)
{
    for (size_t at = 0; at + count <= file->size; at++)
        if (memcmp(file->data + at, bytes, count) == 0)
            return at;
    fail();
    return 0;
}

/* The pickle cut at every byte: the archive stays sound, so that only the interpreter can notice. */
static void test_pickle_cut_anywhere(void **state)
{
    (void)state;
    static const tn_pickle_host host = { NULL, NULL, NULL, NULL }; /* not called: the pickle holds plain values only */
    static const unsigned char bytes[] = "\x80\x02}q\0(X\2\0\0\0ab]q\1(K\1M\2\2J\3\0\0\0G@\0\0\0\0\0\0\0\x88\x89Neh\1h\1\x86u.";
    const size_t size = sizeof bytes - 1;
    for (size_t length = 0; length < size; length++) {
        tn_pickle pickle;
        tenebra_error error = { 0 };
        assert_int_equal(tn_pickle_read(&pickle, bytes, length, "x", &host, &error), TENEBRA_ERROR_FORMAT);
        assert_non_null(strstr(error.sentence, "damaged"));
        tn_pickle_close(&pickle);
    }
    tn_pickle pickle;
    assert_int_equal(tn_pickle_read(&pickle, bytes, size, "x", &host, NULL), TENEBRA_ERROR_FORMAT); /* a key without a value */
    tn_pickle_close(&pickle);
}

/* Instructions of one byte that each make a value, up to the limit; and a pickle that is refused for its length, unread. */
static void test_pickle_limits(void **state)
{
    (void)state;
    static const tn_pickle_host host = { NULL, NULL, NULL, NULL };
    static const char instructions[] = { 'N', ']', '(' };
    for (size_t i = 0; i < sizeof instructions; i++) {
        tn_pickle pickle;
        tenebra_error error = { 0 };
        size_t size = TN_PICKLE_VALUES_MAX + 2;
        unsigned char *bytes = malloc(size);
        assert_non_null(bytes);
        memset(bytes, instructions[i], size);
        assert_int_not_equal(tn_pickle_read(&pickle, bytes, size, "x", &host, &error), TENEBRA_OK);
        assert_error(&error, TENEBRA_ERROR_LIMIT, "x", "more than 4194304 values");
        tn_pickle_close(&pickle);
        assert_int_equal(tn_pickle_read(&pickle, bytes, TN_PICKLE_BYTES_MAX + (size_t)1, "x", &host, &error), TENEBRA_ERROR_LIMIT);
        tn_pickle_close(&pickle);
        free(bytes);
    }
}

/* One file has checksums, which also cover its pickle; in the other the interpreter meets every change. */
static void test_changed_anywhere(void **state)
{
    (void)state;
    static const char *const names[] = { "protocol4.pth", "unchecked.pth" };
    for (size_t i = 0; i < 2; i++) {
        tn_file file;
        read_case(names[i], &file);
        size_t read = 0, refused = 0;
        unsigned char *copy = malloc(file.size);
        assert_non_null(copy);
        for (size_t at = 0; at < file.size; at++)
            for (int way = 0; way < 3; way++) {
                static const unsigned char values[] = { 0x00, 0xff };
                memcpy(copy, file.data, file.size);
                copy[at] = way == 2 ? copy[at] ^ 1 : values[way];
                tenebra_code code = open_copy(copy, file.size, NULL);
                read += code == TENEBRA_OK;
                refused += code != TENEBRA_OK;
            }
        assert_true(read > 0 && refused > file.size / 2); /* padding may change */
        free(copy);
        tn_file_close(&file);
    }
}

/* A changed number of a tensor is noticed by its checksum, and only by that. */
static void test_checksums(void **state)
{
    (void)state;
    static const struct {
        const char *name;
        bool sealed;
    } files[] = { { "mixed.pth", true }, { "unchecked.pth", false } };
    for (size_t i = 0; i < 2; i++) {
        tn_file file;
        tn_contents contents;
        bool sealed = !files[i].sealed;
        tenebra_error error = { 0 };
        read_case(files[i].name, &file);
        unsigned char *copy = malloc(file.size);
        assert_non_null(copy);
        memcpy(copy, file.data, file.size);
        copy[place_of(&file, "\0\0\x40\xc0\0\0\0\xc0", 8)] ^= 1; /* -3, -2 */
        assert_int_equal(tn_contents_open(&contents, file.data, file.size, "x.pth", NULL), TENEBRA_OK);
        assert_int_equal(contents.format->verify(&contents, "x.pth", &sealed, NULL), TENEBRA_OK);
        assert_true(sealed == files[i].sealed);
        tn_contents_close(&contents);
        assert_int_equal(tn_contents_open(&contents, copy, file.size, "x.pth", NULL), TENEBRA_OK);
        tenebra_code code = contents.format->verify(&contents, "x.pth", &sealed, &error);
        assert_int_equal(code, files[i].sealed ? TENEBRA_ERROR_FORMAT : TENEBRA_OK);
        if (files[i].sealed)
            assert_error(&error, TENEBRA_ERROR_FORMAT, "x.pth", "is damaged");
        tn_contents_close(&contents);
        free(copy);
        tn_file_close(&file);
    }
}

/* -------------------------------------------------------- directories -- */

static void copy_case(const place *here, const char *name, const char *as)
{
    tn_file file;
    read_case(name, &file);
    write_file(here->directory, as, file.data, file.size);
    tn_file_close(&file);
}

static void test_index(void **state)
{
    place *here = *state;
    static const char index[] = "{\"metadata\":{\"total_size\":1},\"weight_map\":{\"weight\":\"pytorch_model-1.bin\",\"bias\":\"pytorch_model-1.bin\","
                                "\"base\":\"pytorch_model-2.bin\"}}";
    tn_store *store;
    tenebra_error error = { 0 };
    copy_case(here, "mixed.pth", "pytorch_model-1.bin");
    copy_case(here, "views.pth", "pytorch_model-2.bin");
    write_file(here->directory, "pytorch_model.bin.index.json", index, strlen(index));
    assert_int_equal(tn_store_open(here->directory, &store, &error), TENEBRA_ERROR_MISMATCH);
    assert_non_null(strstr(error.sentence, "is not in the index"));
    static const char fitting[] = "{\"weight_map\":{\"weight\":\"pytorch_model-1.bin\",\"bias\":\"pytorch_model-1.bin\"}}";
    write_file(here->directory, "pytorch_model.bin.index.json", fitting, strlen(fitting));
    assert_int_equal(tn_store_open(here->directory, &store, &error), TENEBRA_OK);
    assert_int_equal(tn_store_count(store), 2);
    char text[TN_NOTES_TEXT];
    assert_non_null(strstr(tn_notes_print(tn_store_notes(store), text), "pytorch_model-1.bin: version"));
    tn_store_close(store);
}

static void test_directory(void **state)
{
    place *here = *state;
    tn_store *store;
    tenebra_error error = { 0 };
    char text[TN_NOTES_TEXT];
    assert_int_equal(tn_store_open(here->directory, &store, &error), TENEBRA_ERROR_IO);
    assert_non_null(strstr(error.sentence, "model.safetensors.index.json, pytorch_model.bin, model.pth, pytorch_model.bin.index.json"));
    copy_case(here, "member.pth", "model.pth");
    assert_int_equal(tn_store_open(here->directory, &store, &error), TENEBRA_OK);
    assert_int_equal(tn_store_count(store), 2);
    tn_store_close(store);
    copy_case(here, "views.pth", "pytorch_model.bin"); /* counts before the other, which is noted */
    assert_int_equal(tn_store_open(here->directory, &store, &error), TENEBRA_OK);
    assert_non_null(tn_store_find(store, "base"));
    assert_non_null(strstr(tn_notes_print(tn_store_notes(store), text), "model.pth: all of it"));
    tn_store_close(store);
    write_safetensors(here->directory, "model.safetensors", "{}", 0);
    assert_int_equal(tn_store_open(here->directory, &store, &error), TENEBRA_OK);
    assert_int_equal(tn_store_count(store), 0);
    assert_non_null(strstr(tn_notes_print(tn_store_notes(store), text), "pytorch_model.bin: all of it"));
    tn_store_close(store);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_sound_files),
        cmocka_unit_test(test_places),
        cmocka_unit_test(test_refused_files),
        cmocka_unit_test(test_cut_anywhere),
        cmocka_unit_test(test_pickle_cut_anywhere),
        cmocka_unit_test(test_pickle_limits),
        cmocka_unit_test(test_changed_anywhere),
        cmocka_unit_test(test_checksums),
        cmocka_unit_test_setup_teardown(test_index, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_directory, set_up, tear_down),
    };
    return cmocka_run_group_tests(tests, open_cases, close_cases);
}
