#include "image/overlay.h"

#include "base/checked.h"

#include <stdio.h>
#include <string.h>

/* -------------------------------------------------------------- letters -- */

enum { GLYPH_ROWS = 8, LABEL_MAX = 72 };

/* A letter of at most 8 x 8 pixels, row by row; the highest of the `width` bits is the leftmost pixel. */
typedef struct glyph {
    char letter;
    unsigned char width, rows[GLYPH_ROWS];
} glyph;

/* Drawn for this file: digits 5 wide and 7 high; the part below the baseline is in row 8. */
static const glyph glyphs[] = {
    { '0', 5, { 0x0E, 0x11, 0x11, 0x11, 0x11, 0x11, 0x0E, 0x00 } },
    { '1', 5, { 0x04, 0x0C, 0x14, 0x04, 0x04, 0x04, 0x1F, 0x00 } },
    { '2', 5, { 0x0E, 0x11, 0x01, 0x02, 0x04, 0x08, 0x1F, 0x00 } },
    { '3', 5, { 0x1E, 0x01, 0x01, 0x0E, 0x01, 0x01, 0x1E, 0x00 } },
    { '4', 5, { 0x02, 0x06, 0x0A, 0x12, 0x1F, 0x02, 0x02, 0x00 } },
    { '5', 5, { 0x1F, 0x10, 0x1E, 0x01, 0x01, 0x11, 0x0E, 0x00 } },
    { '6', 5, { 0x06, 0x08, 0x10, 0x1E, 0x11, 0x11, 0x0E, 0x00 } },
    { '7', 5, { 0x1F, 0x01, 0x02, 0x04, 0x04, 0x08, 0x08, 0x00 } },
    { '8', 5, { 0x0E, 0x11, 0x11, 0x0E, 0x11, 0x11, 0x0E, 0x00 } },
    { '9', 5, { 0x0E, 0x11, 0x11, 0x0F, 0x01, 0x02, 0x0C, 0x00 } },
    { '(', 3, { 0x01, 0x02, 0x04, 0x04, 0x04, 0x04, 0x02, 0x01 } },
    { ')', 3, { 0x04, 0x02, 0x01, 0x01, 0x01, 0x01, 0x02, 0x04 } },
    { ',', 2, { 0x00, 0x00, 0x00, 0x00, 0x00, 0x01, 0x01, 0x02 } },
};

static const glyph *find_glyph(char letter)
{
    size_t i = 0;
    while (glyphs[i].letter != letter)
        i++;
    return &glyphs[i];
}

/* -------------------------------------------------------------- drawing -- */

/* Sets all channels of a pixel, if it is inside the image. */
static void put_pixel(tn_image *image, size_t x, size_t y, unsigned char value)
{
    if (x < image->width && y < image->height)
        memset(image->pixels + (y * image->width + x) * TN_IMAGE_CHANNELS, value, TN_IMAGE_CHANNELS);
}

static void put_square(tn_image *image, size_t x, size_t y, size_t side, unsigned char value)
{
    for (size_t row = 0; row < side; row++)
        for (size_t column = 0; column < side; column++)
            put_pixel(image, x + column, y + row, value);
}

/* `scale` pixels per dot of the letters, and as many between letters. */
static void put_label(tn_image *image, const char *label, size_t x, size_t y, size_t scale, unsigned char value)
{
    for (; *label != '\0'; label++) {
        const glyph *drawn = find_glyph(*label);
        for (size_t row = 0; row < GLYPH_ROWS; row++)
            for (size_t column = 0; column < drawn->width; column++)
                if (drawn->rows[row] >> (drawn->width - 1 - column) & 1)
                    put_square(image, x + column * scale, y + row * scale, scale, value);
        x += (drawn->width + 1u) * scale;
    }
}

/* Nearly all pixels within radius + 1/2 of the centre: dx^2 + dy^2 <= r^2 + r. */
static void put_disc(tn_image *image, size_t x, size_t y, size_t radius, unsigned char value)
{
    for (size_t row = 0; row <= 2 * radius; row++)
        for (size_t column = 0; column <= 2 * radius; column++) {
            size_t dx = column > radius ? column - radius : radius - column,
                   dy = row > radius ? row - radius : radius - row;
            if (dx * dx + dy * dy <= radius * radius + radius && x + column >= radius && y + row >= radius)
                put_pixel(image, x + column - radius, y + row - radius, value);
        }
}

/* -------------------------------------------------------------- overlay -- */

typedef struct dot {
    size_t x, y;
    unsigned char value;
} dot;

static dot place_dot(const tn_image *image, size_t rows, size_t columns, size_t row, size_t column)
{
    dot placed = { .x = column * image->width / (columns + 1), .y = row * image->height / (rows + 1) };
    const unsigned char *pixel = image->pixels + (placed.y * image->width + placed.x) * TN_IMAGE_CHANNELS;
    placed.value = 2 * (pixel[0] + pixel[1] + pixel[2]) >= 3 * 255 ? 0 : 255;
    return placed;
}

static void draw(const tn_image *image, size_t rows, size_t columns, size_t sequence, tn_image *out)
{
    size_t radius = tn_max(1, image->width / 240), scale = tn_max(1, image->width / 40 / GLYPH_ROWS);
    for (size_t i = 0; i < rows * columns; i++) {
        char label[LABEL_MAX];
        size_t row = i / columns + 1, column = i % columns + 1;
        dot placed = place_dot(image, rows, columns, row, column);
        if (sequence > 0)
            snprintf(label, sizeof label, "(%zu,%zu,%zu)", sequence, row, column);
        else
            snprintf(label, sizeof label, "(%zu,%zu)", row, column);
        put_label(out, label, placed.x + 3, placed.y, scale, placed.value);
    }
    for (size_t i = 0; i < rows * columns; i++) {
        dot placed = place_dot(image, rows, columns, i / columns + 1, i % columns + 1);
        put_disc(out, placed.x, placed.y, radius, placed.value);
    }
}

tenebra_code tn_overlay_dots(const tn_image *image, size_t rows, size_t columns, size_t sequence, tn_image *out,
                             tenebra_error *error)
{
    *out = (tn_image){ 0 };
    TN_TRY(tn_image_check(image, error));
    if (rows < 1 || rows > TN_DOTS_MAX || columns < 1 || columns > TN_DOTS_MAX || sequence > TN_DOTS_MAX)
        return tn_fail(error, TENEBRA_ERROR_ARGUMENT, "overlay",
                       "%zu x %zu dots on image %zu: each must be from 1 to %d", rows, columns, sequence,
                       TN_DOTS_MAX);
    TN_TRY(tn_image_new(out, image->width, image->height, TN_IMAGE_CHANNELS, error));
    memcpy(out->pixels, image->pixels, image->width * image->height * TN_IMAGE_CHANNELS);
    draw(image, rows, columns, sequence, out);
    return TENEBRA_OK;
}
