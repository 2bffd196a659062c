/* WebP through libwebp. */
#include "image/codec.h"

#include <string.h>

#include <webp/decode.h>

static tenebra_code explain(VP8StatusCode status, const tn_source *source, tenebra_error *error)
{
    switch (status) {
    case VP8_STATUS_OUT_OF_MEMORY:
        return tn_fail(error, TENEBRA_ERROR_MEMORY, source->name, "no memory to decode the WebP");
    case VP8_STATUS_UNSUPPORTED_FEATURE:
        return tn_fail(error, TENEBRA_ERROR_UNSUPPORTED, source->name, "is a kind of WebP that cannot be read");
    case VP8_STATUS_NOT_ENOUGH_DATA:
    case VP8_STATUS_SUSPENDED:
        return tn_fail(error, TENEBRA_ERROR_FORMAT, source->name, "is an incomplete WebP: the file ends too early");
    default:
        return tn_fail(error, TENEBRA_ERROR_FORMAT, source->name, "is a damaged WebP (libwebp status %d)",
                       (int)status);
    }
}

tenebra_code tn_webp_decode(tn_image *image, const tn_source *source, tenebra_error *error)
{
    memset(image, 0, sizeof *image);
    WebPDecoderConfig config;
    if (!WebPInitDecoderConfig(&config))
        return tn_fail(error, TENEBRA_ERROR_UNSUPPORTED, source->name,
                       "cannot be decoded: libwebp differs from the one this was built for");
    VP8StatusCode status = WebPGetFeatures(source->bytes, source->length, &config.input);
    if (status != VP8_STATUS_OK)
        return explain(status, source, error);
    if (config.input.has_animation)
        return tn_fail(error, TENEBRA_ERROR_UNSUPPORTED, source->name,
                       "is an animated WebP; give a still image, such as one of its frames");
    size_t width = (size_t)config.input.width, height = (size_t)config.input.height;
    size_t channels = config.input.has_alpha ? 4 : 3;
    TN_TRY(tn_source_check_size(source, width, height, error));
    TN_TRY(tn_image_new(image, width, height, channels, error));
    config.output.colorspace = channels == 4 ? MODE_RGBA : MODE_RGB;
    config.output.is_external_memory = 1;
    config.output.u.RGBA.rgba = image->pixels;
    config.output.u.RGBA.stride = (int)(width * channels);
    config.output.u.RGBA.size = width * height * channels;
    status = WebPDecode(source->bytes, source->length, &config);
    WebPFreeDecBuffer(&config.output);
    if (status != VP8_STATUS_OK) {
        tn_image_free(image);
        return explain(status, source, error);
    }
    tn_image_flatten(image, TN_BLEND_ROUND);
    return TENEBRA_OK;
}
