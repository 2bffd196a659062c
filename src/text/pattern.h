/* Regular expressions and fixed texts that are looked for in text: PCRE2 with the Unicode tables of the installed library. Regular
 * expressions are those of Oniguruma, which the reference library uses, as far as both mean the same. */
#ifndef TN_TEXT_PATTERN_H
#define TN_TEXT_PATTERN_H

#include "base/status.h"

typedef struct tn_pattern tn_pattern;

/* `literal`: the text is looked for as it is. `name` appears in errors, after which "the pattern ..." follows. *opened is NULL on
 * failure. Errors: FORMAT (not a pattern), UNSUPPORTED (longer than 64 KiB; with something that PCRE2 understands differently,
 * which is named), MEMORY. */
tenebra_code tn_pattern_open(const char *text, size_t length, bool literal, const char *name, tn_pattern **opened, tenebra_error *error);
void tn_pattern_close(tn_pattern *pattern); /* NULL is allowed */

/* Whether the pattern may match nothing at all. */
bool tn_pattern_matches_nothing(const tn_pattern *pattern);

/* The matches of one text, in order. Zeroed is closed. */
typedef struct tn_matches {
    const tn_pattern *pattern;
    void *context, *data;
} tn_matches;

/* Errors: MEMORY; *matches may then be closed, too. Threads: one at a time. */
tenebra_code tn_matches_open(tn_matches *matches, const tn_pattern *pattern, tenebra_error *error);
void tn_matches_close(tn_matches *matches);

/* Where to go on in one text. Begin with { 0 }. */
typedef struct tn_match_place {
    size_t from; /* no match begins before this byte                        */
    size_t last; /* end of the last match                                   */
    bool any;    /* there was a match                                       */
} tn_match_place;

/* The next match of `text`, valid UTF-8, in *begin and *end; *found is false after the last. Matches may be empty, but not directly
 * after another match, as in the reference library (find_iter of Oniguruma's binding). Errors: LIMIT (the pattern backtracks too
 * often), UNSUPPORTED (\K moves the start of a match). */
tenebra_code tn_matches_next(tn_matches *matches, tn_match_place *place, const char *text, size_t length, bool *found,
                             size_t *begin, size_t *end, tenebra_error *error);

#endif
