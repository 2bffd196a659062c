/* Memory of a data set: texts and lists that live as long as the data set; and Python's definition of white space. */
#ifndef TN_DATA_STRINGS_H
#define TN_DATA_STRINGS_H

#include "base/status.h"

typedef struct tn_chunk tn_chunk;

/* A zeroed record is empty. */
typedef struct tn_strings {
    tn_chunk *chunks; /* the newest first */
} tn_strings;

/* `size` bytes, aligned for pointers, undefined contents; NULL without memory. Threads: one at a time. */
void *tn_strings_take(tn_strings *strings, size_t size);

/* A zero-terminated copy; NULL without memory. */
char *tn_strings_copy(tn_strings *strings, const char *text, size_t length);

/* Frees all. */
void tn_strings_free(tn_strings *strings);

/* Removes white space from both ends of the `*length` bytes at `*text`, as Python's str.strip() does: code points for
 * which str.isspace() holds. `left` false: the start is not changed. Bytes that are not UTF-8 are not white space. */
void tn_strip(const char **text, size_t *length, bool left);

/* True if `name` is one of the words of "a,b,c"; NULL contains every name. */
bool tn_is_listed(const char *list, const char *name);

#endif
