/* Counts verdicts in total and by group. */
#ifndef TN_EVAL_SCORE_TABLE_H
#define TN_EVAL_SCORE_TABLE_H

#include "base/json.h"
#include "eval/score.h"

typedef struct tn_group {
    const char *name;   /* borrowed from the samples, or constant                               */
    const char *other;  /* a second name that programs use for it; NULL: none                   */
    const char *domain; /* of a topic; NULL: not a topic                                        */
    bool qualified;     /* to be shown as "domain/name", because another group has the same name */
    int rank;           /* groups are sorted by it, then by domain and name                     */
    size_t total, correct;
} tn_group;

/* The verdicts of one scorer on many answers. Zeroed, with `scorer` and `variant` set, it is empty. */
typedef struct tn_tally {
    const tn_scorer *scorer;
    size_t variant;
    tn_group all;
    size_t found; /* texts in which an answer was found */
    tn_group *groups; /* [count] */
    size_t count;
    json_t *places; /* rank, domain and name: index of the group */
} tn_tally;

/* Scores an answer and counts it. The sample's texts must outlive the tally. Groups are each variant of the scorer; for
 * questions whose labels are indices, the columns of ScienceQA's table (arXiv:2209.09513) and topics; for others,
 * domains and topics. Errors: ARGUMENT (the answer has no text, and the scorer requires one), MEMORY. */
tenebra_code tn_tally_add(tn_tally *tally, const tn_scored *answer, tenebra_error *error);

/* After the last answer: sorts groups and removes those without answers. */
void tn_tally_finish(tn_tally *tally);
void tn_tally_free(tn_tally *tally);

/* Percent as the published programs print it, rounded to two decimals; -1 if there is nothing to count. */
double tn_group_percent(const tn_group *group);

/* {"total", "correct", "acc", "groups": {name: {"total", "correct", "acc"}}}; NULL without memory. */
json_t *tn_tally_json(const tn_tally *tally);

/* The displayed name of a group, in `text` of `size` bytes if it must be composed. */
const char *tn_group_name(const tn_group *group, char *text, size_t size);

#endif
