/* The safetensors reader: sound files, each rule broken once, and files cut or damaged anywhere. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "store/format.h"
#include "store/writer.h"
#include "unit/store/files.h"

/* Parses a copy that ends where the allocation ends, so that ASan sees any byte read too far. */
static tenebra_code parse_copy(tn_contents *file, const unsigned char *bytes, size_t size,
                               unsigned char **copy, tenebra_error *error)
{
    *copy = malloc(size ? size : 1);
    assert_non_null(*copy);
    if (size > 0)
        memcpy(*copy, bytes, size);
    return tn_contents_open(file, *copy, size, "x.safetensors", error);
}

static const char good_header[] =
    "{\"__metadata__\":{\"format\":\"pt\",\"maker\":\"hand\"},"
    "\"b\":{\"dtype\":\"I64\",\"shape\":[],\"data_offsets\":[24,32]},"
    "\"a\":{\"dtype\":\"F32\",\"shape\":[2,3],\"data_offsets\":[0,24]},"
    "\"none\":{\"dtype\":\"F16\",\"shape\":[4,0],\"data_offsets\":[24,24]},"
    "\"c\":{\"dtype\":\"U8\",\"shape\":[1,1,1,1,1,1,1,3],\"data_offsets\":[32,35]}}   ";
enum { GOOD_DATA = 35 };

static void test_sound_file(void **state)
{
    (void)state;
    size_t size;
    unsigned char *bytes = make_file(good_header, GOOD_DATA, &size);
    tn_contents file;
    assert_int_equal(tn_contents_open(&file, bytes, size, "x.safetensors", NULL), TENEBRA_OK);
    assert_int_equal(file.count, 4);
    const unsigned char *data = bytes + size - GOOD_DATA;

    const tn_stored *a = &file.tensors[0], *none = &file.tensors[1], *b = &file.tensors[2],
                    *c = &file.tensors[3]; /* in the order of their data */
    assert_string_equal(a->name, "a");
    assert_int_equal(a->type, TN_STORE_F32);
    assert_int_equal(a->rank, 2);
    assert_int_equal(a->shape[0], 2);
    assert_int_equal(a->shape[1], 3);
    assert_int_equal(a->elements, 6);
    assert_int_equal(a->bytes, 24);
    assert_ptr_equal(a->data, data);
    assert_string_equal(none->name, "none");
    assert_int_equal(none->elements, 0);
    assert_int_equal(none->bytes, 0);
    assert_non_null(none->data);
    assert_string_equal(b->name, "b");
    assert_int_equal(b->rank, 0);
    assert_int_equal(b->elements, 1);
    assert_ptr_equal(b->data, data + 24);
    assert_int_equal(c->rank, 8);
    assert_int_equal(c->shape[7], 3);
    assert_ptr_equal(c->data, data + 32);

    assert_string_equal(tn_contents_metadata(&file, "format"), "pt");
    assert_null(tn_contents_metadata(&file, "absent"));
    tn_contents_close(&file);
    tn_contents_close(&file);
    free(bytes);
}

static void test_empty_object(void **state)
{
    (void)state;
    size_t size;
    unsigned char *bytes = make_file("{}", 0, &size);
    tn_contents file;
    assert_int_equal(tn_contents_open(&file, bytes, size, "x.safetensors", NULL), TENEBRA_OK);
    assert_int_equal(file.count, 0);
    assert_null(tn_contents_metadata(&file, "format"));
    tn_contents_close(&file);
    free(bytes);
}

/* One byte more in the header moves the data off its alignment; the file stays valid. */
static void test_alignment_is_noted(void **state)
{
    (void)state;
    char header[256] = "{\"w\":{\"dtype\":\"F32\",\"shape\":[1],\"data_offsets\":[0,4]}}";
    while (strlen(header) % 8 != 0)
        strcat(header, " ");
    for (size_t shift = 0; shift <= 8; shift++) {
        size_t size;
        unsigned char *bytes = make_file(header, 4, &size);
        tn_contents file;
        assert_int_equal(tn_contents_open(&file, bytes, size, "x.safetensors", NULL), TENEBRA_OK);
        assert_int_equal(tn_stored_is_aligned(&file.tensors[0]), shift % 4 == 0);
        tn_contents_close(&file);
        free(bytes);
        strcat(header, " ");
    }
}

