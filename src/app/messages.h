/* A conversation as JSON: a list of turns, as chat programs of these models write them. */
#ifndef TN_APP_MESSAGES_H
#define TN_APP_MESSAGES_H

#include "base/json.h"

typedef struct tn_messages {
    tenebra_message *turns; /* [turn_count] */
    size_t turn_count;
    tenebra_part *parts;    /* [part_count] of all turns; texts are borrowed from the JSON */
    size_t part_count;
    void **pictures;        /* [picture_count] bytes that stood in the JSON itself */
    size_t picture_count;
} tn_messages;

/* Makes turns of a list of {"role": ..., "content": TEXT or a list of parts}. A part is {"type": "text", "text": ...} or
 * {"type": "image", "image": PLACE} or {"type": "image_url", "image_url": PLACE or {"url": PLACE}}; "type" may be left out. A
 * place is a path, file://PATH, or data:image/...;base64,... A picture may have "min_pixels" and "max_pixels", or
 * "resized_height" and "resized_width" (tenebra_part). `name` stands in error records.
 * Every other key and kind is an error that names it: FORMAT, or UNSUPPORTED where it is known what it means. Also LIMIT,
 * MEMORY. `json` must live as long as *messages, which is to be freed in any case. */
tenebra_code tn_messages_read(tn_messages *messages, const json_t *json, const char *name, tenebra_error *error);
void tn_messages_free(tn_messages *messages);

#endif
