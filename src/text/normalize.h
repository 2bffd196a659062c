/* Text whose bytes remember where they came from, and Unicode normalisation form C that keeps it. */
#ifndef TN_TEXT_NORMALIZE_H
#define TN_TEXT_NORMALIZE_H

#include "text/utf8.h"

/* text.length == marks.length. The mark of a byte is 0, or names the control span that it belongs
 * to: neighbouring control spans have different marks. A character made of several sources has 0. */
typedef struct tn_marked {
    tn_text text, marks;
} tn_marked;

tenebra_code tn_marked_append(tn_marked *marked, const char *bytes, size_t length, char mark,
                              tenebra_error *error);
void tn_marked_free(tn_marked *marked);

/* Appends `bytes` with U+FFFD (mark 0) for each maximal ill-formed part. */
tenebra_code tn_marked_append_lossy(tn_marked *out, const char *bytes, const char *marks, size_t length,
                                    tenebra_error *error);

/* Appends the normalisation form C of `bytes`, valid UTF-8, in near linear time for any input.
 * Source: Unicode Standard Annex 15. Errors: MEMORY, LIMIT. Threads: any. */
tenebra_code tn_normalize_nfc(tn_marked *out, const char *bytes, const char *marks, size_t length,
                              tenebra_error *error);

#endif
