#include "report/picture.h"

#include "base/checked.h"
#include "base/digest.h"
#include "base/file.h"
#include "image/decode.h"
#include "image/orientation.h"
#include "image/png_write.h"
#include "image/resize.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* Bytes and pixels up to which a file is included unchanged; pixels to which a longer side is reduced. */
enum { KEPT_BYTES = 160 << 10, KEPT_PIXELS = 4000000, SIDE = 768, KEY_SIZE = 2 * 32 + 3 };

/* The MIME type of a file; NULL if it cannot be included unchanged. */
static const char *mime_of(const tn_file *file)
{
    if (file->size > 8 && memcmp(file->data, "\x89PNG\r\n\x1A\n", 8) == 0)
        return "image/png";
    if (file->size > 3 && memcmp(file->data, "\xFF\xD8\xFF", 3) == 0)
        return "image/jpeg";
    if (file->size > 12 && memcmp(file->data, "RIFF", 4) == 0 && memcmp(file->data + 8, "WEBP", 4) == 0)
        return "image/webp";
    return NULL;
}

static void make_key(char key[KEY_SIZE], const tn_file *file, bool apply_exif)
{
    tn_hash hash;
    tn_hash_start(&hash);
    tn_hash_add(&hash, file->data, file->size);
    tn_digest digest = tn_hash_finish(&hash);
    for (size_t i = 0; i < 4; i++)
        snprintf(key + 16 * i, KEY_SIZE - 16 * i, "%016llx", (unsigned long long)digest.words[i]);
    snprintf(key + 64, KEY_SIZE - 64, "%s", apply_exif ? "x" : "");
}

static tenebra_code write_uri(tn_text *uri, const char *mime, const void *bytes, size_t length, const char *path,
                              tenebra_error *error)
{
    tn_markup out = { 0 };
    tn_markup_format(&out, "data:%s;base64,", mime);
    tn_markup_base64(&out, bytes, length);
    if (out.full) {
        tn_markup_free(&out);
        return tn_fail_memory(error, path);
    }
    *uri = out.text;
    return TENEBRA_OK;
}

/* The decoded image as PNG, reduced if it is large. */
static tenebra_code write_png(tn_text *uri, const tn_image *image, const char *path, tenebra_error *error)
{
    size_t longer = tn_max(image->width, image->height), length;
    unsigned char *bytes;
    tn_image small = { 0 };
    if (longer > SIDE)
        TN_TRY(tn_image_resize(image, tn_max(1, image->width * SIDE / longer), tn_max(1, image->height * SIDE / longer),
                               TN_RESAMPLE_BICUBIC, &small, error));
    tenebra_code code = tn_png_encode(longer > SIDE ? &small : image, &bytes, &length, error);
    if (code == TENEBRA_OK)
        code = write_uri(uri, "image/png", bytes, length, path, error);
    free(bytes);
    tn_image_free(&small);
    return code;
}

static tenebra_code make_picture(tn_album_picture *picture, const tn_file *file, const char *path, bool apply_exif,
                                 tenebra_error *error)
{
    tn_image image;
    unsigned orientation;
    const char *mime = mime_of(file);
    TN_TRY(tn_orientation_of(file->data, file->size, &orientation, error));
    TN_TRY(tn_image_decode(&image, file->data, file->size, NULL, apply_exif, path, error));
    *picture = (tn_album_picture){ .width = image.width, .height = image.height };
    bool kept = mime != NULL && orientation == 1 && file->size <= KEPT_BYTES && image.width * image.height <= KEPT_PIXELS;
    tenebra_code code = kept ? write_uri(&picture->uri, mime, file->data, file->size, path, error)
                             : write_png(&picture->uri, &image, path, error);
    tn_image_free(&image);
    return code;
}

static tenebra_code keep_picture(tn_album *album, const tn_file *file, const char *key, const char *path, bool apply_exif,
                                 tenebra_error *error)
{
    TN_TRY(TN_GROW(album->items, album->count, path, error));
    tn_album_picture *last = &album->items[album->count];
    TN_TRY(make_picture(last, file, path, apply_exif, error));
    if (json_object_set_new(album->places, key, json_integer((json_int_t)album->count)) != 0) {
        tn_text_free(&last->uri);
        return tn_fail_memory(error, path);
    }
    album->bytes += last->uri.length;
    album->count++;
    return TENEBRA_OK;
}

tenebra_code tn_album_add(tn_album *album, const tenebra_part *picture, bool apply_exif, size_t *index, tenebra_error *error)
{
    char key[KEY_SIZE];
    bool in_memory = picture->kind == TENEBRA_PART_IMAGE_BYTES;
    const char *name = picture->text != NULL ? picture->text : "picture";
    tn_file file = { .data = picture->bytes, .size = picture->length };
    if (album->places == NULL && (album->places = json_object()) == NULL)
        return tn_fail_memory(error, name);
    if (!in_memory)
        TN_TRY(tn_file_read(&file, name, tn_image_limits_default().max_bytes, error));
    make_key(key, &file, apply_exif);
    const json_t *known = json_object_get(album->places, key);
    *index = known != NULL ? (size_t)json_integer_value(known) : album->count;
    tenebra_code code = known != NULL ? TENEBRA_OK : keep_picture(album, &file, key, name, apply_exif, error);
    if (!in_memory)
        tn_file_close(&file);
    return code;
}

void tn_album_cut(tn_album *album, size_t count)
{
    const char *key;
    json_t *place;
    void *next;
    while (album->count > count) {
        album->bytes -= album->items[--album->count].uri.length;
        tn_text_free(&album->items[album->count].uri);
    }
    if (album->places != NULL)
        json_object_foreach_safe(album->places, next, key, place)
            if ((size_t)json_integer_value(place) >= count)
                json_object_del(album->places, key);
}

void tn_album_free(tn_album *album)
{
    tn_album_cut(album, 0);
    free(album->items);
    json_decref(album->places);
    *album = (tn_album){ 0 };
}

void tn_album_write(const tn_album *album, tn_markup *out)
{
    tn_markup_put(out, "[");
    for (size_t i = 0; i < album->count; i++) {
        const tn_album_picture *picture = &album->items[i];
        tn_markup_format(out, "%s[%zu,%zu,\"", i > 0 ? "," : "", picture->width, picture->height);
        tn_markup_bytes(out, picture->uri.data, picture->uri.length); /* base64 and a MIME type: nothing to escape */
        tn_markup_put(out, "\"]");
    }
    tn_markup_put(out, "]");
}
