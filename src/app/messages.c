#include "app/messages.h"

#include "base/checked.h"
#include "image/image.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

enum { TURNS_MAX = 256 };

/* A place in the conversation, for error sentences. */
typedef struct place {
    const char *file;
    size_t turn, part; /* from 1; part 0: the turn itself */
} place;

typedef struct place_name {
    char text[64];
} place_name;

static place_name name_of(const place *at)
{
    place_name name;
    if (at->part > 0)
        snprintf(name.text, sizeof name.text, "part %zu of turn %zu", at->part, at->turn);
    else
        snprintf(name.text, sizeof name.text, "turn %zu", at->turn);
    return name;
}

/* ----------------------------------------------------------------- keys -- */

/* Keys of other programs, and what to use here instead. */
static const struct known_key {
    const char *key, *advice;
} known_keys[] = {
    { "video", "videos are not read; give frames as images" },
    { "video_url", "videos are not read; give frames as images" },
    { "audio", "audio is not read" },
    { "input_audio", "audio is not read" },
    { "fps", "videos are not read" },
    { "nframes", "videos are not read" },
    { "tool_calls", "calls of tools are not read; write them into the text" },
    { "tool_call_id", "calls of tools are not read; write them into the text" },
    { "detail", "sizes of images are \"min_pixels\", \"max_pixels\", \"resized_height\" and \"resized_width\"" },
};

/* Refuses the first key that is not in `keys` (ends with NULL). */
static tenebra_code check_keys(const json_t *object, const char *const *keys, const place *at, tenebra_error *error)
{
    const char *key;
    json_t *value;
    json_object_foreach((json_t *)(uintptr_t)object, key, value)
    {
        size_t i = 0;
        while (keys[i] != NULL && strcmp(keys[i], key) != 0)
            i++;
        if (keys[i] != NULL)
            continue;
        for (size_t k = 0; k < sizeof known_keys / sizeof *known_keys; k++)
            if (strcmp(known_keys[k].key, key) == 0)
                return tn_fail(error, TENEBRA_ERROR_UNSUPPORTED, at->file, "%s has the key \"%s\": %s", name_of(at).text, key,
                               known_keys[k].advice);
        char known[160] = "";
        for (i = 0; keys[i] != NULL; i++)
            snprintf(known + strlen(known), sizeof known - strlen(known), "%s%s", i > 0 ? ", " : "", keys[i]);
        return tn_fail(error, TENEBRA_ERROR_FORMAT, at->file, "%s has the key \"%.100s\", which is not one of %s", name_of(at).text,
                       key, known);
    }
    return TENEBRA_OK;
}

/* ------------------------------------------------------------- pictures -- */

static int sextet(unsigned char c)
{
    return c >= 'A' && c <= 'Z'   ? c - 'A'
           : c >= 'a' && c <= 'z' ? c - 'a' + 26
           : c >= '0' && c <= '9' ? c - '0' + 52
           : c == '+' || c == '-' ? 62
           : c == '/' || c == '_' ? 63
                                  : -1;
}

/* Decodes base64 (RFC 4648, sections 4 and 5), padded or not, into `bytes` of at least 3/4 of the length. False if it
 * is invalid. */
static bool decode_base64(const char *text, size_t length, unsigned char *bytes, size_t *count)
{
    while (length > 0 && text[length - 1] == '=')
        length--;
    unsigned bits = 0, held = 0;
    *count = 0;
    for (size_t i = 0; i < length; i++) {
        int value = sextet((unsigned char)text[i]);
        if (value < 0)
            return false;
        bits = bits << 6 | (unsigned)value;
        held += 6;
        if (held >= 8) {
            held -= 8;
            bytes[(*count)++] = (unsigned char)(bits >> held);
            bits &= (1u << held) - 1;
        }
    }
    return length % 4 != 1 && bits == 0 && *count > 0;
}

