/* Classes of characters as pre-tokenizers use them. The reference libraries follow Unicode 16, which is newer than the
 * tables of the installed regular-expression library; therefore this file has its own. */
#ifndef TN_TEXT_UNICODE_H
#define TN_TEXT_UNICODE_H

#include <stdbool.h>
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

/* Ascending, disjoint; all other code points are TN_OTHER. Made by tools/make_unicode_classes.mjs. */
extern const tn_code_range tn_unicode_ranges[];
extern const size_t tn_unicode_range_count;

/* Threads: any. */
tn_char_class tn_unicode_class(int32_t code_point);

/* Both included. */
typedef struct tn_point_range {
    int32_t begin, end;
} tn_point_range;

/* Punctuation as the pre-tokenizer of that name has it: the punctuation and the symbols of ASCII, and the categories P* of an older
 * Unicode. Ascending, disjoint. Made by tools/make_unicode_punctuation.py. */
extern const tn_point_range tn_unicode_punctuation[];
extern const size_t tn_unicode_punctuation_count;

/* Threads: any. */
bool tn_unicode_is_punctuation(int32_t code_point);

/* Capitals: the lower case of every `step`th code point from `begin` to `end`, both included, is `offset` further. */
typedef struct tn_case_range {
    int32_t begin, end, step, offset;
} tn_case_range;

/* Ascending, disjoint. Made by tools/make_unicode_lower.mjs. */
extern const tn_case_range tn_unicode_capitals[];
extern const size_t tn_unicode_capital_count;

/* The lower case of a character, or the character itself. U+0130 has two, of which this is the first; the second is
 * TN_DOT_ABOVE. Threads: any. */
int32_t tn_unicode_lower(int32_t code_point);
enum { TN_DOTTED_CAPITAL_I = 0x130, TN_DOT_ABOVE = 0x307 };

#endif
