/* Images of a page: each once, unchanged if possible, rotated and reduced if necessary. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "base/file.h"
#include "image/decode.h"
#include "image/png_write.h"
#include "report/picture.h"
#include "unit/store/files.h"

#include <stdlib.h>
#include <string.h>

#define UPRIGHT TENEBRA_TEST_DATA "/image/rgb8.png"
#define PHOTO TENEBRA_TEST_DATA "/image/444.jpg"

static tenebra_part file(const char *path) { return (tenebra_part){ .kind = TENEBRA_PART_IMAGE_FILE, .text = path }; }

static size_t add(tn_album *album, const char *path)
{
    tenebra_error error = { 0 };
    size_t index;
    const tenebra_part picture = file(path);
    if (tn_album_add(album, &picture, false, &index, &error) != TENEBRA_OK)
        fail_msg("%s: %s", error.where, error.sentence);
    return index;
}

/* The bytes of "data:KIND;base64,...", in fresh memory. */
static unsigned char *decode_uri(const tn_text *uri, const char *kind, size_t *length)
{
    static const char digits[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    const char *comma = strchr(uri->data, ',');
    assert_non_null(comma);
    assert_int_equal(strncmp(uri->data, kind, strlen(kind)), 0);
    unsigned char *bytes = malloc(uri->length);
    unsigned word = 0, bits = 0;
    assert_non_null(bytes);
    *length = 0;
    for (const char *at = comma + 1; *at != '\0' && *at != '='; at++) {
        const char *digit = strchr(digits, *at);
        assert_non_null(digit);
        word = word << 6 | (unsigned)(digit - digits);
        bits += 6;
        if (bits >= 8)
            bytes[(*length)++] = (unsigned char)(word >> (bits -= 8));
    }
    return bytes;
}

static void test_each_once(void **state)
{
    (void)state;
    tn_album album = { 0 };
    assert_int_equal(add(&album, UPRIGHT), 0);
    assert_int_equal(add(&album, PHOTO), 1);
    size_t bytes = album.bytes;
    assert_int_equal(add(&album, UPRIGHT), 0);
    assert_int_equal(album.count, 2);
    assert_int_equal(album.bytes, bytes);
    assert_int_equal(album.items[0].uri.length + album.items[1].uri.length, bytes);
    tn_album_cut(&album, 1);
    assert_int_equal(album.bytes, album.items[0].uri.length);
    assert_int_equal(add(&album, PHOTO), 1); /* removed, so it is added again */
    assert_int_equal(album.bytes, bytes);
    tn_album_free(&album);
}

static void test_bytes_are_kept(void **state)
{
    (void)state;
    static const char *const files[][2] = { { UPRIGHT, "data:image/png;" }, { PHOTO, "data:image/jpeg;" } };
    for (size_t i = 0; i < 2; i++) {
        tn_album album = { 0 };
        tn_file file;
        size_t length;
        add(&album, files[i][0]);
        assert_int_equal(tn_file_read(&file, files[i][0], SIZE_MAX, NULL), TENEBRA_OK);
        unsigned char *bytes = decode_uri(&album.items[0].uri, files[i][1], &length);
        assert_int_equal(length, file.size);
        assert_memory_equal(bytes, file.data, length);
        free(bytes);
        tn_file_close(&file);
        tn_album_free(&album);
    }
}

/* A browser rotates an image by its EXIF orientation, but the model may have read it without rotation. So such files are
 * included as pixels. */
static void test_orientation(void **state)
{
    (void)state;
    tn_album album = { 0 };
    tn_image image;
    assert_int_equal(tn_image_read(&image, TENEBRA_TEST_DATA "/image/exif6.jpg", NULL, false, NULL), TENEBRA_OK);
    assert_int_not_equal(image.width, image.height);
    const tenebra_part picture = file(TENEBRA_TEST_DATA "/image/exif6.jpg");
    for (int turned = 0; turned < 2; turned++) {
        size_t index, length;
        tn_image back;
        assert_int_equal(tn_album_add(&album, &picture, turned, &index, NULL), TENEBRA_OK);
        assert_int_equal(index, turned);
        assert_int_equal(album.items[index].width, turned ? image.height : image.width);
        unsigned char *bytes = decode_uri(&album.items[index].uri, "data:image/png;", &length);
        assert_int_equal(tn_image_decode(&back, bytes, length, NULL, true, NULL, NULL), TENEBRA_OK);
        assert_int_equal(back.width, album.items[index].width);
        if (!turned)
            assert_memory_equal(back.pixels, image.pixels, image.width * image.height * 3);
        tn_image_free(&back);
        free(bytes);
    }
    tn_image_free(&image);
    tn_album_free(&album);
}

static void test_large_ones_shrink(void **state)
{
    (void)state;
    char *directory = make_directory(), path[1024];
    tn_image image, back;
    snprintf(path, sizeof path, "%s/large.png", directory);
    assert_int_equal(tn_image_new(&image, 3000, 1500, 3, NULL), TENEBRA_OK);
    for (size_t i = 0; i < 3000 * 1500 * 3; i++)
        image.pixels[i] = (unsigned char)(i * 2654435761u >> 13);
    assert_int_equal(tn_png_write(&image, path, NULL), TENEBRA_OK);
    tn_image_free(&image);
    tn_album album = { 0 };
    size_t length;
    add(&album, path);
    assert_int_equal(album.items[0].width, 3000); /* picks are in pixels of the original image */
    unsigned char *bytes = decode_uri(&album.items[0].uri, "data:image/png;", &length);
    assert_int_equal(tn_image_decode(&back, bytes, length, NULL, false, NULL, NULL), TENEBRA_OK);
    assert_int_equal(back.width, 768);
    assert_int_equal(back.height, 384);
    tn_image_free(&back);
    free(bytes);
    tn_album_free(&album);
    remove_directory(directory);
}

static void test_broken_files(void **state)
{
    (void)state;
    char *directory = make_directory(), path[1024];
    tenebra_error error;
    size_t index;
    tn_album album = { 0 };
    add(&album, UPRIGHT);
    snprintf(path, sizeof path, "%s/text.png", directory);
    FILE *out = fopen(path, "wb");
    assert_non_null(out);
    fputs("\x89PNG\r\n\x1A\n<script>", out);
    fclose(out);
    const tenebra_part broken = file(path), missing = file("/nowhere/at/all.png");
    assert_int_equal(tn_album_add(&album, &broken, false, &index, &error), TENEBRA_ERROR_FORMAT);
    assert_int_equal(tn_album_add(&album, &missing, false, &index, &error), TENEBRA_ERROR_IO);
    assert_int_equal(album.count, 1);
    assert_int_equal(json_object_size(album.places), 1);
    tn_album_free(&album);
    remove_directory(directory);
}

static void test_written_as_json(void **state)
{
    (void)state;
    tn_album album = { 0 };
    tn_markup out = { 0 };
    add(&album, UPRIGHT);
    add(&album, PHOTO);
    tn_album_write(&album, &out);
    json_t *list = json_loads(out.text.data, 0, NULL);
    assert_int_equal(json_array_size(list), 2);
    assert_int_equal(json_integer_value(json_array_get(json_array_get(list, 1), 0)), album.items[1].width);
    json_decref(list);
    tn_markup_free(&out);
    tn_album_free(&album);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_each_once),         cmocka_unit_test(test_bytes_are_kept), cmocka_unit_test(test_orientation),
        cmocka_unit_test(test_large_ones_shrink), cmocka_unit_test(test_broken_files),   cmocka_unit_test(test_written_as_json),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
