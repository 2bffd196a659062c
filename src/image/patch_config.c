#include "image/patches.h"

#include "base/checked.h"

#include <stdio.h>
#include <string.h>

enum {
    MAX_PATCH = 1024,
    MAX_MERGE = 64,
    MAX_FRAMES = 64,
    MAX_PIXELS = 1 << 28,
    MAX_FACTOR = 1 << 16,
    MAX_RATIO = 200 /* limit on the ratio of the sides, as in the reference */
};

tn_patch_config tn_patch_config_default(void)
{
    return (tn_patch_config){
        .patch_size = 14,
        .merge_size = 2,
        .temporal_patch_size = 2,
        .min_pixels = 56 * 56,
        .max_pixels = 28 * 28 * 1280,
        .rescale = 1.0 / 255.0,
        .mean = { 0.48145466, 0.4578275, 0.40821073 },
        .std = { 0.26862954, 0.26130258, 0.27577711 },
        .resample = TN_RESAMPLE_BICUBIC,
        .resize = true,
    };
}

/* "size": {...}; all its known forms give a minimum and a maximum number of pixels. */
static tenebra_code read_size(const json_t *json, const char *name, tn_patch_config *config, tenebra_error *error)
{
    const json_t *size = json_object_get(json, "size");
    if (size == NULL || json_is_null(size))
        return TENEBRA_OK;
    static const char *const keys[] = { "shortest_edge", "longest_edge", "min_pixels", "max_pixels" };
    bool known = false;
    for (size_t i = 0; i < 4; i++)
        known = known || json_object_get(size, keys[i]) != NULL;
    if (!known)
        return tn_fail(error, TENEBRA_ERROR_FORMAT, name, "\"size\" must be an object with shortest_edge and "
                       "longest_edge, or min_pixels and max_pixels");
    char inner[TN_JSON_PART];
    tn_json_part(inner, name, "size");
    for (size_t i = 0; i < 4; i++)
        TN_TRY(tn_json_size(size, keys[i], 1, MAX_PIXELS, i % 2 ? &config->max_pixels : &config->min_pixels, inner, error));
    return TENEBRA_OK;
}

/* Three numbers, or one for all channels. */
static tenebra_code read_channels(const json_t *json, const char *key, double minimum, double maximum,
                                  double values[3], const char *name, tenebra_error *error)
{
    const json_t *list = json_object_get(json, key);
    if (list == NULL || json_is_null(list))
        return TENEBRA_OK;
    bool one = json_is_number(list);
    if (!one && (!json_is_array(list) || json_array_size(list) != 3))
        return tn_fail(error, TENEBRA_ERROR_FORMAT, name, "\"%s\" must be a list of three numbers", key);
    for (size_t c = 0; c < 3; c++) {
        const json_t *item = one ? list : json_array_get(list, c);
        double value = json_number_value(item);
        if (!json_is_number(item) || !(value >= minimum && value <= maximum))
            return tn_fail(error, TENEBRA_ERROR_FORMAT, name, "\"%s\" must contain numbers from %g to %g", key, minimum,
                           maximum);
        values[c] = value;
    }
    return TENEBRA_OK;
}

tenebra_code tn_resample_read(const json_t *json, const char *name, tn_resample *resample, tenebra_error *error)
{
    size_t filter = *resample;
    TN_TRY(tn_json_size(json, "resample", 0, 5, &filter, name, error));
    if (filter < TN_RESAMPLE_LANCZOS || filter > TN_RESAMPLE_BOX)
        return tn_fail(error, TENEBRA_ERROR_UNSUPPORTED, name, "\"resample\" is %zu (%s); use 1 Lanczos, "
                       "2 bilinear, 3 bicubic or 4 box", filter, filter == 0 ? "nearest" : "Hamming");
    *resample = (tn_resample)filter;
    return TENEBRA_OK;
}

tenebra_code tn_pixels_read(const json_t *json, const char *name, tn_patch_config *config, tenebra_error *error)
{
    bool rescale = true, normalize = true;
    TN_TRY(tn_json_bool(json, "do_rescale", &rescale, name, error));
    TN_TRY(tn_json_bool(json, "do_normalize", &normalize, name, error));
    TN_TRY(tn_json_number(json, "rescale_factor", 1e-9, 1e9, &config->rescale, name, error));
    TN_TRY(read_channels(json, "image_mean", -1e9, 1e9, config->mean, name, error));
    TN_TRY(read_channels(json, "image_std", 1e-9, 1e9, config->std, name, error));
    if (!rescale)
        config->rescale = 1.0;
    for (size_t c = 0; c < 3 && !normalize; c++) {
        config->mean[c] = 0.0;
        config->std[c] = 1.0;
    }
    return TENEBRA_OK;
}

