/* Text whose bytes record their origin, and functions that preserve it: Unicode normalisation form C, lower case. */
#ifndef TN_TEXT_NORMALIZE_H
#define TN_TEXT_NORMALIZE_H

#include "text/utf8.h"

/* text.length == marks.length. The mark of a byte is 0, or identifies the control span to which it belongs:
 * neighbouring control spans have different marks. A character made from several sources has 0. */
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

/* Appends `bytes`, valid UTF-8, with each character in lower case independently of its neighbours: a final sigma is
 * like any other. Source: `Lowercase` of Hugging Face tokenizers. Errors: MEMORY. Threads: any. */
tenebra_code tn_normalize_lower(tn_marked *out, const char *bytes, const char *marks, size_t length, tenebra_error *error);

/* Changes that a tokenizer may make to text before it is split. */
typedef tenebra_code (*tn_normal_form)(tn_marked *out, const char *bytes, const char *marks, size_t length, tenebra_error *error);

enum { TN_NORMAL_FORMS_MAX = 4 };

#endif
