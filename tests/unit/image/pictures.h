/* The image files of tests/data/image and their table. Include after cmocka.h. */
#ifndef TN_TESTS_IMAGE_PICTURES_H
#define TN_TESTS_IMAGE_PICTURES_H

#include "image/decode.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* CRC-32 as in zlib and PNG (polynomial 0xEDB88320). */
static inline uint32_t crc32_of(const unsigned char *bytes, size_t length)
{
    uint32_t crc = 0xFFFFFFFFu;
    for (size_t i = 0; i < length; i++) {
        crc ^= bytes[i];
        for (int bit = 0; bit < 8; bit++)
            crc = crc >> 1 ^ (crc & 1 ? 0xEDB88320u : 0);
    }
    return ~crc;
}

static inline uint32_t crc32_of_image(const tn_image *image)
{
    return crc32_of(image->pixels, image->width * image->height * image->channels);
}

/* Contents of tests/data/image/<name>, for free(); the allocation ends with the file. */
static inline unsigned char *picture_bytes(const char *name, size_t *size)
{
    char path[1024];
    snprintf(path, sizeof path, "%s/image/%s", TENEBRA_TEST_DATA, name);
    FILE *file = fopen(path, "rb");
    assert_non_null(file);
    assert_int_equal(fseek(file, 0, SEEK_END), 0);
    long end = ftell(file);
    assert_true(end > 0);
    rewind(file);
    unsigned char *bytes = malloc((size_t)end);
    assert_non_null(bytes);
    *size = (size_t)end;
    assert_int_equal(fread(bytes, 1, *size, file), *size);
    fclose(file);
    return bytes;
}

/* A row of pictures.csv: what Pillow reads, as stored and rotated by the EXIF orientation. */
typedef struct picture_row {
    char name[64];
    size_t width, height, upright_width, upright_height;
    unsigned crc, upright_crc;
} picture_row;

/* Calls `visit` for each row; returns how many there were. */
static inline size_t for_each_picture(void (*visit)(const picture_row *row))
{
    FILE *file = fopen(TENEBRA_TEST_DATA "/image/pictures.csv", "r");
    assert_non_null(file);
    size_t count = 0;
    char line[256];
    for (; fgets(line, sizeof line, file) != NULL; count++) {
        picture_row row;
        assert_int_equal(sscanf(line, "%63[^,],%zu,%zu,%x,%zu,%zu,%x", row.name, &row.width, &row.height, &row.crc,
                                &row.upright_width, &row.upright_height, &row.upright_crc), 7);
        visit(&row);
    }
    fclose(file);
    return count;
}

#endif
