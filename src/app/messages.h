/* A conversation as JSON: a list of turns, in the form that chat programs for these models use. */
#ifndef TN_APP_MESSAGES_H
#define TN_APP_MESSAGES_H

#include "base/json.h"

typedef struct tn_messages {
    tenebra_message *turns; /* [turn_count] */
    size_t turn_count;
    tenebra_part *parts;    /* [part_count] of all turns; texts are borrowed from the JSON */
    size_t part_count;
    void **pictures;        /* [picture_count] image bytes that were in the JSON itself */
    size_t picture_count;
} tn_messages;

/* Converts a list of {"role": ..., "content": TEXT or a list of parts} to turns. A part is {"type": "text", "text":
 * ...} or {"type": "image", "image": PLACE} or {"type": "image_url", "image_url": PLACE or {"url": PLACE}}; "type" may
 * be left out. A place is a path, file://PATH, or data:image/...;base64,... An image may have "min_pixels" and
 * "max_pixels", or "resized_height" and "resized_width" (tenebra_part). `name` appears in error records. Every other
 * key and type is an error that names it: FORMAT, or UNSUPPORTED if its meaning is known. Also LIMIT, MEMORY. `json`
 * must live as long as *messages, which must always be freed. */
tenebra_code tn_messages_read(tn_messages *messages, const json_t *json, const char *name, tenebra_error *error);
void tn_messages_free(tn_messages *messages);

#endif
