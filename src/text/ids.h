/* A growable list of token ids, with the positions of images among them. */
#ifndef TN_TEXT_IDS_H
#define TN_TEXT_IDS_H

#include "base/status.h"

/* Zeroed is empty. `ids` is owned. */
typedef struct tn_ids {
    int32_t *ids;
    size_t count, capacity;
    size_t *pictures; /* [picture_count] positions of ids that mark an image (TN_CONTROL_PICTURE), ascending; owned */
    size_t picture_count, picture_capacity;
} tn_ids;

/* Appends. On failure the list is as before. Errors: MEMORY. Threads: one at a time a list. */
tenebra_code tn_ids_push(tn_ids *list, int32_t id, tenebra_error *error);
tenebra_code tn_ids_append(tn_ids *list, const int32_t *ids, size_t count, tenebra_error *error);

/* The same for one that marks an image. */
tenebra_code tn_ids_push_picture(tn_ids *list, int32_t id, tenebra_error *error);

/* Frees and empties. A zeroed list may be freed. */
void tn_ids_free(tn_ids *list);

#endif