static void test_types(void **state)
{
    (void)state;
    for (size_t i = 0; i < TN_STORE_TYPE_COUNT; i++) {
        const tn_store_type_traits *traits = tn_store_type_of((tn_store_type)i);
        tn_store_type found = TN_STORE_TYPE_COUNT;
        assert_true(tn_store_type_by_name(traits->name, &found));
        assert_int_equal(found, i);
        size_t shape[] = { 3, 8 }, elements, bytes;
        assert_true(tn_store_extent(found, 2, shape, &elements, &bytes));
        assert_int_equal(elements, 24);
        assert_int_equal(bytes, 3 * traits->bits);
        if (traits->is_weight)
            assert_int_equal(tn_store_type_of_weight(traits->weight), i);
    }
    tn_store_type none;
    assert_false(tn_store_type_by_name("f32", &none));
    assert_false(tn_store_type_by_name("", &none));
    assert_int_equal(tn_store_type_of(TN_STORE_BF16)->bits, 16);
    assert_int_equal(tn_store_type_of(TN_STORE_I64)->bits, 64);
    assert_int_equal(tn_store_type_of_weight(TN_F32), TN_STORE_F32);
}

static void test_extent_limits(void **state)
{
    (void)state;
    size_t elements, bytes;
    const size_t half = (size_t)1 << 32, odd = 3, wraps[] = { half, half, 4 };
    assert_true(tn_store_extent(TN_STORE_U8, 1, &half, &elements, &bytes));
    assert_false(tn_store_extent(TN_STORE_U8, 2, wraps, &elements, &bytes)); /* wraps to 0 */
    assert_false(tn_store_extent(TN_STORE_U8, 3, wraps, &elements, &bytes));
    const size_t hidden[] = { 0, half, half };
    assert_false(tn_store_extent(TN_STORE_U8, 3, hidden, &elements, &bytes));
    assert_false(tn_store_extent(TN_STORE_F4, 1, &odd, &elements, &bytes)); /* 12 bits */
    const size_t four = 4;
    assert_true(tn_store_extent(TN_STORE_F6_E2M3, 1, &four, &elements, &bytes));
    assert_int_equal(bytes, 3);
}

/* ------------------------------------------------- every rule, broken once -- */

#define TENSOR(name, type, shape, offsets) \
    "\"" name "\":{\"dtype\":\"" type "\",\"shape\":" shape ",\"data_offsets\":" offsets "}"

typedef struct bad_file {
    const char *header;
    size_t data_size;
    tenebra_code code;
    const char *words;
} bad_file;

