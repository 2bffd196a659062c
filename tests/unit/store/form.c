/* Forms of packed weights: their text, what files may say about tensors, and every false statement is refused. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "store/writer.h"
#include "unit/store/files.h"

static void test_text(void **state)
{
    (void)state;
    static const char *const good[] = { "Q4_0 panels 18944 3584", "Q8_0 rows 1 32", "IQ4_NL panels 7 64",
                                        "BF16 panels 1280 3 2 14 14", "BF16 panels 1 1", "Q8_0 rows 2 1 1 1 1 1 1 32",
                                        "Q8_256 rows 3 512", "Q4_256 panels 18944 3584" };
    for (size_t i = 0; i < sizeof good / sizeof *good; i++) {
        tn_form form;
        char text[TN_FORM_TEXT];
        assert_true(tn_form_parse(good[i], &form));
        assert_true(tn_form_is_packed(&form));
        tn_form_print(&form, text);
        assert_string_equal(text, good[i]);
    }
    tn_form form;
    assert_true(tn_form_parse("BF16 panels 1280 3 2 14 14", &form));
    const tn_matrix matrix = tn_form_matrix(&form, NULL);
    assert_int_equal(matrix.rows, 1280);
    assert_int_equal(matrix.cols, 1176);
    size_t bytes[2];
    tn_form_bytes(&form, bytes);
    assert_int_equal(bytes[0], 80);
    assert_int_equal(bytes[1], 19 * 2048); /* 1176 inputs are 18.4 units of 64 */
    assert_int_equal(bytes[0] * bytes[1], tn_matrix_bytes(&matrix));
    assert_true(tn_form_parse("Q4_256 panels 17 512", &form));
    tn_form_bytes(&form, bytes);
    assert_int_equal(bytes[0], 2);
    assert_int_equal(bytes[1], 2 * 34 * 64);
}

static void test_no_text(void **state)
{
    (void)state;
    static const char *const bad[] = {
        "", " ", "Q8_0", "Q8_0 rows", "Q8_0 rows ", "Q8_0 rows 32", "Q9_0 rows 1 32", "q8_0 rows 1 32", "Q8_0 row 1 32",
        "Q8_0 panelsx 1 32", "Q8_0  rows 1 32", " Q8_0 rows 1 32", "Q8_0 rows 1 32 ", "Q8_0 rows 1  32", "Q8_0 rows 0 32",
        "Q8_0 rows 1 0", "Q8_0 rows 01 32", "Q8_0 rows +1 32", "Q8_0 rows -1 32", "Q8_0 rows 1.0 32", "Q8_0 rows 0x1 32",
        "Q8_0 rows 1 33", "Q8_0 panels 16 48", "Q4_256 rows 1 128", "Q8_256 panels 16 320",
        "Q8_0 rows 1 32\n", "Q8_0 rows 1 1 1 1 1 1 1 1 32",
        "F32 rows 1 32", "BF16 rows 1 32", "F16 panels 16 64", "F32 panels 16 64", "F64 panels 16 64",
        "Q8_0 rows 18446744073709551616 32", "Q8_0 rows 18446744073709551615 32", "Q8_0 panels 4294967296 4294967296",
        "Q4_256 panels 18446744073709551600 256",
        "BF16 panels 18446744073709551615 1", "BF16 panels 1 18446744073709551615",
        "Q8_0 rows 111111111111111111111111111111111111111111111111111111111111 32",
    };
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        tn_form form;
        if (tn_form_parse(bad[i], &form))
            print_error("taken: \"%s\"\n", bad[i]);
        assert_false(tn_form_parse(bad[i], &form));
    }
}

#define FILE_OF(key, text, type, shape, bytes)                                                           \
    "{\"__metadata__\":{\"" key "\":\"" text "\"},\"w\":{\"dtype\":\"" type "\",\"shape\":" shape         \
    ",\"data_offsets\":[0," bytes "]}}"

static void test_file(void **state)
{
    (void)state;
    size_t size;
    unsigned char *bytes = make_file(FILE_OF("tenebra.weight.w", "Q4_0 panels 5 64", "U8", "[1,576]", "576"), 576, &size);
    tn_contents file;
    tenebra_error error = { 0 };
    assert_int_equal(tn_contents_open(&file, bytes, size, "x.safetensors", &error), TENEBRA_OK);
    const tn_stored *w = &file.tensors[0];
    assert_int_equal(w->type, TN_STORE_U8);
    assert_int_equal(w->elements, 576);
    assert_true(w->form.is_weight);
    assert_int_equal(w->form.type, TN_Q4_0);
    assert_int_equal(w->form.order, TN_PANELS);
    assert_int_equal(w->form.elements, 320);
    assert_int_equal(w->form.shape[0], 5);
    tn_contents_close(&file);
    free(bytes);
    /* the same bytes without the text are not weights; a plain tensor needs no text */
    bytes = make_file(FILE_OF("other", "Q4_0 panels 5 64", "U8", "[1,576]", "576"), 576, &size);
    assert_int_equal(tn_contents_open(&file, bytes, size, "x.safetensors", &error), TENEBRA_OK);
    assert_false(file.tensors[0].form.is_weight);
    tn_contents_close(&file);
    free(bytes);
    bytes = make_file(FILE_OF("other", "", "BF16", "[2,3]", "12"), 12, &size);
    assert_int_equal(tn_contents_open(&file, bytes, size, "x.safetensors", &error), TENEBRA_OK);
    assert_true(file.tensors[0].form.is_weight && file.tensors[0].form.type == TN_BF16);
    assert_int_equal(file.tensors[0].form.order, TN_ROWS);
    assert_int_equal(file.tensors[0].form.shape[1], 3);
    tn_contents_close(&file);
    free(bytes);
}

