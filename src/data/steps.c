#include "base/checked.h"
#include "data/sample.h"
#include "data/strings.h"

#include <stdint.h>
#include <stdlib.h>
#include <string.h>

enum { STEP_LIMIT = 1 << 30 };

/* Counts the pieces between ". ". With `starts`, stores their starts and ends each piece with a zero. */
static size_t cut_pieces(char *text, char **starts)
{
    size_t count = 0;
    for (char *at = text, *cut; at != NULL; at = cut) {
        cut = strstr(at, ". ");
        if (cut == NULL && at[0] == '\0')
            break; /* an empty last piece */
        if (starts != NULL)
            starts[count] = at;
        count++;
        if (cut != NULL) {
            if (starts != NULL)
                *cut = '\0';
            cut += 2;
        }
    }
    return count;
}

/* Joins runs of neighbours: the zero before each piece except the first of a run becomes '.' again. The text was split
 * in place, so only the ends of pieces change. */
static size_t join_runs(char **starts, size_t count, size_t groups)
{
    if (groups == 0 || count <= groups)
        return count;
    size_t size = count / groups, longer = count % groups, next = 0;
    for (size_t group = 0; group < groups; group++) {
        size_t run = size + (group < longer);
        char *start = starts[next];
        for (size_t i = 1; i < run; i++)
            starts[next + i][-2] = '.';
        starts[group] = start;
        next += run;
    }
    return groups;
}

tenebra_code tn_steps_split(tn_steps *steps, const char *rationale, size_t groups, tenebra_error *error)
{
    *steps = (tn_steps){ 0 };
    size_t length = strlen(rationale);
    if (length > STEP_LIMIT)
        return tn_fail(error, TENEBRA_ERROR_LIMIT, "rationale", "has %zu bytes; at most 2^30 can be split", length);
    char *flat = malloc(length + 1);
    if (flat == NULL)
        return tn_fail(error, TENEBRA_ERROR_MEMORY, "rationale", "no memory for %zu bytes of steps", length);
    for (size_t i = 0; i <= length; i++)
        flat[i] = rationale[i] == '\n' ? ' ' : rationale[i];
    const char *inside = flat;
    tn_strip(&inside, &length, true);
    memmove(flat, inside, length);
    flat[length] = '\0';

    /* One block of memory: the list, then the text into which it points. */
    size_t count = cut_pieces(flat, NULL);
    char **starts = malloc((count + 1) * sizeof *starts + length + 1);
    if (starts == NULL) {
        free(flat);
        return tn_fail(error, TENEBRA_ERROR_MEMORY, "rationale", "no memory for %zu steps", count);
    }
    char *text = (char *)(starts + count + 1);
    memcpy(text, flat, length + 1);
    free(flat);
    cut_pieces(text, starts);
    *steps = (tn_steps){ .items = (const char *const *)starts, .count = join_runs(starts, count, groups), .pieces = count,
                         .memory = starts };
    return TENEBRA_OK;
}

size_t tn_steps_within(const tn_steps *steps, size_t pieces)
{
    size_t size = steps->count > 0 ? steps->pieces / steps->count : 0, longer = steps->count > 0 ? steps->pieces % steps->count : 0;
    size_t count = 0, end = 0;
    for (; count < steps->count; count++) {
        end += size + (count < longer); /* as join_runs divides them */
        if (end > pieces)
            break;
    }
    return count;
}

void tn_steps_free(tn_steps *steps)
{
    free(steps->memory);
    *steps = (tn_steps){ 0 };
}
