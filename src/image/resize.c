#include "image/resize.h"

#include "base/checked.h"

#include <math.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

/* Fixed point of the weights: 8 bits for the pixel, 2 for sums above 1 due to the negative lobes. The sum of |weights|
 * is at most 1.58 (Lanczos from 4 to 5 pixels), so 255 times it fits an int32. */
enum { PRECISION = 32 - 8 - 2 };

struct kernel {
    double (*weight)(double x);
    double support; /* pixels on each side, at scale 1 */
};

static double weight_box(double x)
{
    return x > -0.5 && x <= 0.5 ? 1.0 : 0.0;
}

static double weight_bilinear(double x)
{
    x = fabs(x);
    return x < 1.0 ? 1.0 - x : 0.0;
}

/* The order of the operations is part of the result. */
static double weight_bicubic(double x)
{
    const double a = -0.5;
    x = fabs(x);
    if (x < 1.0)
        return ((a + 2.0) * x - (a + 3.0)) * x * x + 1;
    if (x < 2.0)
        return (((x - 5) * x + 8) * x - 4) * a;
    return 0.0;
}

static double sinc(double x)
{
    const double pi = 3.14159265358979323846;
    if (x == 0.0)
        return 1.0;
    x *= pi;
    return sin(x) / x;
}

static double weight_lanczos(double x)
{
    return x >= -3.0 && x < 3.0 ? sinc(x) * sinc(x / 3) : 0.0;
}

static bool find_kernel(tn_resample filter, struct kernel *found)
{
    switch (filter) {
    case TN_RESAMPLE_LANCZOS:
        *found = (struct kernel){ weight_lanczos, 3.0 };
        return true;
    case TN_RESAMPLE_BILINEAR:
        *found = (struct kernel){ weight_bilinear, 1.0 };
        return true;
    case TN_RESAMPLE_BICUBIC:
        *found = (struct kernel){ weight_bicubic, 2.0 };
        return true;
    case TN_RESAMPLE_BOX:
        *found = (struct kernel){ weight_box, 0.5 };
        return true;
    }
    return false;
}

/* One direction of a resize: output i is the sum of weights[i * taps + k] * input[windows[i].first + k]. */
struct plan {
    size_t outputs, taps;
    struct window {
        size_t first, count; /* count <= taps */
    } *windows;
    int32_t *weights; /* [outputs, taps], PRECISION fractional bits */
};

static void plan_free(struct plan *plan)
{
    free(plan->windows);
    free(plan->weights);
    memset(plan, 0, sizeof *plan);
}

/* Weights of one output, normalised to sum 1 and rounded, halves away from zero. scratch [taps]. */
static void fill_window(struct plan *plan, const struct kernel *kernel, size_t inputs, double scale, size_t i,
                        double *scratch)
{
    double stretch = scale < 1.0 ? 1.0 : scale, support = kernel->support * stretch;
    double center = ((double)i + 0.5) * scale, inverse = 1.0 / stretch, sum = 0.0;
    double low = center - support + 0.5, high = center + support + 0.5;
    size_t first = low > 0.0 ? (size_t)low : 0;
    size_t end = tn_max(first, tn_min((size_t)high, inputs)), count = tn_min(end - first, plan->taps);
    for (size_t k = 0; k < count; k++) {
        scratch[k] = kernel->weight(((double)(k + first) - center + 0.5) * inverse);
        sum += scratch[k];
    }
    int32_t *weights = plan->weights + i * plan->taps;
    for (size_t k = 0; k < count; k++) {
        double weight = (sum != 0.0 ? scratch[k] / sum : scratch[k]) * (1 << PRECISION);
        weights[k] = (int32_t)(weight < 0 ? weight - 0.5 : weight + 0.5);
    }
    plan->windows[i] = (struct window){ first, count };
}

static tenebra_code plan_make(struct plan *plan, const struct kernel *kernel, size_t inputs, size_t outputs,
                              tenebra_error *error)
{
    double scale = (double)inputs / (double)outputs;
    size_t reach = (size_t)ceil(kernel->support * (scale < 1.0 ? 1.0 : scale)), cells;
    memset(plan, 0, sizeof *plan);
    plan->outputs = outputs;
    plan->taps = reach * 2 + 1;
    double *scratch = calloc(plan->taps, sizeof *scratch);
    plan->windows = calloc(outputs, sizeof *plan->windows);
    if (tn_size_mul(outputs, plan->taps, &cells))
        plan->weights = calloc(cells, sizeof *plan->weights);
    if (scratch == NULL || plan->windows == NULL || plan->weights == NULL) {
        free(scratch);
        plan_free(plan);
        return tn_fail(error, TENEBRA_ERROR_MEMORY, "resize", "no memory to resize %zu pixels to %zu", inputs,
                       outputs);
    }
    for (size_t i = 0; i < outputs; i++)
        fill_window(plan, kernel, inputs, scale, i, scratch);
    free(scratch);
    return TENEBRA_OK;
}

