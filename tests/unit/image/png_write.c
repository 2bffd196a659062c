/* Images are written and read again. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include "base/file.h"
#include "base/rng.h"
#include "image/decode.h"
#include "image/png_write.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static char *fresh_path(void)
{
    const char *parent = getenv("TMPDIR");
    char path[512];
    snprintf(path, sizeof path, "%s/tenebra-png-XXXXXX", parent && parent[0] ? parent : "/tmp");
    int descriptor = mkstemp(path);
    assert_true(descriptor >= 0);
    close(descriptor);
    return strdup(path);
}

static void test_round_trip(void **state)
{
    (void)state;
    static const size_t sizes[][2] = { { 1, 1 }, { 7, 3 }, { 112, 112 }, { 1, 300 }, { 500, 2 } };
    char *path = fresh_path();
    for (size_t i = 0; i < 5; i++) {
        tn_image image, back;
        assert_int_equal(tn_image_new(&image, sizes[i][0], sizes[i][1], 3, NULL), TENEBRA_OK);
        size_t bytes = 3 * image.width * image.height;
        tn_rng rng = tn_rng_seed(i);
        for (size_t k = 0; k < bytes; k++)
            image.pixels[k] = (unsigned char)(tn_rng_next(&rng) >> 56);
        assert_int_equal(tn_png_write(&image, path, NULL), TENEBRA_OK);
        assert_int_equal(tn_image_read(&back, path, NULL, false, NULL), TENEBRA_OK);
        assert_int_equal(back.width, image.width);
        assert_int_equal(back.height, image.height);
        assert_memory_equal(back.pixels, image.pixels, bytes);
        back.pixels[bytes - 1] ^= 1; /* the comparison sees one bit */
        assert_true(memcmp(back.pixels, image.pixels, bytes) != 0);
        tn_image_free(&image);
        tn_image_free(&back);
    }
    unlink(path);
    free(path);
}

static void test_in_memory(void **state)
{
    (void)state;
    char *path = fresh_path();
    tn_image image, empty = { 0 };
    tn_file file;
    unsigned char *bytes;
    size_t length;
    assert_int_equal(tn_image_new(&image, 90, 41, 3, NULL), TENEBRA_OK);
    for (size_t i = 0; i < 3 * 90 * 41; i++)
        image.pixels[i] = (unsigned char)(i * i >> 3);
    assert_int_equal(tn_png_encode(&image, &bytes, &length, NULL), TENEBRA_OK);
    assert_int_equal(tn_png_write(&image, path, NULL), TENEBRA_OK);
    assert_int_equal(tn_file_read(&file, path, SIZE_MAX, NULL), TENEBRA_OK);
    assert_int_equal(length, file.size);
    assert_memory_equal(bytes, file.data, length);
    image.pixels[0] ^= 1;
    free(bytes);
    assert_int_equal(tn_png_encode(&image, &bytes, &length, NULL), TENEBRA_OK);
    assert_false(length == file.size && memcmp(bytes, file.data, length) == 0);
    free(bytes);
    tn_file_close(&file);
    assert_int_equal(tn_png_encode(&empty, &bytes, &length, NULL), TENEBRA_ERROR_ARGUMENT);
    assert_null(bytes);
    tn_image_free(&image);
    unlink(path);
    free(path);
}

static void test_mistakes(void **state)
{
    (void)state;
    tenebra_error error = { 0 };
    tn_image image, empty = { 0 };
    assert_int_equal(tn_image_new(&image, 64, 64, 3, NULL), TENEBRA_OK);
    memset(image.pixels, 7, 3 * 64 * 64);
    assert_int_equal(tn_png_write(&image, "/nowhere/at/all.png", &error), TENEBRA_ERROR_IO);
    assert_non_null(strstr(error.where, "/nowhere/at/all.png"));
    assert_int_equal(tn_png_write(&empty, "/nowhere/at/all.png", &error), TENEBRA_ERROR_ARGUMENT);
    if (access("/dev/full", W_OK) == 0) { /* a full disk; the link, not the device, is removed */
        char *path = fresh_path();
        unlink(path);
        assert_int_equal(symlink("/dev/full", path), 0);
        assert_int_equal(tn_png_write(&image, path, &error), TENEBRA_ERROR_IO);
        assert_int_not_equal(access(path, F_OK), 0);
        free(path);
    }
    tn_image_free(&image);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_round_trip),
        cmocka_unit_test(test_in_memory),
        cmocka_unit_test(test_mistakes),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
