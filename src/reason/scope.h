/* What a model can answer, as its directory tells in scope.json:
 *
 *     { "about": "where arrows lead on ...", "words": ["arrow", "arrows", "red"],
 *       "unlearned": [{ "what": "to count", "phrases": ["how many", "number of red|blue"] }] }
 *
 * A question with none of the words is one that the model was not made for. One that holds a phrase is of a kind that it did not learn:
 * words with blanks between, a word or another between strokes; behind ^ where the question begins with it. */
#ifndef TN_REASON_SCOPE_H
#define TN_REASON_SCOPE_H

#include "base/json.h"

/* Zeroed: nothing is known, and any question fits. */
typedef struct tn_scope {
    json_t *json;
    const char *about; /* what it answers, as the end of a sentence that begins "this model answers "; NULL: not told */
} tn_scope;

#define TN_SCOPE_FILE "scope.json"

/* A directory without the file gives a zeroed scope. Errors: FORMAT (members that are not known, too), IO, LIMIT, MEMORY. */
tenebra_code tn_scope_read(tn_scope *scope, const char *directory, tenebra_error *error);
void tn_scope_free(tn_scope *scope);

/* Whether a text holds one of the words, whole and in letters of either case, or none are told. */
bool tn_scope_fits(const tn_scope *scope, const char *text);

/* What was not learned, as the end of a sentence that begins "this model did not learn ", of the first kind with a phrase that the text
 * holds; NULL: none. Words of a phrase are whole, in letters of either case, with nothing but blanks and line ends between. */
const char *tn_scope_unlearned(const tn_scope *scope, const char *text);

#endif
