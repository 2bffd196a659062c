/* Classes of characters as pre-tokenizers use them. The reference libraries follow Unicode 16, newer
 * than the tables of the installed regular-expression library, hence our own. */
#ifndef TN_TEXT_UNICODE_H
#define TN_TEXT_UNICODE_H

#include <stddef.h>
#include <stdint.h>

typedef enum tn_char_class {
    TN_OTHER,
    TN_SPACE,  /* White_Space: U+0085 is one, U+180E, U+200B and U+FEFF are not */
    TN_LETTER, /* \p{L} */
    TN_NUMBER  /* \p{N} */
} tn_char_class;

typedef struct tn_code_range {
    int32_t begin, end; /* both included */
    tn_char_class kind;
} tn_code_range;

/* Ascending, disjoint; what lies between is TN_OTHER. Made by tools/make_unicode_classes.mjs. */
extern const tn_code_range tn_unicode_ranges[];
extern const size_t tn_unicode_range_count;

/* Threads: any. */
tn_char_class tn_unicode_class(int32_t code_point);

#endif
