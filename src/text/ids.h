/* A growable list of token ids. */
#ifndef TN_TEXT_IDS_H
#define TN_TEXT_IDS_H

#include "base/status.h"

/* Zeroed is empty. `ids` is owned. */
typedef struct tn_ids {
    int32_t *ids;
    size_t count, capacity;
} tn_ids;

/* Appends. On failure the list is as before. Errors: MEMORY. Threads: one at a time a list. */
tenebra_code tn_ids_push(tn_ids *list, int32_t id, tenebra_error *error);
tenebra_code tn_ids_append(tn_ids *list, const int32_t *ids, size_t count, tenebra_error *error);

/* Replaces the i-th `placeholder` by counts[i] copies of itself: one chat placeholder becomes as
 * many rows as its picture has embeddings (t*h*w / merge_size^2). `names` of what is counted stands
 * in the error, e.g. "images". Errors: MISMATCH (the list does not hold exactly `count`
 * placeholders), ARGUMENT (a count of 0), LIMIT, MEMORY; the list is then unchanged. */
tenebra_code tn_ids_expand(tn_ids *list, int32_t placeholder, const size_t *counts, size_t count,
                           const char *names, tenebra_error *error);

/* Frees and empties. A zeroed list may be freed. */
void tn_ids_free(tn_ids *list);

#endif
