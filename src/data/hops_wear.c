/* Images as people might supply them: other grounds, borders, uneven light, blur, noise, and JPEG artefacts. All of this is
 * arithmetic that gives the same pixels on every machine. */
#include "data/hops.h"

#include <math.h>
#include <string.h>

enum { SIDE_MAX = 224, BLOCK = 8 };

static float between(tn_rng *rng, float low, float high)
{
    return low + (high - low) * (float)tn_rng_uniform(rng);
}

static bool chance(tn_rng *rng, double share)
{
    return tn_rng_uniform(rng) < share;
}

static unsigned char to_byte(float value)
{
    return (unsigned char)(fminf(255, fmaxf(0, value)) + 0.5f);
}

size_t tn_hops_varied_size(tn_rng *rng)
{
    double draw = tn_rng_uniform(rng);
    return draw < 0.72 ? 112 : draw < 0.82 ? 84 : draw < 0.92 ? 168 : SIDE_MAX;
}

/* --------------------------------------------------------------- ground -- */

/* Draws the ground: nearly white, a light tint, a medium grey, or dark with light arrows. */
static tn_hops_look draw_look(tn_rng *rng)
{
    tn_hops_look look = { .lines = chance(rng, 0.15) ? between(rng, 0.2f, 0.9f) : 0 };
    double draw = tn_rng_uniform(rng);
    float low = draw < 0.4 ? 228 : draw < 0.7 ? 185 : draw < 0.9 ? 150 : 15, high = draw < 0.7 ? 255 : draw < 0.9 ? 215 : 60;
    float grey = between(rng, low, high), ink = draw < 0.9 ? between(rng, 0, 45) : between(rng, 200, 255);
    bool tinted = chance(rng, 0.5);
    for (size_t i = 0; i < 3; i++) {
        look.ground[i] = tinted ? between(rng, low, high) : grey;
        look.ink[i] = ink;
    }
    return look;
}

/* --------------------------------------------------------------- border -- */

/* Shrinks the scene by up to a sixth and puts a border around it. */
static void paint_framed(tn_rng *rng, const tn_hops_scene *scene, const tn_hops_look *look, size_t size, unsigned char *pixels)
{
    unsigned char inner[3 * SIDE_MAX * SIDE_MAX], colour[3], grey = to_byte(chance(rng, 0.4) ? 255 : between(rng, 0, 255));
    size_t margin = 1 + (size_t)tn_rng_below(rng, size / 6), side = size - margin, left = margin / 2, top = margin / 2;
    bool tinted = chance(rng, 0.3);
    if (chance(rng, 0.4)) { /* the scene is not in the middle */
        left = (size_t)tn_rng_below(rng, margin + 1);
        top = (size_t)tn_rng_below(rng, margin + 1);
        left = (left + margin / 2) / 2;
        top = (top + margin / 2) / 2;
    }
    for (size_t i = 0; i < 3; i++)
        colour[i] = tinted ? (unsigned char)tn_rng_below(rng, 256) : grey;
    tn_hops_paint_look(rng, scene, 0, look, side, inner);
    for (size_t i = 0; i < 3 * size * size; i++)
        pixels[i] = colour[i % 3];
    for (size_t y = 0; y < side; y++)
        memcpy(pixels + 3 * ((top + y) * size + left), inner + 3 * y * side, 3 * side);
}

/* ----------------------------------------------------------------- light -- */

/* Changes contrast and brightness, and adds light from one side. */
static void shine(tn_rng *rng, size_t size, unsigned char *pixels)
{
    float gain = between(rng, 0.8f, 1.1f), lift = between(rng, -12, 20), across = between(rng, -0.12f, 0.12f),
          down = between(rng, -0.12f, 0.12f);
    for (size_t y = 0; y < size; y++)
        for (size_t x = 0; x < size; x++) {
            float light = gain + across * ((float)x / (float)size - 0.5f) + down * ((float)y / (float)size - 0.5f);
            unsigned char *pixel = pixels + 3 * (y * size + x);
            for (size_t i = 0; i < 3; i++)
                pixel[i] = to_byte((float)pixel[i] * light + lift);
        }
}

