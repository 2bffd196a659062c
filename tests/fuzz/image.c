/* Fuzz target: image files with hostile bytes, and everything that is done with an image afterwards.
 *
 * Decodes with small caps, as stored and upright; resizes the result to 56 x 56; cuts patches. The EXIF
 * readers also get the bytes directly, because few inputs reach them inside a container. */
#include "image/decode.h"
#include "image/exif.h"
#include "image/orientation.h"
#include "image/patches.h"

#include <math.h>
#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size);

static const tn_image_limits limits = { 1 << 20, 1 << 16, 1 << 12, 1 << 20 };

static void require(bool truth)
{
    if (!truth)
        abort();
}

static void check_patches(const tn_patch_config *config, const tn_image *image)
{
    tn_patches patches;
    tenebra_error error = { 0 };
    tenebra_code code = tn_patches_make(config, image, &patches, &error);
    require(code == error.code);
    require((code == TENEBRA_OK) == (patches.values != NULL));
    for (size_t i = 0; i < patches.count * patches.columns; i++)
        require(fabs((double)patches.values[i]) < 3.0);
    tn_patches_free(&patches);
}

static void check_picture(const tn_image *image)
{
    require(image->channels == 3 && image->width * image->height <= limits.max_pixels);
    static const tn_resample filters[] = { TN_RESAMPLE_BICUBIC, TN_RESAMPLE_LANCZOS };
    tn_patch_config config = tn_patch_config_default();
    config.max_pixels = 4 * config.min_pixels;
    for (size_t i = 0; i < 2; i++) {
        tn_image square;
        require(tn_image_resize(image, 56, 56, filters[i], &square, NULL) == TENEBRA_OK);
        check_patches(&config, &square);
        tn_image_free(&square);
    }
    check_patches(&config, image); /* refused if the image is too long and narrow */
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size)
{
    unsigned orientation = 1;
    tn_exif_orientation(bytes, size, &orientation);
    require(orientation >= 1 && orientation <= 8);
    require(tn_orientation_of(bytes, size, &orientation, NULL) == TENEBRA_OK && orientation - 1 < 8);
    tn_image stored, upright;
    tenebra_error error = { 0 };
    tenebra_code code = tn_image_decode(&stored, bytes, size, &limits, false, "input", &error);
    require(code == error.code);
    require((code == TENEBRA_OK) == (stored.pixels != NULL));
    require(tn_image_decode(&upright, bytes, size, &limits, true, "input", NULL) == code);
    if (code == TENEBRA_OK) {
        require(stored.width * stored.height == upright.width * upright.height);
        check_picture(&upright);
    }
    tn_image_free(&stored);
    tn_image_free(&upright);
    return 0;
}
