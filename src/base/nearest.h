/* Finds the known name that a misspelt name may have meant.
 *
 *     tn_nearest nearest = tn_nearest_of(word, strlen(word));
 *     for each known name: tn_nearest_try(&nearest, name);
 *     tn_fail(error, ..., "there is no '%s'%s", word, tn_nearest_hint(&nearest)); */
#ifndef TN_BASE_NEAREST_H
#define TN_BASE_NEAREST_H

#include <stddef.h>

enum { TN_NEAREST_LONGEST = 48 }; /* bytes; longer names are not compared */

typedef struct tn_nearest {
    char word[TN_NEAREST_LONGEST + 1];
    char name[TN_NEAREST_LONGEST + 1]; /* the nearest name so far; "" if none is near enough */
    char hint[TN_NEAREST_LONGEST + 32];
    size_t distance; /* distance of `name`; at first one more than the largest accepted distance */
} tn_nearest;

/* Starts the search for the misspelt name, `length` bytes. */
tn_nearest tn_nearest_of(const char *word, size_t length);

/* Compares with a known name. The distance is the number of letters that must be inserted, removed, changed or swapped
 * with a neighbour. Upper and lower case are equal, and so are '-' and '_'. If distances are equal, the earlier name
 * stays. */
void tn_nearest_try(tn_nearest *nearest, const char *name);

/* The same with all names of a list, e.g. "a|b|c" separated by '|'. */
void tn_nearest_try_list(tn_nearest *nearest, const char *names, char separator);

/* "; did you mean 'NAME'?", or "" if no name is near: at most a third of the letters, rounded up, may differ. */
const char *tn_nearest_hint(tn_nearest *nearest);

#endif