#define F TENEBRA_ERROR_FORMAT
#define U TENEBRA_ERROR_UNSUPPORTED
static const bad_file bad_files[] = {
    /* the header */
    { "", 0, F, "does not start with '{'" },
    { " {}", 0, F, "does not start with '{'" },
    { "[]", 0, F, "does not start with '{'" },
    { "{", 0, F, "not valid JSON" },
    { "{} x", 0, F, "not valid JSON" },
    { "{\"a\xff\":1}", 0, F, "not valid JSON" },
    { "{\"a\\u0000b\":1}", 0, F, "not valid JSON" },
    { "{" TENSOR("a", "U8", "[1]", "[0,1]") "," TENSOR("a", "U8", "[1]", "[0,1]") "}", 1, F, "duplicate" },
    { "{\"a\":{\"dtype\":\"U8\",\"dtype\":\"U8\",\"shape\":[1],\"data_offsets\":[0,1]}}", 1, F, "duplicate" },
    /* metadata */
    { "{\"__metadata__\":[]}", 0, F, "must be an object" },
    { "{\"__metadata__\":null}", 0, F, "must be an object" },
    { "{\"__metadata__\":{\"a\":1}}", 0, F, "not a string" },
    { "{\"__metadata__\":{\"a\":\"b\\u0000c\"}}", 0, F, "not a string" },
    /* names and members */
    { "{" TENSOR("", "U8", "[1]", "[0,1]") "}", 1, F, "name is empty" },
    { "{" TENSOR("a\\u001b[2J", "U8", "[1]", "[0,1]") "}", 1, F, "control characters" },
    { "{" TENSOR("a\\u007f", "U8", "[1]", "[0,1]") "}", 1, F, "control characters" },
    { "{\"a\":3}", 0, F, "\"a\" is not described" },
    { "{\"a\":{}}", 0, F, "\"a\": \"dtype\"" },
    { "{\"a\":{\"dtype\":\"U8\",\"shape\":[1],\"data_offsets\":[0,1],\"stride\":[1]}}", 1, F, "\"a\" has members besides" },
    { "{\"a\":{\"shape\":[1],\"data_offsets\":[0,1]}}", 1, F, "\"dtype\" must be a string" },
    { "{\"a\":{\"dtype\":\"U8\",\"data_offsets\":[0,1]}}", 1, F, "\"shape\" must be an array" },
    { "{\"a\":{\"dtype\":\"U8\",\"shape\":[1]}}", 1, F, "\"data_offsets\" must be" },
    /* type */
    { "{\"a\":{\"dtype\":7,\"shape\":[1],\"data_offsets\":[0,1]}}", 1, F, "\"dtype\" must be a string" },
    { "{" TENSOR("a", "U9", "[1]", "[0,1]") "}", 1, U, "\"a\" has the unknown type \"U9\"" },
    { "{" TENSOR("a", "u8", "[1]", "[0,1]") "}", 1, U, "unknown type" },
    { "{" TENSOR("a", "", "[1]", "[0,1]") "}", 1, U, "unknown type" },
    { "{" TENSOR("a", "U8\\u0000", "[1]", "[0,1]") "}", 1, F, "\"dtype\" must be a string" },
    /* shape */
    { "{" TENSOR("a", "U8", "1", "[0,1]") "}", 1, F, "\"shape\" must be an array" },
    { "{" TENSOR("a", "U8", "[-1]", "[0,1]") "}", 1, F, "dimension 0" },
    { "{" TENSOR("a", "U8", "[1,1.0]", "[0,1]") "}", 1, F, "dimension 1" },
    { "{" TENSOR("a", "U8", "[\"1\"]", "[0,1]") "}", 1, F, "dimension 0" },
    { "{" TENSOR("a", "U8", "[null]", "[0,1]") "}", 1, F, "dimension 0" },
    { "{" TENSOR("a", "U8", "[99999999999999999999]", "[0,1]") "}", 1, F, "must be a whole number" },
    { "{" TENSOR("a", "U8", "[1,1,1,1,1,1,1,1,1]", "[0,1]") "}", 1, U, "9 dimensions" },
    { "{" TENSOR("a", "U8", "[4294967296,4294967296]", "[0,0]") "}", 0, F, "fit into memory" },
    { "{" TENSOR("a", "F32", "[4611686018427387904]", "[0,0]") "}", 0, F, "fit into memory" },
    { "{" TENSOR("a", "U8", "[0,4294967296,4294967296]", "[0,0]") "}", 0, F, "fit into memory" },
    { "{" TENSOR("a", "F4", "[3]", "[0,1]") "}", 1, F, "whole number of bytes" },
    /* offsets */
    { "{" TENSOR("a", "U8", "[1]", "1") "}", 1, F, "\"data_offsets\" must be" },
    { "{" TENSOR("a", "U8", "[1]", "[0]") "}", 1, F, "\"data_offsets\" must be" },
    { "{" TENSOR("a", "U8", "[1]", "[0,1,1]") "}", 1, F, "\"data_offsets\" must be" },
    { "{" TENSOR("a", "U8", "[1]", "[-1,0]") "}", 1, F, "\"data_offsets\" must be" },
    { "{" TENSOR("a", "U8", "[1]", "[0,1.0]") "}", 1, F, "\"data_offsets\" must be" },
    { "{" TENSOR("a", "U8", "[1]", "[true,1]") "}", 1, F, "\"data_offsets\" must be" },
    { "{" TENSOR("a", "U8", "[1]", "[1,0]") "}", 1, F, "\"a\" is at bytes 1 to 0" },
    { "{" TENSOR("a", "U8", "[2]", "[0,2]") "}", 1, F, "\"a\" is at bytes 0 to 2 of 1" },
    { "{" TENSOR("a", "U8", "[0]", "[9223372036854775807,9223372036854775807]") "}", 0, F, "is at bytes" },
    { "{" TENSOR("a", "F32", "[2]", "[0,4]") "}", 4, F, "\"a\" has 4 bytes, but its type and shape need 8" },
    { "{" TENSOR("a", "F32", "[0]", "[0,4]") "}", 4, F, "need 0" },
    /* cover */
    { "{" TENSOR("a", "U8", "[2]", "[0,2]") "," TENSOR("b", "U8", "[2]", "[1,3]") "}", 3, F, "\"b\" overlaps \"a\"" },
    { "{" TENSOR("b", "U8", "[2]", "[0,2]") "," TENSOR("a", "U8", "[2]", "[0,2]") "}", 2, F, "\"b\" overlaps \"a\"" },
    { "{" TENSOR("a", "U8", "[4]", "[0,4]") "," TENSOR("b", "U8", "[0]", "[2,2]") "}", 4, F, "\"b\" overlaps \"a\"" },
    { "{" TENSOR("a", "U8", "[1]", "[1,2]") "}", 2, F, "1 bytes before tensor \"a\"" },
    { "{" TENSOR("a", "U8", "[1]", "[0,1]") "," TENSOR("b", "U8", "[1]", "[3,4]") "}", 4, F, "2 bytes before tensor \"b\"" },
    { "{" TENSOR("a", "U8", "[1]", "[0,1]") "}", 3, F, "2 bytes after the last tensor" },
    { "{}", 1, F, "1 bytes after the last tensor" },
};
#undef F
#undef U