/* data:image/...;base64,... */
static tenebra_code read_data(tn_messages *messages, tenebra_part *part, const char *uri, const place *at, tenebra_error *error)
{
    const char *comma = strchr(uri, ','), *mark = ";base64";
    size_t head = comma != NULL ? (size_t)(comma - uri) : 0, count;
    if (head < strlen(mark) || strncasecmp(comma - strlen(mark), mark, strlen(mark)) != 0)
        return tn_fail(error, TENEBRA_ERROR_FORMAT, at->file, "%s: an image in the request must be base64, data:image/...;base64,...",
                       name_of(at).text);
    const char *text = comma + 1;
    size_t length = strlen(text), limit = tn_image_limits_default().max_bytes;
    if (length / 4 > limit / 3)
        return tn_fail(error, TENEBRA_ERROR_LIMIT, at->file, "%s: its image has more than %zu bytes", name_of(at).text, limit);
    TN_TRY(TN_GROW(messages->pictures, messages->picture_count, at->file, error));
    unsigned char *bytes = malloc(length / 4 * 3 + 3);
    if (bytes == NULL)
        return tn_fail(error, TENEBRA_ERROR_MEMORY, at->file, "no memory for an image");
    messages->pictures[messages->picture_count++] = bytes;
    if (!decode_base64(text, length, bytes, &count))
        return tn_fail(error, TENEBRA_ERROR_FORMAT, at->file, "%s: what follows \"base64,\" is not base64", name_of(at).text);
    part->kind = TENEBRA_PART_IMAGE_BYTES;
    part->bytes = bytes;
    part->length = count;
    return TENEBRA_OK;
}

static tenebra_code read_place(tn_messages *messages, tenebra_part *part, const char *from, const place *at, tenebra_error *error)
{
    static const char file[] = "file://", data[] = "data:";
    if (strncasecmp(from, data, strlen(data)) == 0)
        return read_data(messages, part, from, at, error);
    if (strncasecmp(from, "http://", 7) == 0 || strncasecmp(from, "https://", 8) == 0)
        return tn_fail(error, TENEBRA_ERROR_UNSUPPORTED, at->file, "%s: nothing is fetched from a network; load '%.200s' and give "
                       "its path", name_of(at).text, from);
    part->kind = TENEBRA_PART_IMAGE_FILE;
    part->text = strncasecmp(from, file, strlen(file)) == 0 ? from + strlen(file) : from;
    return TENEBRA_OK;
}

/* "image" or "image_url": a string, or an object with "url". */
static tenebra_code read_picture(tn_messages *messages, const json_t *json, tenebra_part *part, const place *at, tenebra_error *error)
{
    static const char *const url_keys[] = { "url", "detail", NULL };
    const json_t *from = json_object_get(json, "image"), *url = json_object_get(json, "image_url");
    if (from != NULL && url != NULL)
        return tn_fail(error, TENEBRA_ERROR_FORMAT, at->file, "%s has both \"image\" and \"image_url\"; a part is one image",
                       name_of(at).text);
    from = from != NULL ? from : url;
    if (json_is_object(from)) {
        TN_TRY(check_keys(from, url_keys, at, error));
        const json_t *detail = json_object_get(from, "detail");
        if (detail != NULL && !(json_is_string(detail) && strcmp(json_string_value(detail), "auto") == 0))
            TN_TRY(check_keys(from, (const char *const[]){ "url", NULL }, at, error));
        from = json_object_get(from, "url");
    }
    if (!json_is_string(from) || json_string_length(from) != strlen(json_string_value(from)) || json_string_length(from) == 0)
        return tn_fail(error, TENEBRA_ERROR_FORMAT, at->file, "%s: an image is a path, file://PATH, or data:image/...;base64,...",
                       name_of(at).text);
    TN_TRY(read_place(messages, part, json_string_value(from), at, error));
    const struct {
        const char *key;
        size_t *target, limit;
    } sizes[] = {
        { "resized_width", &part->resized_width, TN_IMAGE_SIDE_MAX },
        { "resized_height", &part->resized_height, TN_IMAGE_SIDE_MAX },
        { "min_pixels", &part->min_pixels, TN_IMAGE_AREA_MAX },
        { "max_pixels", &part->max_pixels, TN_IMAGE_AREA_MAX },
    };
    for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++)
        TN_TRY(tn_json_size(json, sizes[i].key, 1, sizes[i].limit, sizes[i].target, at->file, error));
    if ((part->resized_width > 0) != (part->resized_height > 0) ||
        (part->resized_width > 0 && (part->min_pixels > 0 || part->max_pixels > 0)))
        return tn_fail(error, TENEBRA_ERROR_FORMAT, at->file, "%s: a size is \"resized_height\" with \"resized_width\", or bounds "
                       "\"min_pixels\" and \"max_pixels\", not both", name_of(at).text);
    return TENEBRA_OK;
}

/* ---------------------------------------------------------------- turns -- */

