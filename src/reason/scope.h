/* What a model can answer, as its directory tells in scope.json:
 *
 *     { "about": "where arrows lead on ...", "words": ["arrow", "arrows", "red"] }
 *
 * A question with none of the words is one that the model was not made for. */
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

#endif
