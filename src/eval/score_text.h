/* Strings as the published scorers, which are Python programs, treat them: classes of characters, lower case, and the
 * few kinds of matching that their regular expressions require.
 *
 * Positions are byte offsets at the start of a character. Texts are valid UTF-8; a stray byte counts as a character
 * without a class. Threads: any. */
#ifndef TN_EVAL_SCORE_TEXT_H
#define TN_EVAL_SCORE_TEXT_H

#include "eval/score.h"
#include "text/utf8.h"

/* ------------------------------------------------------------ characters -- */

typedef struct tn_code_span {
    int32_t begin, end; /* both included */
} tn_code_span;

/* Code points begin, begin + step ... end: lower case is `difference` further. */
typedef struct tn_lower_span {
    int32_t begin, end, step, difference;
} tn_lower_span;

/* Ascending; made by tools/make_python_tables.py. */
extern const tn_code_span tn_python_words[], tn_python_spaces[], tn_python_cased[], tn_python_skipped[];
extern const size_t tn_python_words_count, tn_python_spaces_count, tn_python_cased_count, tn_python_skipped_count;
extern const int32_t tn_python_zeros[];
extern const size_t tn_python_zeros_count;
extern const tn_lower_span tn_python_lowers[];
extern const size_t tn_python_lowers_count;

bool tn_python_is_word(int32_t code_point);  /* \w: letters and numbers of all scripts, and '_' */
bool tn_python_is_space(int32_t code_point); /* \s, and what str.strip() strips                 */
int tn_python_digit(int32_t code_point);     /* \d: its value 0..9; -1: not a decimal digit     */

/* --------------------------------------------------------------- strings -- */

/* The character at `at`, -1 at the end; *next (may be NULL) is set to its end. */
int32_t tn_slice_char(tn_slice text, size_t at, size_t *next);

tn_slice tn_slice_part(tn_slice text, size_t begin, size_t end);

/* str.strip() */
tn_slice tn_slice_strip(tn_slice text);

/* The first or the last position of `words` at or after `from`; text.length + 1 if there is none. An empty string is
 * found everywhere. Linear in the text. */
size_t tn_slice_find(tn_slice text, tn_slice words, size_t from);
size_t tn_slice_find_last(tn_slice text, tn_slice words);

bool tn_slice_equal(tn_slice a, tn_slice b);

/* Appends text.lower(): one character may become two, and a capital sigma at the end of a word is written differently. */
tenebra_code tn_python_lower(tn_text *out, tn_slice text, tenebra_error *error);

/* -------------------------------------------------------------- matching -- */

/* The end of the white space that starts at `at`. */
size_t tn_skip_spaces(tn_slice text, size_t at);

/* Tests whether the characters at `at` are `word` (a-z, and others that are matched exactly), in any case under
 * re.IGNORECASE: 's' also matches U+017F, 'i' U+0130 and U+0131, 'k' U+212A. Returns their end, 0 if they are not. */
size_t tn_match_word(tn_slice text, size_t at, const char *word);

/* The same for words with white space between: each ' ' of `words` is \s+. */
size_t tn_match_words(tn_slice text, size_t at, const char *words);

/* The first of `list` (ends with NULL) that is at `at`, matched in the same way, and is not the start of a longer word.
 * Returns its end, 0 if there is none. */
size_t tn_match_one(tn_slice text, size_t at, const char *const *list);

/* [A-Z] under re.IGNORECASE, as str.upper() writes it: 'A' to 'Z', or U+0130, U+212A, which become none of these
 * letters; 0: no match. *next is set to its end. */
int32_t tn_match_letter(tn_slice text, size_t at, size_t *next);

#endif
