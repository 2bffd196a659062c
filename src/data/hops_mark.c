/* Marks: small plates in corners of cells, with stripes of single pixels that an image of half the size cannot show.
 *
 * Let h be the 8 weights with which Pillow's bicubic filter halves an image: those of the kernel of Keys (a = -0.5) at the
 * distances 0.25, 0.75, 1.25 and 1.75 on both sides, which are multiples of 1/256. The signal g[k] = (-1)^k h[k] is orthogonal to h
 * at every even shift: h is symmetric, so the terms of k and of 7 - k + 2m in sum_k g[k] h[k - 2m] cancel. (It is the high-pass
 * filter that belongs to h in a filter bank with two bands.) So where g starts at an odd pixel, the halved image shows nothing of
 * it, and the same holds for sums of such signals, for their products with any signal along the other axis, and for sums of these.
 *
 * Three things would leave a rest that a classifier could use. Rounding to 8 bits, of the drawing and of both passes of the filter:
 * grain of a few levels makes it independent of the signal (dither). Clipping: the filter overshoots at edges by 7 %, so grounds and
 * stripes keep away from black and white. The borders of an image, where the filter has other weights: a mark is in the corner of its
 * cell that is nearest to the centre of the image. */
#include "data/hops.h"

#include <math.h>

enum { MARK = 12 /* pixels */, GRAIN = 3 /* levels */ };

/* g + g shifted by 2 + g shifted by 4, scaled to 1; along the stripes, an even strip. */
static const float stripes[MARK] = { -3 / 137.0f,   9 / 137.0f,    26 / 137.0f,  -102 / 137.0f, 137 / 137.0f, -131 / 137.0f,
                                     131 / 137.0f, -137 / 137.0f, 102 / 137.0f, -26 / 137.0f,  -9 / 137.0f,  3 / 137.0f };
static const float strip[MARK] = { 0, 0, 0.5f, 1, 1, 1, 1, 1, 1, 0.5f, 0, 0 };

/* The pattern of a mark, -1 .. 1; `mark` is the index of its name. */
static float pattern(size_t mark, size_t x, size_t y)
{
    switch (mark) {
    case 0: /* plain */
        return 0;
    case 1: /* bars, which are vertical */
        return stripes[x] * strip[y];
    case 2: /* lines, which are horizontal */
        return strip[x] * stripes[y];
    default: /* checks */
        return stripes[x] * stripes[y];
    }
}

static float between(tn_rng *rng, float low, float high)
{
    return low + (high - low) * (float)tn_rng_uniform(rng);
}

/* The first pixel of a mark in a row or column of cells: odd, and one to four pixels from the side that is nearer to the centre. */
static size_t place(tn_rng *rng, size_t index, size_t grid, size_t size)
{
    size_t first = (index * size + grid - 1) / grid, end = ((index + 1) * size + grid - 1) / grid;
    size_t jitter = 2 * (size_t)tn_rng_below(rng, 2);
    return 2 * index < grid - 1 ? ((end - MARK - 2) | 1) - jitter : (first | 1) + jitter;
}

void tn_hops_paint_marks(tn_rng *rng, const tn_hops_scene *scene, size_t size, unsigned char *pixels)
{
    for (size_t cell = 0; cell < scene->cells; cell++) {
        size_t left = place(rng, cell % scene->grid, scene->grid, size), top = place(rng, cell / scene->grid, scene->grid, size);
        float plate = between(rng, 118, 138), contrast = between(rng, 70, 90);
        for (size_t y = 0; y < MARK; y++)
            for (size_t x = 0; x < MARK; x++) {
                unsigned char *pixel = pixels + 3 * ((top + y) * size + left + x);
                bool inside = x > 0 && y > 0 && x + 1 < MARK && y + 1 < MARK;
                for (size_t i = 0; i < 3; i++) {
                    float value = (inside ? plate : (float)pixel[i]) + contrast * pattern(scene->mark[cell], x, y);
                    value += GRAIN * (float)(tn_rng_uniform(rng) - tn_rng_uniform(rng));
                    pixel[i] = (unsigned char)(fminf(255, fmaxf(0, value)) + 0.5f);
                }
            }
    }
}
