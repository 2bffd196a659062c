/* The digest in files of ours: it is there, it is that of the bytes, and any change is noticed. tests/e2e/train.py computes it with
 * another implementation. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "store/seal.h"
#include "store/store.h"
#include "store/writer.h"
#include "unit/store/place.h"

enum { SIZE = 700, PIECE = 13 };

/* A tensor in pieces, with metadata that looks like the entry and is not. */
static void write_tensor(const place *here)
{
    unsigned char bytes[SIZE];
    size_t size = SIZE;
    char zeros[TN_STORE_SEAL_TEXT], lookalike[200];
    tn_store_seal_print(NULL, zeros);
    snprintf(lookalike, sizeof lookalike, "\"" TN_STORE_SEAL_KEY "\":\"%s\"", zeros);
    for (size_t i = 0; i < SIZE; i++)
        bytes[i] = (unsigned char)(i * 7);
    tn_writer *writer;
    assert_int_equal(tn_writer_open(here->path, &writer, NULL), TENEBRA_OK);
    assert_int_equal(tn_writer_metadata(writer, "before", lookalike, NULL), TENEBRA_OK);
    assert_int_equal(tn_writer_metadata(writer, "zeros", zeros, NULL), TENEBRA_OK);
    assert_int_equal(tn_writer_declare(writer, "a", TN_STORE_U8, 1, &size, NULL), TENEBRA_OK);
    for (size_t at = 0; at < SIZE; at += PIECE)
        assert_int_equal(tn_writer_write(writer, bytes + at, SIZE - at < PIECE ? SIZE - at : PIECE, NULL), TENEBRA_OK);
    assert_int_equal(tn_writer_finish(writer, NULL), TENEBRA_OK);
    tn_writer_close(writer);
}

static unsigned char *read_bytes(const place *here, size_t *size)
{
    FILE *file = fopen(here->path, "rb");
    assert_non_null(file);
    unsigned char *bytes = malloc(1 << 16);
    assert_non_null(bytes);
    *size = fread(bytes, 1, 1 << 16, file);
    fclose(file);
    return bytes;
}

static tenebra_code check(const place *here, bool *sealed, tenebra_error *error)
{
    tn_store *store;
    TN_TRY(tn_store_open(here->path, &store, error));
    tenebra_code code = tn_store_verify_file(store, 0, sealed, error);
    assert_int_equal(tn_store_verify(store, NULL), code);
    tn_store_close(store);
    return code;
}

static void test_sound_file(void **state)
{
    const place *here = *state;
    tenebra_error error = { 0 };
    bool sealed = false;
    write_tensor(here);
    assert_int_equal(check(here, &sealed, &error), TENEBRA_OK);
    assert_true(sealed);
    tn_store *store;
    assert_int_equal(tn_store_open(here->path, &store, NULL), TENEBRA_OK);
    const char *text = tn_store_metadata(store, 0, TN_STORE_SEAL_KEY);
    char zeros[TN_STORE_SEAL_TEXT];
    tn_store_seal_print(NULL, zeros);
    assert_int_equal(strlen(text), strlen(zeros));
    assert_string_not_equal(text, zeros);
    assert_string_equal(tn_store_metadata(store, 0, "zeros"), zeros); /* the lookalikes stay as they were */
    tn_store_close(store);
}

/* A flipped bit in any byte: the file is refused, or is recognised as not written by tenebra. */
static void test_every_byte(void **state)
{
    const place *here = *state;
    size_t size, data = 0, unsealed = 0;
    write_tensor(here);
    unsigned char *bytes = read_bytes(here, &size);
    for (size_t i = 0; i < size; i++) {
        tenebra_error error = { 0 };
        bool sealed = true;
        bytes[i] ^= (unsigned char)(1 << i % 8);
        write_file(here->directory, "x.safetensors", bytes, size);
        bytes[i] ^= (unsigned char)(1 << i % 8);
        tenebra_code code = check(here, &sealed, &error);
        unsealed += code == TENEBRA_OK && !sealed;
        assert_true(code != TENEBRA_OK || !sealed);
        data += i >= size - SIZE && code == TENEBRA_ERROR_FORMAT && strstr(error.sentence, "damaged") != NULL;
    }
    assert_int_equal(data, SIZE);
    assert_true(unsealed <= strlen(TN_STORE_SEAL_KEY)); /* only a change of the key's own letters hides it */
    free(bytes);
}

static void test_files_of_others(void **state)
{
    const place *here = *state;
    static const char plain[] = "{\"a\":{\"dtype\":\"U8\",\"shape\":[2],\"data_offsets\":[0,2]}}",
                      odd[] = "{\"__metadata__\":{\"tenebra.digest\":\"md5:12\"},\"a\":{\"dtype\":\"U8\",\"shape\":[2],\"data_offsets\":[0,2]}}";
    tenebra_error error = { 0 };
    bool sealed = true;
    write_safetensors(here->directory, "x.safetensors", plain, 2);
    assert_int_equal(check(here, &sealed, &error), TENEBRA_OK);
    assert_false(sealed);
    write_safetensors(here->directory, "x.safetensors", odd, 2);
    assert_int_equal(check(here, &sealed, &error), TENEBRA_ERROR_FORMAT);
    assert_non_null(strstr(error.sentence, TN_STORE_SEAL_KEY));
}

static void test_key_is_taken(void **state)
{
    const place *here = *state;
    tenebra_error error = { 0 };
    tn_writer *writer;
    assert_int_equal(tn_writer_open(here->path, &writer, NULL), TENEBRA_OK);
    assert_int_equal(tn_writer_metadata(writer, TN_STORE_SEAL_KEY, "mine", NULL), TENEBRA_OK);
    assert_int_equal(tn_writer_finish(writer, &error), TENEBRA_ERROR_ARGUMENT);
    tn_writer_close(writer);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_sound_file, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_every_byte, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_files_of_others, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_key_is_taken, set_up, tear_down),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