static unsigned char clip(int32_t sum)
{
    sum >>= PRECISION; /* an arithmetic shift in both compilers */
    return (unsigned char)(sum < 0 ? 0 : sum > 255 ? 255 : sum);
}

/* [height, from->width, 3] -> [height, to->width, 3]. */
static void resize_rows(const tn_image *from, const struct plan *plan, tn_image *to)
{
    const int32_t half = 1 << (PRECISION - 1);
    for (size_t y = 0; y < to->height; y++) {
        const unsigned char *row = from->pixels + y * from->width * TN_IMAGE_CHANNELS;
        unsigned char *pixel = to->pixels + y * to->width * TN_IMAGE_CHANNELS;
        for (size_t x = 0; x < plan->outputs; x++, pixel += TN_IMAGE_CHANNELS) {
            const unsigned char *input = row + plan->windows[x].first * TN_IMAGE_CHANNELS;
            const int32_t *weights = plan->weights + x * plan->taps;
            int32_t red = half, green = half, blue = half;
            for (size_t k = 0; k < plan->windows[x].count; k++, input += TN_IMAGE_CHANNELS) {
                red += input[0] * weights[k];
                green += input[1] * weights[k];
                blue += input[2] * weights[k];
            }
            pixel[0] = clip(red);
            pixel[1] = clip(green);
            pixel[2] = clip(blue);
        }
    }
}

/* sums [stride] += weight * row [stride]. */
static void add_row(int32_t *restrict sums, const unsigned char *restrict row, int32_t weight, size_t stride)
{
    for (size_t i = 0; i < stride; i++)
        sums[i] += row[i] * weight;
}

/* [from->height, width, 3] -> [to->height, width, 3]. sums [width * 3] is scratch. */
static void resize_columns(const tn_image *from, const struct plan *plan, tn_image *to, int32_t *sums)
{
    size_t stride = to->width * TN_IMAGE_CHANNELS;
    for (size_t y = 0; y < plan->outputs; y++) {
        const unsigned char *rows = from->pixels + plan->windows[y].first * stride;
        const int32_t *weights = plan->weights + y * plan->taps;
        unsigned char *out = to->pixels + y * stride;
        for (size_t i = 0; i < stride; i++)
            sums[i] = 1 << (PRECISION - 1);
        for (size_t k = 0; k < plan->windows[y].count; k++)
            add_row(sums, rows + k * stride, weights[k], stride);
        for (size_t i = 0; i < stride; i++)
            out[i] = clip(sums[i]);
    }
}

static tenebra_code run_rows(const tn_image *from, const struct kernel *kernel, size_t width, tn_image *to,
                             tenebra_error *error)
{
    struct plan plan;
    TN_TRY(plan_make(&plan, kernel, from->width, width, error));
    tenebra_code code = tn_image_new(to, width, from->height, TN_IMAGE_CHANNELS, error);
    if (code == TENEBRA_OK)
        resize_rows(from, &plan, to);
    plan_free(&plan);
    return code;
}

static tenebra_code run_columns(const tn_image *from, const struct kernel *kernel, size_t height, tn_image *to,
                                tenebra_error *error)
{
    struct plan plan;
    TN_TRY(plan_make(&plan, kernel, from->height, height, error));
    int32_t *sums = calloc(from->width * TN_IMAGE_CHANNELS, sizeof *sums);
    tenebra_code code = sums ? tn_image_new(to, from->width, height, TN_IMAGE_CHANNELS, error)
                             : tn_fail(error, TENEBRA_ERROR_MEMORY, "resize", "no memory for a row of %zu pixels",
                                       from->width);
    if (code == TENEBRA_OK)
        resize_columns(from, &plan, to, sums);
    free(sums);
    plan_free(&plan);
    return code;
}

tenebra_code tn_image_resize(const tn_image *image, size_t width, size_t height, tn_resample filter,
                             tn_image *out, tenebra_error *error)
{
    memset(out, 0, sizeof *out);
    struct kernel kernel;
    TN_TRY(tn_image_check(image, error));
    if (!find_kernel(filter, &kernel))
        return tn_fail(error, TENEBRA_ERROR_ARGUMENT, "resize", "there is no resampling filter %d", (int)filter);
    if (width == 0 || height == 0 || width > TN_IMAGE_SIDE_MAX || height > TN_IMAGE_SIDE_MAX)
        return tn_fail(error, TENEBRA_ERROR_ARGUMENT, "resize", "an image of %zu x %zu pixels is not possible; "
                       "sides go from 1 to %d", width, height, TN_IMAGE_SIDE_MAX);
    if (width == image->width && height == image->height)
        return tn_image_crop(image, 0, 0, width, height, out, error);
    if (height == image->height)
        return run_rows(image, &kernel, width, out, error);
    if (width == image->width)
        return run_columns(image, &kernel, height, out, error);
    tn_image narrow;
    TN_TRY(run_rows(image, &kernel, width, &narrow, error));
    tenebra_code code = run_columns(&narrow, &kernel, height, out, error);
    tn_image_free(&narrow);
    return code;
}
