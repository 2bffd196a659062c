#include "model/picture.h"

#include "base/checked.h"

#include <stdlib.h>
#include <string.h>

enum { SIDE_MAX = 16384 /* maximum side of a requested size, in pixels */ };

tenebra_code tn_fit_apply(const tn_fit *fit, const tn_image *image, tn_image *out, tenebra_error *error)
{
    tn_image resized = { 0 };
    bool whole = fit->seen_width == fit->width && fit->seen_height == fit->height;
    memset(out, 0, sizeof *out);
    TN_TRY(tn_image_resize(image, fit->width, fit->height, fit->filter, whole ? out : &resized, error));
    if (whole)
        return TENEBRA_OK;
    tenebra_code code = tn_image_crop(&resized, fit->left, fit->top, fit->seen_width, fit->seen_height, out, error);
    tn_image_free(&resized);
    return code;
}

void tn_prepared_free(tn_prepared *prepared)
{
    free(prepared->values);
    memset(prepared, 0, sizeof *prepared);
}

/* ------------------------------------------------------ requested sizes -- */

tenebra_code tn_picture_fixed(const tenebra_image_rule *asked, size_t unit, bool *fixed, size_t *width, size_t *height,
                              tenebra_error *error)
{
    *width = asked->width;
    *height = asked->height;
    *fixed = *width > 0 || *height > 0;
    if (!*fixed || (*width % unit == 0 && *height % unit == 0 && *width - 1 < SIDE_MAX && *height - 1 < SIDE_MAX))
        return TENEBRA_OK;
    return tn_fail(error, TENEBRA_ERROR_ARGUMENT, "image-size", "%zux%zu does not consist of multiples of %zu up to %d", *width, *height,
                   unit, SIDE_MAX);
}

/* One bound in pixels: from the request, in pixels or in rows, else that of the encoder. */
static tenebra_code find_bound(size_t pixels, size_t tokens, size_t area, const char *option, size_t *bound, tenebra_error *error)
{
    if (pixels > 0)
        *bound = pixels;
    if (pixels > 0 && tokens > 0)
        return tn_fail(error, TENEBRA_ERROR_ARGUMENT, option, "is given in pixels and in embeddings; one of them is enough");
    if (tokens > 0 && (!tn_size_mul(tokens, area, bound) || *bound > TN_IMAGE_AREA_MAX))
        return tn_fail(error, TENEBRA_ERROR_ARGUMENT, option, "%zu embeddings are more than any image has", tokens);
    return *bound <= TN_IMAGE_AREA_MAX ? TENEBRA_OK
                                       : tn_fail(error, TENEBRA_ERROR_ARGUMENT, option, "%zu pixels are more than any image has",
                                                 *bound);
}

tenebra_code tn_picture_bounds(const tenebra_image_rule *asked, size_t area, size_t *least, size_t *most, tenebra_error *error)
{
    /* Bounds in pixels come from a recipe, training.json or C, which have their own names for them. */
    const char *low = asked->min_pixels > 0 ? "image_min_pixels" : "image-min-tokens";
    const char *high = asked->max_pixels > 0 ? "image_max_pixels" : "image-max-tokens";
    TN_TRY(find_bound(asked->min_pixels, asked->min_tokens, area, low, least, error));
    TN_TRY(find_bound(asked->max_pixels, asked->max_tokens, area, high, most, error));
    if (*least > *most)
        return tn_fail(error, TENEBRA_ERROR_ARGUMENT, asked->min_pixels > 0 || asked->min_tokens > 0 ? low : high,
                       "the minimum of %zu pixels is larger than the maximum of %zu", *least, *most);
    return TENEBRA_OK;
}