static void test_every_rule(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof bad_files / sizeof *bad_files; i++) {
        const bad_file *bad = &bad_files[i];
        size_t size;
        unsigned char *bytes = make_file(bad->header, bad->data_size, &size), *copy;
        tn_contents file;
        tenebra_error error = { 0 };
        tenebra_code code = parse_copy(&file, bytes, size, &copy, &error);
        if (code != bad->code)
            print_error("header %zu: %s\n", i, bad->header);
        assert_int_equal(code, bad->code);
        assert_error(&error, bad->code, "x.safetensors", bad->words);
        assert_null(file.tensors);
        assert_null(file.own);
        free(copy);
        free(bytes);
    }
}

static void test_name_length(void **state)
{
    (void)state;
    for (size_t length = TN_STORED_NAME_MAX; length <= TN_STORED_NAME_MAX + 1; length++) {
        char name[TN_STORED_NAME_MAX + 2] = { 0 }, header[TN_STORED_NAME_MAX + 100];
        memset(name, 'n', length);
        snprintf(header, sizeof header, "{\"%s\":{\"dtype\":\"U8\",\"shape\":[1],\"data_offsets\":[0,1]}}", name);
        size_t size;
        unsigned char *bytes = make_file(header, 1, &size);
        tn_contents file;
        tenebra_code code = tn_contents_open(&file, bytes, size, "x.safetensors", NULL);
        assert_int_equal(code, length <= TN_STORED_NAME_MAX ? TENEBRA_OK : TENEBRA_ERROR_FORMAT);
        tn_contents_close(&file);
        free(bytes);
    }
}

/* ------------------------------------------------------ length and damage -- */