/* Blurs: mixes every pixel with the mean of its four neighbours, which has the share `amount`. */
static void blur(size_t size, float amount, unsigned char *pixels)
{
    static const size_t channels = 3;
    unsigned char copy[3 * SIDE_MAX * SIDE_MAX];
    memcpy(copy, pixels, channels * size * size);
    for (size_t y = 1; y + 1 < size; y++)
        for (size_t at = channels * (y * size + 1); at < channels * (y * size + size - 1); at++) {
            float around = (float)copy[at - channels] + (float)copy[at + channels] + (float)copy[at - channels * size] +
                           (float)copy[at + channels * size];
            pixels[at] = to_byte((1 - amount) * (float)copy[at] + amount * 0.25f * around);
        }
}

/* Adds noise. The sum of three uniform numbers is nearly normal; its standard deviation is a third of its maximum. */
static void add_noise(tn_rng *rng, size_t size, float deviation, unsigned char *pixels)
{
    for (size_t i = 0; i < 3 * size * size; i++) {
        float sum = between(rng, -1, 1) + between(rng, -1, 1) + between(rng, -1, 1);
        pixels[i] = to_byte((float)pixels[i] + deviation * sum);
    }
}

/* ------------------------------------------------------------------ JPEG -- */

/* Tables of ITU-T T.81, annex K, for quality 50. */
static const unsigned char steps_of_light[BLOCK * BLOCK] = {
    16, 11, 10, 16, 24,  40,  51,  61,  12, 12, 14, 19, 26,  58,  60,  55,  14, 13, 16, 24, 40,  57,  69,  56,
    14, 17, 22, 29, 51,  87,  80,  62,  18, 22, 37, 56, 68,  109, 103, 77,  24, 35, 55, 64, 81,  104, 113, 92,
    49, 64, 78, 87, 103, 121, 120, 101, 72, 92, 95, 98, 112, 100, 103, 99,
};
static const unsigned char steps_of_colour[BLOCK * BLOCK] = {
    17, 18, 24, 47, 99, 99, 99, 99, 18, 21, 26, 66, 99, 99, 99, 99, 24, 26, 56, 99, 99, 99, 99, 99, 47, 66, 99, 99, 99, 99, 99, 99,
    99, 99, 99, 99, 99, 99, 99, 99, 99, 99, 99, 99, 99, 99, 99, 99, 99, 99, 99, 99, 99, 99, 99, 99, 99, 99, 99, 99, 99, 99, 99, 99,
};

/* Rows of the cosine transform: 1 / sqrt(8), and cos((2 n + 1) k pi / 16) / 2. */
static float wave(size_t k, size_t n)
{
    static const float cosines[9] = { 0.5f,         0.49039264f, 0.46193977f, 0.41573481f, 0.35355339f,
                                      0.27778512f, 0.19134172f, 0.09754516f, 0 };
    if (k == 0)
        return cosines[4];
    size_t angle = (2 * n + 1) * k % 32; /* in sixteenths of pi */
    angle = angle > 16 ? 32 - angle : angle;
    return angle > 8 ? -cosines[16 - angle] : cosines[angle];
}

/* Computes to[k, x] = sum over n of wave(k, n) * from[n, x], or the inverse transform, and exchanges the two indices. */
static void transform(float waves[BLOCK][BLOCK], bool inverse, const float *from, float *to)
{
    for (size_t k = 0; k < BLOCK; k++)
        for (size_t x = 0; x < BLOCK; x++) {
            float sum = 0;
            for (size_t n = 0; n < BLOCK; n++)
                sum += (inverse ? waves[n][k] : waves[k][n]) * from[n * BLOCK + x];
            to[x * BLOCK + k] = sum;
        }
}

