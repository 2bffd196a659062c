/* Error records. The record itself is public (include/tenebra.h); this file adds the two ways in which the library
 * fills it and passes it on. */
#ifndef TN_BASE_STATUS_H
#define TN_BASE_STATUS_H

#include "tenebra.h"

#if defined(__GNUC__)
#define TN_PRINTF(format_index, first_argument) \
    __attribute__((format(printf, format_index, first_argument)))
#else
#define TN_PRINTF(format_index, first_argument)
#endif

/* Fills `error` (may be NULL) and returns `code`, so that a caller can write
 *     return tn_fail(error, TENEBRA_ERROR_FORMAT, path, "the header ends after %zu bytes", n);
 * `where` names the file, option or tensor (NULL if there is nothing to name). Texts that are too long are truncated.
 * Threads: any. */
tenebra_code tn_fail(tenebra_error *error, tenebra_code code, const char *where,
                     const char *sentence, ...) TN_PRINTF(4, 5);

/* The same for a failed allocation. */
tenebra_code tn_fail_memory(tenebra_error *error, const char *where);

/* Makes room in a list, `TYPE *list`, for one more than `count` items, which must have grown by this alone: its capacity is the
 * next power of two. The list stays as it is on failure. Errors: MEMORY. */
#define TN_GROW(list, count, where, error) tn_grow(&(list), count, sizeof *(list), where, error)
tenebra_code tn_grow(void *list, size_t count, size_t size, const char *where, tenebra_error *error);

/* Returns the code of `call` to the caller if it failed. */
#define TN_TRY(call)                      \
    do {                                  \
        tenebra_code tn_code_ = (call);   \
        if (tn_code_ != TENEBRA_OK)       \
            return tn_code_;              \
    } while (0)

#endif
