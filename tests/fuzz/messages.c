/* Fuzz target: conversations as `tenebra run --messages` reads them. What is accepted must be a request that can be asked: turns
 * with roles and parts, images with a path or bytes, sizes in pairs. What is not accepted must have an error sentence. */
#include "app/messages.h"

#include <stdint.h>
#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size);

static void require(bool truth)
{
    if (!truth)
        abort();
}

static void check_part(const tenebra_part *part)
{
    size_t sum = 0;
    require(part->kind == TENEBRA_PART_IMAGE_BYTES ? part->bytes != NULL && part->length > 0 : part->text != NULL);
    for (size_t i = 0; part->kind == TENEBRA_PART_IMAGE_BYTES && i < part->length; i++)
        sum += ((const uint8_t *)part->bytes)[i];
    require(sum <= 255 * part->length);
    require((part->resized_width == 0) == (part->resized_height == 0));
    require(part->kind != TENEBRA_PART_TEXT || (part->resized_width | part->min_pixels | part->max_pixels) == 0);
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size)
{
    json_t *json;
    tn_json_parse(bytes, size, "input", &json, NULL);
    if (json == NULL)
        return 0;
    tn_messages messages;
    tenebra_error error = { 0 };
    tenebra_code code = tn_messages_read(&messages, json, "input", &error);
    require(code == error.code && (code == TENEBRA_OK) == (error.sentence[0] == '\0'));
    for (size_t i = 0; code == TENEBRA_OK && i < messages.turn_count; i++) {
        const tenebra_message *turn = &messages.turns[i];
        require(turn->role != NULL && (turn->parts != NULL || turn->part_count == 0));
        for (size_t k = 0; k < turn->part_count; k++)
            check_part(&turn->parts[k]);
    }
    tn_messages_free(&messages);
    json_decref(json);
    return 0;
}