static void test_header_length(void **state)
{
    (void)state;
    static const uint64_t lengths[] = { 3, 0x7fffffffffffffff, 0x8000000000000000, 0xfffffffffffffff7,
                                        0xfffffffffffffff8, 0xffffffffffffffff };
    for (size_t i = 0; i < sizeof lengths / sizeof *lengths; i++) {
        size_t size;
        unsigned char *bytes = make_file("{}", 0, &size);
        for (size_t k = 0; k < 8; k++)
            bytes[k] = (unsigned char)(lengths[i] >> (8 * k));
        tn_contents file;
        tenebra_error error;
        assert_int_equal(tn_contents_open(&file, bytes, size, "x.safetensors", &error), TENEBRA_ERROR_FORMAT);
        assert_error(&error, TENEBRA_ERROR_FORMAT, "x.safetensors", "claims a header");
        free(bytes);
    }
}

/* Only the length is looked at before the limit, so untouched zero pages will do. */
static void test_header_limit(void **state)
{
    (void)state;
    size_t size = 8 + (size_t)TN_WRITER_HEADER_MAX + 1;
    unsigned char *bytes = calloc(size, 1);
    assert_non_null(bytes);
    for (size_t k = 0; k < 8; k++)
        bytes[k] = (unsigned char)((uint64_t)(size - 8) >> (8 * k));
    tn_contents file;
    tenebra_error error;
    assert_int_equal(tn_contents_open(&file, bytes, size, "x.safetensors", &error), TENEBRA_ERROR_LIMIT);
    assert_error(&error, TENEBRA_ERROR_LIMIT, "x.safetensors", "100000001 bytes, more than 100000000");
    free(bytes);
}

static void test_cut_anywhere(void **state)
{
    (void)state;
    size_t size;
    unsigned char *bytes = make_file(good_header, GOOD_DATA, &size);
    for (size_t length = 0; length <= size; length++) {
        tn_contents file;
        tenebra_error error = { 0 };
        unsigned char *copy;
        tenebra_code code = parse_copy(&file, bytes, length, &copy, &error);
        assert_int_equal(code == TENEBRA_OK, length == size);
        assert_int_equal(error.code, code);
        tn_contents_close(&file);
        free(copy);
    }
    free(bytes);
}

/* Everything that is read from a damaged file lies inside the file and is consistent. */
static void check_consistent(const tn_contents *file, const unsigned char *bytes, size_t size)
{
    size_t total = 0;
    for (size_t i = 0; i < file->count; i++) {
        const tn_stored *tensor = &file->tensors[i];
        const unsigned char *data = tensor->data;
        size_t elements, length;
        assert_true(tn_store_extent(tensor->type, tensor->rank, tensor->shape, &elements, &length));
        assert_int_equal(elements, tensor->elements);
        assert_int_equal(length, tensor->bytes);
        assert_true(data >= bytes && data <= bytes + size);
        assert_true(tensor->bytes <= (size_t)(bytes + size - data));
        assert_true(tn_stored_name_is_valid(tensor->name));
        total += tensor->bytes;
    }
    assert_int_equal(total, data_bytes(bytes, size));
}

static void test_damaged_anywhere(void **state)
{
    (void)state;
    size_t size, refused = 0, accepted = 0;
    unsigned char *bytes = make_file(good_header, GOOD_DATA, &size);
    for (size_t i = 0; i < size - GOOD_DATA; i++) {
        for (unsigned flip = 1; flip < 256; flip++) {
            bytes[i] ^= (unsigned char)flip;
            tn_contents file;
            unsigned char *copy;
            if (parse_copy(&file, bytes, size, &copy, NULL) == TENEBRA_OK) {
                check_consistent(&file, copy, size);
                accepted++;
            } else {
                refused++;
            }
            tn_contents_close(&file);
            free(copy);
            bytes[i] ^= (unsigned char)flip;
        }
    }
    assert_true(accepted > 0); /* another letter in a name is still a name */
    assert_true(refused > 10 * accepted);
    free(bytes);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_sound_file),      cmocka_unit_test(test_empty_object),
        cmocka_unit_test(test_alignment_is_noted), cmocka_unit_test(test_types),
        cmocka_unit_test(test_extent_limits),   cmocka_unit_test(test_every_rule),
        cmocka_unit_test(test_name_length),     cmocka_unit_test(test_header_length),
        cmocka_unit_test(test_header_limit),    cmocka_unit_test(test_cut_anywhere),
        cmocka_unit_test(test_damaged_anywhere),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
