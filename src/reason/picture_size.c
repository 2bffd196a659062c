/* In which size a picture is shown to the model. */
#include "reason/parts.h"

#include "base/checked.h"
#include "image/frame.h"

#include <string.h>

enum { SIDE_MAX = 16384 /* pixels of a size that is asked for */ };

/* qwen_vl_utils.fetch_image: the bounds that it has where a part names none, in cells. */
enum { FETCH_MIN_CELLS = 4, FETCH_MAX_CELLS = 16384 };

/* One bound in pixels: as the request has it, in pixels or in embeddings, else the model's own. */
static tenebra_code find_bound(size_t pixels, size_t tokens, size_t own, size_t cell, const char *option, size_t *bound,
                               tenebra_error *error)
{
    *bound = pixels > 0 ? pixels : own;
    if (pixels > 0 && tokens > 0)
        return tn_fail(error, TENEBRA_ERROR_ARGUMENT, option, "is given in pixels and in embeddings; one of them is enough");
    if (tokens > 0 && (!tn_size_mul(tokens, cell * cell, bound) || *bound > TN_IMAGE_AREA_MAX))
        return tn_fail(error, TENEBRA_ERROR_ARGUMENT, option, "%zu embeddings are more than any picture has", tokens);
    return *bound <= TN_IMAGE_AREA_MAX ? TENEBRA_OK
                                       : tn_fail(error, TENEBRA_ERROR_ARGUMENT, option, "%zu pixels are more than any picture has",
                                                 *bound);
}

/* By the request: a fixed size, which must fill whole cells, or the model's rule within bounds. */
static tenebra_code size_of_request(const tn_reasoner *reasoner, size_t width, size_t height, size_t *new_width,
                                    size_t *new_height, tenebra_error *error)
{
    const tenebra_request *request = reasoner->request;
    const tn_patch_config *config = &reasoner->session->model->patches;
    size_t cell = config->patch_size * config->merge_size, smallest, largest;
    *new_width = request->image.width;
    *new_height = request->image.height;
    if (*new_width > 0 || *new_height > 0) {
        if (*new_width % cell == 0 && *new_height % cell == 0 && *new_width - 1 < SIDE_MAX && *new_height - 1 < SIDE_MAX)
            return TENEBRA_OK;
        return tn_fail(error, TENEBRA_ERROR_ARGUMENT, "image-size", "%zux%zu is not made of multiples of %zu up to %d", *new_width,
                       *new_height, cell, SIDE_MAX);
    }
    *new_width = width;
    *new_height = height;
    if (!config->resize)
        return TENEBRA_OK;
    /* Pixels come from a recipe, training.json or C, where they have names of their own. */
    const char *least = request->image.min_pixels > 0 ? "image_min_pixels" : "image-min-tokens";
    const char *most = request->image.max_pixels > 0 ? "image_max_pixels" : "image-max-tokens";
    TN_TRY(find_bound(request->image.min_pixels, request->image.min_tokens, config->min_pixels, cell, least, &smallest, error));
    TN_TRY(find_bound(request->image.max_pixels, request->image.max_tokens, config->max_pixels, cell, most, &largest, error));
    if (smallest > largest)
        return tn_fail(error, TENEBRA_ERROR_ARGUMENT, request->image.min_pixels > 0 || request->image.min_tokens > 0 ? least : most,
                       "%zu pixels at least and %zu at most leave nothing", smallest, largest);
    return tn_smart_resize(height, width, cell, smallest, largest, new_height, new_width, error);
}

static bool has_rule(const tenebra_part *part)
{
    return part != NULL && (part->resized_width > 0 || part->min_pixels > 0 || part->max_pixels > 0);
}