static void test_lies(void **state)
{
    (void)state;
    static const struct {
        const char *header;
        size_t bytes;
        const char *words;
    } lies[] = {
        { FILE_OF("tenebra.weight.w", "Q4_0 panels 5 65", "U8", "[1,576]", "576"), 576, "describes no packed weights" },
        { FILE_OF("tenebra.weight.w", "", "U8", "[1,576]", "576"), 576, "describes no packed weights" },
        { FILE_OF("tenebra.weight.w", "Q4_0 panels 17 64", "U8", "[1,576]", "576"), 576, "takes U8 [2, 576]" },
        { FILE_OF("tenebra.weight.w", "Q8_0 panels 5 64", "U8", "[1,576]", "576"), 576, "takes U8 [1, 1088]" },
        { FILE_OF("tenebra.weight.w", "Q4_0 rows 5 64", "U8", "[1,576]", "576"), 576, "takes U8 [5, 36]" },
        { FILE_OF("tenebra.weight.w", "Q4_0 panels 5 64", "U8", "[576]", "576"), 576, "takes U8 [1, 576]" },
        { FILE_OF("tenebra.weight.w", "Q4_0 panels 5 64", "U8", "[576,1]", "576"), 576, "takes U8 [1, 576]" },
        { FILE_OF("tenebra.weight.w", "Q4_0 panels 5 64", "I8", "[1,576]", "576"), 576, "takes U8" },
        { FILE_OF("tenebra.weight.w", "Q4_0 panels 5 64", "F16", "[1,576]", "1152"), 1152, "takes U8" },
        { FILE_OF("tenebra.weight.v", "Q4_0 panels 5 64", "U8", "[1,576]", "576"), 576, "\"v\", which it does not hold" },
        { FILE_OF("tenebra.weight.", "Q4_0 panels 5 64", "U8", "[1,576]", "576"), 576, "which it does not hold" },
        { FILE_OF("tenebra.weight.__metadata__", "Q4_0 panels 5 64", "U8", "[1,576]", "576"), 576, "which it does not hold" },
        { FILE_OF("tenebra.weight.w", "Q8_0 rows 9007199254740992 1024", "U8", "[1,576]", "576"), 576, "" },
    };
    for (size_t i = 0; i < sizeof lies / sizeof *lies; i++) {
        size_t size;
        unsigned char *bytes = make_file(lies[i].header, lies[i].bytes, &size);
        tn_contents file;
        tenebra_error error = { 0 };
        assert_int_equal(tn_contents_open(&file, bytes, size, "x.safetensors", &error), TENEBRA_ERROR_FORMAT);
        assert_error(&error, TENEBRA_ERROR_FORMAT, "x.safetensors", lies[i].words);
        assert_null(file.tensors);
        free(bytes);
    }
}

/* What the writer declares is what the reader sees, at multiples of 64 bytes. */
static void test_written(void **state)
{
    (void)state;
    char *directory = make_directory(), path[1024];
    snprintf(path, sizeof path, "%s/x.safetensors", directory);
    static const char *const texts[] = { "IQ4_NL panels 20 96", "BF16 panels 16 3 1", "Q8_0 rows 3 32" };
    unsigned char data[4096];
    tn_writer *writer;
    assert_int_equal(tn_writer_open(path, &writer, NULL), TENEBRA_OK);
    for (size_t i = 0; i < sizeof data; i++)
        data[i] = (unsigned char)(i * 7);
    for (size_t i = 0; i < 3; i++) {
        tn_form form;
        assert_true(tn_form_parse(texts[i], &form));
        assert_int_equal(tn_writer_declare_weight(writer, texts[i] + 7, &form, NULL), TENEBRA_OK);
    }
    const tn_form plain = { .is_weight = true, .type = TN_F32, .rank = 1, .shape = { 3 }, .elements = 3 };
    assert_int_equal(tn_writer_declare_weight(writer, "plain", &plain, NULL), TENEBRA_OK);
    while (tn_writer_missing(writer) > 0)
        assert_int_equal(tn_writer_write(writer, data, tn_writer_missing(writer) < 4096 ? tn_writer_missing(writer) : 4096, NULL),
                         TENEBRA_OK);
    assert_int_equal(tn_writer_finish(writer, NULL), TENEBRA_OK);
    tn_writer_close(writer);
    FILE *stream = fopen(path, "rb");
    static unsigned char bytes[1 << 16];
    size_t size = fread(bytes, 1, sizeof bytes, stream);
    fclose(stream);
    tn_contents file;
    assert_int_equal(tn_contents_open(&file, bytes, size, "x.safetensors", NULL), TENEBRA_OK);
    assert_int_equal(file.count, 4);
    for (size_t i = 0; i < 4; i++) {
        const tn_stored *tensor = &file.tensors[i];
        char text[TN_FORM_TEXT];
        if (i < 3) {
            tn_form_print(&tensor->form, text);
            assert_string_equal(text, texts[i]);
            assert_int_equal(((const unsigned char *)tensor->data - bytes) % 64, 0);
        }
        assert_int_equal(tensor->form.is_weight, 1);
    }
    assert_int_equal(file.tensors[3].type, TN_STORE_F32);
    tn_contents_close(&file);
    remove_directory(directory);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_text), cmocka_unit_test(test_no_text), cmocka_unit_test(test_file),
        cmocka_unit_test(test_lies), cmocka_unit_test(test_written),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