static tenebra_code read_part(tn_messages *messages, const json_t *json, tenebra_part *part, const place *at, tenebra_error *error)
{
    static const char *const text_keys[] = { "type", "text", NULL };
    static const char *const picture_keys[] = { "type", "image", "image_url", "min_pixels", "max_pixels", "resized_height",
                                                "resized_width", NULL };
    const char *type = NULL;
    TN_TRY(tn_json_string(json, "type", &type, at->file, error));
    const json_t *text = json_object_get(json, "text");
    bool picture = json_object_get(json, "image") != NULL || json_object_get(json, "image_url") != NULL;
    bool named_text = type != NULL && strcmp(type, "text") == 0;
    bool named_picture = type != NULL && (strcmp(type, "image") == 0 || strcmp(type, "image_url") == 0);
    if (json_is_object(json) && type != NULL && !named_text && !named_picture)
        return tn_fail(error, TENEBRA_ERROR_UNSUPPORTED, at->file, "%s has the type \"%.100s\"; text and image can be read",
                       name_of(at).text, type);
    if (picture && text == NULL && !named_text) {
        TN_TRY(check_keys(json, picture_keys, at, error));
        return read_picture(messages, json, part, at, error);
    }
    if (json_is_string(text) && !picture && !named_picture) {
        TN_TRY(check_keys(json, text_keys, at, error));
        *part = (tenebra_part){ .kind = TENEBRA_PART_TEXT, .text = json_string_value(text), .length = json_string_length(text) };
        return TENEBRA_OK;
    }
    if (json_is_object(json) && !picture && text == NULL)
        TN_TRY(check_keys(json, picture_keys, at, error)); /* another key may show what was meant */
    return tn_fail(error, TENEBRA_ERROR_FORMAT, at->file, "%s must be {\"type\": \"text\", \"text\": ...} or {\"type\": \"image\", "
                   "\"image\": PATH}", name_of(at).text);
}

static tenebra_code read_turn(tn_messages *messages, const json_t *turn, place *at, tenebra_error *error)
{
    static const char *const keys[] = { "role", "content", NULL };
    const char *role = NULL;
    const json_t *content = json_object_get(turn, "content");
    TN_TRY(tn_json_string(turn, "role", &role, at->file, error));
    if (json_is_object(turn))
        TN_TRY(check_keys(turn, keys, at, error));
    if (role == NULL || !(json_is_string(content) || json_is_array(content)))
        return tn_fail(error, TENEBRA_ERROR_FORMAT, at->file, "%s must have \"role\" and \"content\" (text, or a list of parts)",
                       name_of(at).text);
    tenebra_part *first = &messages->parts[messages->part_count];
    size_t count = json_is_string(content) ? 1 : json_array_size(content);
    for (size_t i = 0; i < count; i++) {
        tenebra_part *part = &messages->parts[messages->part_count++];
        at->part = i + 1;
        if (json_is_string(content))
            *part = (tenebra_part){ .kind = TENEBRA_PART_TEXT, .text = json_string_value(content),
                                    .length = json_string_length(content) };
        else
            TN_TRY(read_part(messages, json_array_get(content, i), part, at, error));
    }
    messages->turns[messages->turn_count++] = (tenebra_message){ role, first, count };
    return TENEBRA_OK;
}

tenebra_code tn_messages_read(tn_messages *messages, const json_t *json, const char *name, tenebra_error *error)
{
    *messages = (tn_messages){ 0 };
    size_t turns = json_array_size(json), parts = 0;
    if (!json_is_array(json) || turns == 0 || turns > TURNS_MAX)
        return tn_fail(error, TENEBRA_ERROR_FORMAT, name, "must contain a list of 1 to %d turns", TURNS_MAX);
    for (size_t i = 0; i < turns; i++) {
        const json_t *content = json_object_get(json_array_get(json, i), "content");
        parts += json_is_array(content) ? json_array_size(content) : 1;
    }
    messages->turns = calloc(turns, sizeof *messages->turns);
    messages->parts = calloc(parts + 1, sizeof *messages->parts);
    if (messages->turns == NULL || messages->parts == NULL)
        return tn_fail(error, TENEBRA_ERROR_MEMORY, name, "no memory");
    for (size_t i = 0; i < turns; i++) {
        place at = { name, i + 1, 0 };
        TN_TRY(read_turn(messages, json_array_get(json, i), &at, error));
    }
    return TENEBRA_OK;
}

void tn_messages_free(tn_messages *messages)
{
    for (size_t i = 0; i < messages->picture_count; i++)
        free(messages->pictures[i]);
    free(messages->pictures);
    free(messages->turns);
    free(messages->parts);
    *messages = (tn_messages){ 0 };
}
