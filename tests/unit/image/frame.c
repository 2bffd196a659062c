/* Frames around images: they are found if they are plain and end sharply, on any side; a ground with objects on it is not a
 * frame. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include "base/rng.h"
#include "image/frame.h"

#include <string.h>

enum { WIDTH = 120, HEIGHT = 100 };

static void fill(tn_image *image, size_t x, size_t y, size_t width, size_t height, const unsigned char colour[3])
{
    for (size_t row = y; row < y + height; row++)
        for (size_t column = x; column < x + width; column++)
            memcpy(image->pixels + 3 * (row * image->width + column), colour, 3);
}

static const unsigned char ground[3] = { 240, 240, 240 }, red[3] = { 220, 40, 40 };

/* A ground in `frame`, with two objects on it, a few pixels off its edges. */
static tn_image scene(const tn_region *inside, const unsigned char frame[3])
{
    tn_image image;
    assert_int_equal(tn_image_new(&image, WIDTH, HEIGHT, 3, NULL), TENEBRA_OK);
    fill(&image, 0, 0, WIDTH, HEIGHT, frame);
    fill(&image, inside->x, inside->y, inside->width, inside->height, ground);
    fill(&image, inside->x + 6, inside->y + 7, 20, 20, red);
    fill(&image, inside->x + inside->width - 30, inside->y + inside->height - 35, 25, 30, red);
    return image;
}

static void expect(tn_image *image, tn_region wanted)
{
    tn_region found = tn_frame_inside(image);
    if (found.x != wanted.x || found.y != wanted.y || found.width != wanted.width || found.height != wanted.height)
        fail_msg("%zu, %zu, %zu x %zu instead of %zu, %zu, %zu x %zu", found.x, found.y, found.width, found.height, wanted.x, wanted.y,
                 wanted.width, wanted.height);
    tn_image_free(image);
}

static const tn_region whole = { 0, 0, WIDTH, HEIGHT };

static void frames_are_found(void **state)
{
    (void)state;
    static const tn_region insides[] = {
        { 12, 12, WIDTH - 24, HEIGHT - 24 }, { 2, 2, WIDTH - 4, HEIGHT - 4 }, { 0, 15, WIDTH, HEIGHT - 30 },
        { 9, 0, WIDTH - 9, HEIGHT },         { 0, 0, WIDTH - 20, HEIGHT - 5 },
    };
    static const unsigned char frames[][3] = { { 255, 255, 255 }, { 0, 0, 0 }, { 128, 128, 128 }, { 30, 60, 200 } };
    for (size_t i = 0; i < sizeof insides / sizeof *insides; i++)
        for (size_t f = 0; f < sizeof frames / sizeof *frames; f++) {
            tn_image image = scene(&insides[i], frames[f]);
            expect(&image, insides[i]);
        }
}

static void a_ground_is_no_frame(void **state)
{
    (void)state;
    static const unsigned char near[3] = { 241, 239, 240 };
    tn_image image = scene(&whole, ground);
    expect(&image, whole);
    image = scene(&(tn_region){ 10, 10, WIDTH - 20, HEIGHT - 20 }, near); /* as good as the ground */
    expect(&image, whole);
    image = scene(&(tn_region){ 1, 1, WIDTH - 2, HEIGHT - 2 }, red); /* a line of one pixel */
    expect(&image, whole);
    image = scene(&(tn_region){ 45, 0, WIDTH - 45, HEIGHT }, red); /* more than a third */
    expect(&image, whole);
}

/* A gradient along the edge, an object that touches it, an image of a few pixels. */
static void other_edges(void **state)
{
    (void)state;
    tn_image image = scene(&(tn_region){ 10, 10, WIDTH - 20, HEIGHT - 20 }, red);
    for (size_t x = 0; x < WIDTH; x++)
        for (size_t y = 0; y < HEIGHT; y++)
            image.pixels[3 * (y * WIDTH + x)] = (unsigned char)(x + y);
    expect(&image, whole);
    image = scene(&(tn_region){ 10, 10, WIDTH - 20, HEIGHT - 20 }, red);
    fill(&image, 40, 0, 12, 12, ground); /* with a gap at the top, the lines to the left and right of the image also begin with
                                          * the frame */
    expect(&image, (tn_region){ 0, 0, WIDTH, HEIGHT - 10 });
    assert_int_equal(tn_image_new(&image, 5, 5, 3, NULL), TENEBRA_OK);
    memset(image.pixels, 7, 75);
    expect(&image, (tn_region){ 0, 0, 5, 5 });
    assert_int_equal(tn_image_new(&image, 64, 64, 3, NULL), TENEBRA_OK);
    memset(image.pixels, 7, 3 * 64 * 64); /* nothing but one colour */
    expect(&image, (tn_region){ 0, 0, 64, 64 });
}

/* Noise has no effect if frame and ground differ by more; a soft edge is removed with the frame. */
static void noise_and_soft_edges(void **state)
{
    (void)state;
    static const unsigned char dark[3] = { 60, 60, 60 }, middle[3] = { 150, 150, 150 };
    const tn_region inside = { 10, 8, WIDTH - 20, HEIGHT - 16 }, soft = { 9, 7, WIDTH - 18, HEIGHT - 14 };
    tn_image image = scene(&inside, dark);
    tn_rng rng = tn_rng_seed(5);
    for (size_t i = 0; i < (size_t)3 * WIDTH * HEIGHT; i++)
        image.pixels[i] = (unsigned char)(image.pixels[i] + tn_rng_below(&rng, 15));
    expect(&image, inside);
    image = scene(&soft, dark);
    fill(&image, soft.x, soft.y, soft.width, 1, middle);
    fill(&image, soft.x, soft.y + soft.height - 1, soft.width, 1, middle);
    fill(&image, soft.x, soft.y, 1, soft.height, middle);
    fill(&image, soft.x + soft.width - 1, soft.y, 1, soft.height, middle);
    expect(&image, soft);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(frames_are_found),
        cmocka_unit_test(a_ground_is_no_frame),
        cmocka_unit_test(other_edges),
        cmocka_unit_test(noise_and_soft_edges),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