tenebra_code tn_patch_config_read(const json_t *json, const char *name, tn_patch_config *config,
                                  tenebra_error *error)
{
    *config = tn_patch_config_default();
    if (!json_is_object(json))
        return tn_fail(error, TENEBRA_ERROR_FORMAT, name, "must be a JSON object");
    TN_TRY(tn_json_size(json, "patch_size", 1, MAX_PATCH, &config->patch_size, name, error));
    TN_TRY(tn_json_size(json, "merge_size", 1, MAX_MERGE, &config->merge_size, name, error));
    TN_TRY(tn_json_size(json, "temporal_patch_size", 1, MAX_FRAMES, &config->temporal_patch_size, name, error));
    TN_TRY(read_size(json, name, config, error));
    TN_TRY(tn_json_size(json, "min_pixels", 1, MAX_PIXELS, &config->min_pixels, name, error));
    TN_TRY(tn_json_size(json, "max_pixels", 1, MAX_PIXELS, &config->max_pixels, name, error));
    if (config->min_pixels > config->max_pixels)
        return tn_fail(error, TENEBRA_ERROR_FORMAT, name, "asks for at least %zu and at most %zu pixels",
                       config->min_pixels, config->max_pixels);
    TN_TRY(tn_json_bool(json, "do_resize", &config->resize, name, error));
    TN_TRY(tn_resample_read(json, name, &config->resample, error));
    return tn_pixels_read(json, name, config, error);
}

void tn_patch_config_note(const json_t *json, const char *name, const char *prefix, tn_notes *notes)
{
    static const char *const keys[] = {
        "patch_size", "merge_size", "temporal_patch_size", "size", "min_pixels", "max_pixels", "do_resize", "resample",
        "do_rescale", "rescale_factor", "do_normalize", "image_mean", "image_std", "trim_frame",
        /* no effect on the result: images are already RGB here */
        "do_convert_rgb=true", "do_center_crop=false", "do_pad=false", "image_processor_type", "feature_extractor_type",
        "processor_class", "data_format", "input_data_format", "device", "disable_grouping", "return_tensors",
        "default_to_square", NULL
    };
    static const char *const size_keys[] = { "shortest_edge", "longest_edge", "min_pixels", "max_pixels", NULL };
    char path[64];
    snprintf(path, sizeof path, "%s%ssize", prefix ? prefix : "", prefix ? "." : "");
    tn_notes_unknown(notes, json, keys, name, prefix);
    tn_notes_unknown(notes, json_object_get(json, "size"), size_keys, name, path);
}

static tenebra_code check_request(size_t height, size_t width, size_t factor, size_t min_pixels,
                                  size_t max_pixels, tenebra_error *error)
{
    if (height == 0 || width == 0 || height > TN_IMAGE_SIDE_MAX || width > TN_IMAGE_SIDE_MAX)
        return tn_fail(error, TENEBRA_ERROR_ARGUMENT, "image", "an image of %zu x %zu pixels is not possible; "
                       "sides go from 1 to %d", width, height, TN_IMAGE_SIDE_MAX);
    if (tn_max(height, width) > MAX_RATIO * tn_min(height, width))
        return tn_fail(error, TENEBRA_ERROR_ARGUMENT, "image", "%zu x %zu pixels are too long and narrow: one side "
                       "is more than %d times the other; crop the image", width, height, MAX_RATIO);
    if (factor == 0 || factor > MAX_FACTOR || max_pixels == 0 || max_pixels > MAX_PIXELS ||
        min_pixels > max_pixels)
        return tn_fail(error, TENEBRA_ERROR_ARGUMENT, "image", "no size is a multiple of %zu and has %zu to %zu "
                       "pixels", factor, min_pixels, max_pixels);
    return TENEBRA_OK;
}

/* A rounded quotient, as a multiple of the factor, at least one. */
static size_t multiple(double quotient, size_t factor)
{
    return quotient >= 1.0 ? (size_t)quotient * factor : factor;
}

tenebra_code tn_smart_resize(size_t height, size_t width, size_t factor, size_t min_pixels, size_t max_pixels,
                             size_t *new_height, size_t *new_width, tenebra_error *error)
{
    TN_TRY(check_request(height, width, factor, min_pixels, max_pixels, error));
    double h = (double)height, w = (double)width, f = (double)factor;
    *new_height = multiple(rint(h / f), factor);
    *new_width = multiple(rint(w / f), factor);
    size_t pixels = *new_height * *new_width; /* below 2^42 */
    if (pixels > max_pixels) {
        double beta = sqrt(h * w / (double)max_pixels);
        *new_height = multiple(floor(h / beta / f), factor);
        *new_width = multiple(floor(w / beta / f), factor);
    } else if (pixels < min_pixels) {
        double beta = sqrt((double)min_pixels / (h * w));
        *new_height = multiple(ceil(h * beta / f), factor);
        *new_width = multiple(ceil(w * beta / f), factor);
    }
    return TENEBRA_OK;
}
