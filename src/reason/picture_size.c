/* The size to which an image is resized. */
#include "reason/parts.h"

#include "image/frame.h"

#include <string.h>

static bool has_rule(const tenebra_part *part)
{
    return part != NULL && (part->resized_width > 0 || part->min_pixels > 0 || part->max_pixels > 0);
}

/* Refuses an image that does not fit into the context before it is resized. */
static tenebra_code apply(const tn_reasoner *reasoner, const tn_fit *fit, const tn_image *image, tn_image *resized, tenebra_error *error)
{
    TN_TRY(tn_reasoner_check_room(reasoner, fit->seen_width, fit->seen_height, error));
    return tn_fit_apply(fit, image, resized, error);
}

/* Resizes by the part's own rule, and then by the model's. */
static tenebra_code resize_part(const tn_reasoner *reasoner, const tenebra_part *part, const tn_image *image, tn_image *resized,
                                tn_fit *fit, tenebra_error *error)
{
    static const tenebra_image_rule nothing = { 0 };
    const tn_model *model = reasoner->session->model;
    const tn_image_encoder *encoder = model->backbone->encoder;
    tn_fit first;
    tn_image fetched = { 0 };
    if (encoder->fit_part == NULL)
        return tn_fail(error, TENEBRA_ERROR_UNSUPPORTED, "image", "models of type %s do not accept sizes of single images; "
                       "--image-size (image_size in a request) gives all of them one", model->backbone->name);
    TN_TRY(encoder->fit_part(model->rule, image->width, image->height, part, &first, error));
    TN_TRY(encoder->fit(model->rule, first.width, first.height, &nothing, fit, error));
    TN_TRY(tn_reasoner_check_room(reasoner, fit->seen_width, fit->seen_height, error));
    TN_TRY(tn_fit_apply(&first, image, &fetched, error));
    if (fit->seen_width == first.width && fit->seen_height == first.height) {
        *resized = fetched;
        return TENEBRA_OK;
    }
    tenebra_code code = tn_fit_apply(fit, &fetched, resized, error);
    tn_image_free(&fetched);
    return code;
}

static tenebra_code resize(const tn_reasoner *reasoner, const tenebra_part *part, const tn_image *image, tn_image *resized, tn_fit *fit,
                           tenebra_error *error)
{
    const tn_model *model = reasoner->session->model;
    if (has_rule(part))
        return resize_part(reasoner, part, image, resized, fit, error);
    TN_TRY(model->backbone->encoder->fit(model->rule, image->width, image->height, &reasoner->request->image, fit, error));
    return apply(reasoner, fit, image, resized, error);
}

/* The part of a region of the image that remains after the resized image was cropped: in whole pixels, so rounded outwards, as even
 * an image with fewer pixels than the resized one has a part that was seen. */
static tn_region cut_region(const tn_region *region, const tn_fit *fit)
{
    size_t left = fit->left * region->width / fit->width, top = fit->top * region->height / fit->height;
    size_t right = ((fit->left + fit->seen_width) * region->width + fit->width - 1) / fit->width;
    size_t bottom = ((fit->top + fit->seen_height) * region->height + fit->height - 1) / fit->height;
    return (tn_region){ region->x + left, region->y + top, right - left, bottom - top };
}

/* `rule` (may be NULL): instead of those of the part, the request and the model. */
static tenebra_code resize_inside(const tn_reasoner *reasoner, const tenebra_part *part, const tenebra_image_rule *rule,
                                  const tn_image *image, tn_image *resized, tn_region *seen, tenebra_error *error)
{
    tn_image inside = { 0 };
    tn_fit fit = { 0 };
    const tn_region all = { .width = image->width, .height = image->height };
    tn_region region = reasoner->session->model->trims_frames ? tn_frame_inside(image) : all;
    bool framed = region.width != image->width || region.height != image->height;
    memset(resized, 0, sizeof *resized);
    if (framed)
        TN_TRY(tn_image_crop(image, region.x, region.y, region.width, region.height, &inside, error));
    const tn_image *source = framed ? &inside : image;
    const tn_model *model = reasoner->session->model;
    tenebra_code code = rule == NULL ? resize(reasoner, part, source, resized, &fit, error)
                                     : model->backbone->encoder->fit(model->rule, source->width, source->height, rule, &fit, error);
    if (code == TENEBRA_OK && rule != NULL)
        code = tn_fit_apply(&fit, source, resized, error);
    tn_image_free(&inside);
    if (code == TENEBRA_OK && seen != NULL)
        *seen = cut_region(&region, &fit);
    return code;
}

tenebra_code tn_reasoner_resize(const tn_reasoner *reasoner, const tenebra_part *part, const tn_image *image, tn_image *resized,
                                tn_region *seen, tenebra_error *error)
{
    return resize_inside(reasoner, part, NULL, image, resized, seen, error);
}

tenebra_code tn_reasoner_resize_to(const tn_reasoner *reasoner, const tenebra_image_rule *rule, const tn_image *image, tn_image *resized,
                                   tn_region *seen, tenebra_error *error)
{
    return resize_inside(reasoner, NULL, rule, image, resized, seen, error);
}
