/* What a model can answer, from scope.json in its directory:
 *
 *     { "about": "where arrows lead on ...", "words": ["arrow", "arrows", "red"],
 *       "unlearned": [{ "what": "to count", "phrases": ["how many", "number of red|blue"] }] }
 *
 * A question without any of the words is out of the model's scope. A question that contains one of the phrases is of a kind
 * that the model did not learn. A phrase consists of words separated by blanks; | separates alternatives of a word, and ^ at
 * the start means that the question begins with the phrase. */
#ifndef TN_REASON_SCOPE_H
#define TN_REASON_SCOPE_H

#include "base/json.h"

/* Zeroed: nothing is known, and any question is in scope. */
typedef struct tn_scope {
    json_t *json;
    const char *about; /* what the model answers, as the end of a sentence that begins "this model answers "; NULL: unknown */
} tn_scope;

#define TN_SCOPE_FILE "scope.json"

/* Reads the file of a directory; without one, the scope is zeroed. Errors: FORMAT (also for unknown members), IO, LIMIT,
 * MEMORY. */
tenebra_code tn_scope_read(tn_scope *scope, const char *directory, tenebra_error *error);
void tn_scope_free(tn_scope *scope);

/* Whether a text contains one of the words, as a whole word in either case; true if there are no words. */
bool tn_scope_fits(const tn_scope *scope, const char *text);

/* The first kind of questions with a phrase that the text contains, as the end of a sentence that begins "this model did not
 * learn "; NULL if there is none. Phrases match whole words in either case, separated by blanks and line ends. */
const char *tn_scope_unlearned(const tn_scope *scope, const char *text);

#endif