/* By the part: what qwen_vl_utils.fetch_image (0.0.14) makes of the picture before the model's processor gets it. */
static tenebra_code size_of_part(const tn_reasoner *reasoner, const tenebra_part *part, size_t width, size_t height,
                                 size_t *new_width, size_t *new_height, tenebra_error *error)
{
    const tn_patch_config *config = &reasoner->session->model->patches;
    size_t cell = config->patch_size * config->merge_size, area;
    size_t smallest = part->min_pixels ? part->min_pixels : FETCH_MIN_CELLS * cell * cell;
    size_t largest = part->max_pixels ? part->max_pixels : FETCH_MAX_CELLS * cell * cell;
    if (part->resized_width > 0) {
        height = part->resized_height;
        width = part->resized_width;
        smallest = FETCH_MIN_CELLS * cell * cell;
        largest = FETCH_MAX_CELLS * cell * cell;
    }
    if (smallest > largest)
        return tn_fail(error, TENEBRA_ERROR_ARGUMENT, "image", "min_pixels %zu and max_pixels %zu of a part leave nothing", smallest,
                       largest);
    TN_TRY(tn_smart_resize(height, width, cell, smallest, largest, new_height, new_width, error));
    if (!tn_size_mul(*new_width, *new_height, &area) || area > tn_image_limits_default().max_pixels)
        return tn_fail(error, TENEBRA_ERROR_LIMIT, "image", "a part asks for %zu x %zu pixels; the limit is %zu in all", *new_width,
                       *new_height, tn_image_limits_default().max_pixels);
    return TENEBRA_OK;
}

/* The model's own rule, which the reference's processor applies to what fetch_image made. */
static tenebra_code size_of_model(const tn_reasoner *reasoner, size_t width, size_t height, size_t *new_width, size_t *new_height,
                                  tenebra_error *error)
{
    const tn_patch_config *config = &reasoner->session->model->patches;
    *new_width = width;
    *new_height = height;
    return config->resize ? tn_smart_resize(height, width, config->patch_size * config->merge_size, config->min_pixels,
                                            config->max_pixels, new_height, new_width, error)
                          : TENEBRA_OK;
}

static tenebra_code resize(const tn_reasoner *reasoner, const tenebra_part *part, const tn_image *image, tn_image *resized,
                           tenebra_error *error)
{
    tn_image fetched = { 0 };
    size_t width, height;
    tn_resample filter = reasoner->session->model->patches.resample;
    if (!has_rule(part)) {
        TN_TRY(size_of_request(reasoner, image->width, image->height, &width, &height, error));
        TN_TRY(tn_reasoner_check_room(reasoner, width, height, error));
        return tn_image_resize(image, width, height, filter, resized, error);
    }
    size_t first_width, first_height;
    TN_TRY(size_of_part(reasoner, part, image->width, image->height, &first_width, &first_height, error));
    TN_TRY(size_of_model(reasoner, first_width, first_height, &width, &height, error));
    TN_TRY(tn_reasoner_check_room(reasoner, width, height, error));
    TN_TRY(tn_image_resize(image, first_width, first_height, TN_RESAMPLE_BICUBIC, &fetched, error));
    if (width == first_width && height == first_height) {
        *resized = fetched;
        return TENEBRA_OK;
    }
    tenebra_code code = tn_image_resize(&fetched, width, height, filter, resized, error);
    tn_image_free(&fetched);
    return code;
}

tn_region tn_reasoner_seen(const tn_reasoner *reasoner, const tn_image *image)
{
    return reasoner->session->model->patches.trim_frame ? tn_frame_inside(image)
                                                        : (tn_region){ .width = image->width, .height = image->height };
}

tenebra_code tn_reasoner_resize(const tn_reasoner *reasoner, const tenebra_part *part, const tn_image *image, tn_image *resized,
                                tenebra_error *error)
{
    tn_image inside = { 0 };
    tn_region seen = tn_reasoner_seen(reasoner, image);
    memset(resized, 0, sizeof *resized);
    if (seen.width == image->width && seen.height == image->height)
        return resize(reasoner, part, image, resized, error);
    TN_TRY(tn_image_crop(image, seen.x, seen.y, seen.width, seen.height, &inside, error));
    tenebra_code code = resize(reasoner, part, &inside, resized, error);
    tn_image_free(&inside);
    return code;
}
