/* The EXIF reader on hand-made structures, cut at every byte. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "image/exif.h"
#include "image/orientation.h"

#include <stdlib.h>
#include <string.h>

/* Little-endian: one entry before the orientation 6, type SHORT. */
static const unsigned char little[] = "II*\0\10\0\0\0" "\2\0"
                                      "\x0F\1\2\0\4\0\0\0abc\0" "\x12\1\3\0\1\0\0\0\6\0\0\0" "\0\0\0\0";
/* Big-endian: orientation 8 as a LONG. */
static const unsigned char big[] = "MM\0*\0\0\0\12xx" "\0\1" "\1\x12\0\4\0\0\0\1\0\0\0\10" "\0\0\0\0";

enum { VALUE_OF_LITTLE = 8 + 2 + 12 + 8, TYPE_OF_LITTLE = 8 + 2 + 12 + 2 };

/* Reads a copy that ends where the allocation ends; 0: there is no tag. */
static unsigned orientation_of(const unsigned char *bytes, size_t size)
{
    unsigned char *copy = malloc(size ? size : 1);
    unsigned orientation = 99;
    assert_non_null(copy);
    memcpy(copy, bytes, size);
    bool found = tn_exif_orientation(copy, size, &orientation);
    free(copy);
    assert_true(found ? orientation - 1 < 8 : orientation == 99);
    return found ? orientation : 0;
}

/* The same of a whole file. */
static unsigned orientation_of_file(const unsigned char *bytes, size_t size)
{
    unsigned char *copy = malloc(size ? size : 1);
    unsigned orientation;
    assert_non_null(copy);
    memcpy(copy, bytes, size);
    assert_int_equal(tn_orientation_of(copy, size, &orientation, NULL), TENEBRA_OK);
    free(copy);
    return orientation;
}

static void test_both_byte_orders(void **state)
{
    (void)state;
    assert_int_equal(orientation_of(little, sizeof little - 1), 6);
    assert_int_equal(orientation_of(big, sizeof big - 1), 8);
    unsigned char prefixed[6 + sizeof little] = "Exif\0";
    memcpy(prefixed + 6, little, sizeof little - 1);
    assert_int_equal(orientation_of(prefixed, 6 + sizeof little - 1), 6);
}

static void test_values(void **state)
{
    (void)state;
    unsigned char tiff[sizeof little];
    memcpy(tiff, little, sizeof little);
    for (unsigned value = 0; value < 256; value++) {
        tiff[VALUE_OF_LITTLE] = (unsigned char)value;
        unsigned expected = value >= 1 && value <= 8 ? value : 1;
        assert_int_equal(orientation_of(tiff, sizeof tiff - 1), expected);
    }
    memcpy(tiff, little, sizeof little);
    tiff[TYPE_OF_LITTLE] = 2; /* ASCII */
    assert_int_equal(orientation_of(tiff, sizeof tiff - 1), 1);
    memcpy(tiff, little, sizeof little);
    tiff[TYPE_OF_LITTLE + 2] = 2; /* two values, of which the first counts */
    assert_int_equal(orientation_of(tiff, sizeof tiff - 1), 6);
    tiff[TYPE_OF_LITTLE + 2] = 0;
    assert_int_equal(orientation_of(tiff, sizeof tiff - 1), 0);
}

static void test_cut_and_bent(void **state)
{
    (void)state;
    const size_t end_of_value = VALUE_OF_LITTLE + 4;
    for (size_t size = 0; size < sizeof little; size++)
        assert_int_equal(orientation_of(little, size), size >= end_of_value ? 6 : 0);
    unsigned char tiff[sizeof little];
    for (unsigned offset = 0; offset < 64; offset++) { /* the directory at any place, inside and after the bytes */
        memcpy(tiff, little, sizeof little);
        tiff[4] = (unsigned char)offset;
        unsigned orientation = orientation_of(tiff, sizeof tiff - 1);
        assert_int_equal(orientation, offset == 8 || offset == 20 ? 6 : 0); /* the entry is at byte 22 */
    }
    memcpy(tiff, little, sizeof little);
    memset(tiff + 4, 0xFF, 4);
    assert_int_equal(orientation_of(tiff, sizeof tiff - 1), 0);
    memcpy(tiff, little, sizeof little);
    memset(tiff + 8, 0xFF, 2); /* 65535 entries: what is there is read */
    assert_int_equal(orientation_of(tiff, sizeof tiff - 1), 6);
}

/* Appends `size` bytes; returns the new length. */
static size_t append(unsigned char *to, size_t at, const void *bytes, size_t size)
{
    memcpy(to + at, bytes, size);
    return at + size;
}

static size_t make_jpeg(unsigned char *file)
{
    const size_t tiff = sizeof little - 1;
    const unsigned char app1[4] = { 0xFF, 0xE1, 0, (unsigned char)(2 + 6 + tiff) };
    size_t at = append(file, 0, "\xFF\xD8\xFF\xE0\0\4ab\xFF\xFF\xE1\0\10xmp...", 19);
    at = append(file, at, app1, 4);
    at = append(file, at, "Exif\0\0", 6);
    at = append(file, at, little, tiff);
    return append(file, at, "\xFF\xDA", 2);
}

static size_t make_png(unsigned char *file)
{
    const size_t tiff = sizeof big - 1;
    const unsigned char length[4] = { 0, 0, 0, (unsigned char)tiff };
    size_t at = append(file, 0, "\x89PNG\r\n\x1A\n\0\0\0\2tEXtabCRC4", 22);
    at = append(file, at, length, 4);
    at = append(file, at, "eXIf", 4);
    at = append(file, at, big, tiff);
    return append(file, at, "CRC4\0\0\0\0IENDCRC4", 16);
}

static size_t make_webp(unsigned char *file)
{
    const size_t tiff = sizeof little - 1;
    const unsigned char length[4] = { (unsigned char)tiff, 0, 0, 0 };
    size_t at = append(file, 0, "RIFF\0\0\0\0WEBPVP8X\3\0\0\0abc\0EXIF", 28);
    at = append(file, at, length, 4);
    return append(file, at, little, tiff);
}

static void test_containers(void **state)
{
    (void)state;
    static const struct {
        size_t (*make)(unsigned char *file);
        unsigned expected;
        size_t tail; /* bytes at the end that may be missing */
    } kinds[] = {
        { make_jpeg, 6, 2 },
        { make_png, 8, 12 },
        { make_webp, 6, 0 },
    };
    for (size_t i = 0; i < 3; i++) {
        unsigned char file[256];
        size_t size = kinds[i].make(file);
        for (size_t cut = 0; cut <= size; cut++)
            assert_int_equal(orientation_of_file(file, cut),
                             cut >= size - kinds[i].tail ? kinds[i].expected : 1);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_both_byte_orders),
        cmocka_unit_test(test_values),
        cmocka_unit_test(test_cut_and_bent),
        cmocka_unit_test(test_containers),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