/* Rounds the coefficients of each block of a plane [side, side]; a block that extends over the edge repeats the last pixels. */
static void coarsen(float *plane, size_t side, const unsigned char *steps, float scale)
{
    float waves[BLOCK][BLOCK], block[BLOCK * BLOCK], half[BLOCK * BLOCK];
    for (size_t k = 0; k < BLOCK; k++)
        for (size_t n = 0; n < BLOCK; n++)
            waves[k][n] = wave(k, n);
    for (size_t top = 0; top < side; top += BLOCK)
        for (size_t left = 0; left < side; left += BLOCK) {
            for (size_t i = 0; i < BLOCK * BLOCK; i++) {
                size_t y = top + i / BLOCK, x = left + i % BLOCK;
                block[i] = plane[(y < side ? y : side - 1) * side + (x < side ? x : side - 1)] - 128;
            }
            transform(waves, false, block, half);
            transform(waves, false, half, block);
            for (size_t i = 0; i < BLOCK * BLOCK; i++) {
                float step = fmaxf(1, floorf((float)steps[i] * scale + 0.5f));
                block[i] = step * floorf(block[i] / step + 0.5f);
            }
            transform(waves, true, block, half);
            transform(waves, true, half, block);
            for (size_t i = 0; i < BLOCK * BLOCK; i++)
                if (top + i / BLOCK < side && left + i % BLOCK < side)
                    plane[(top + i / BLOCK) * side + left + i % BLOCK] = block[i] + 128;
        }
}

/* Applies the losses of JPEG with a quality from 1 to 99: colours at half the size, rounded coefficients. `size` is even. */
static void compress(size_t size, float quality, unsigned char *pixels)
{
    float light[SIDE_MAX * SIDE_MAX], blue[SIDE_MAX * SIDE_MAX / 4], red[SIDE_MAX * SIDE_MAX / 4];
    float scale = quality < 50 ? 50 / quality : 2 - quality / 50;
    size_t half = size / 2;
    memset(blue, 0, half * half * sizeof *blue);
    memset(red, 0, half * half * sizeof *red);
    for (size_t at = 0; at < size * size; at++) {
        const unsigned char *p = pixels + 3 * at;
        size_t small = at / size / 2 * half + at % size / 2;
        light[at] = 0.299f * (float)p[0] + 0.587f * (float)p[1] + 0.114f * (float)p[2];
        blue[small] += 0.25f * (128 - 0.168736f * (float)p[0] - 0.331264f * (float)p[1] + 0.5f * (float)p[2]);
        red[small] += 0.25f * (128 + 0.5f * (float)p[0] - 0.418688f * (float)p[1] - 0.081312f * (float)p[2]);
    }
    coarsen(light, size, steps_of_light, scale);
    coarsen(blue, half, steps_of_colour, scale);
    coarsen(red, half, steps_of_colour, scale);
    for (size_t at = 0; at < size * size; at++) {
        size_t small = at / size / 2 * half + at % size / 2;
        float b = blue[small] - 128, r = red[small] - 128;
        pixels[3 * at] = to_byte(light[at] + 1.402f * r);
        pixels[3 * at + 1] = to_byte(light[at] - 0.344136f * b - 0.714136f * r);
        pixels[3 * at + 2] = to_byte(light[at] + 1.772f * b);
    }
}

/* ------------------------------------------------------------------- all -- */

void tn_hops_paint_varied(tn_rng *rng, const tn_hops_scene *scene, size_t size, unsigned char *pixels)
{
    if (chance(rng, 0.25)) {
        tn_hops_paint(rng, scene, 0, size, pixels);
        return;
    }
    tn_hops_look look = draw_look(rng);
    if (chance(rng, 0.45))
        paint_framed(rng, scene, &look, size, pixels);
    else
        tn_hops_paint_look(rng, scene, 0, &look, size, pixels);
    if (chance(rng, 0.3))
        shine(rng, size, pixels);
    if (chance(rng, 0.25))
        blur(size, between(rng, 0.2f, 0.8f), pixels);
    if (chance(rng, 0.3))
        add_noise(rng, size, between(rng, 1, 12), pixels);
    if (chance(rng, 0.35))
        compress(size, between(rng, 40, 95), pixels);
}
