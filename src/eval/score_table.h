/* Counting verdicts: in all, and by group. */
#ifndef TN_EVAL_SCORE_TABLE_H
#define TN_EVAL_SCORE_TABLE_H

#include "base/json.h"
#include "eval/score.h"

typedef struct tn_group {
    const char *name;   /* borrowed from the samples, or constant                               */
    const char *other;  /* a second name under which programs look for it; NULL: none           */
    const char *domain; /* of a topic, NULL: not one                                            */
    bool qualified;     /* to be shown as "domain/name": the name stands for something else, too */
    int rank;           /* groups are sorted by it, then by domain and name                     */
    size_t total, correct;
} tn_group;

/* What one scorer says of many answers. Zeroed with `scorer` and `variant` set is empty. */
typedef struct tn_tally {
    const tn_scorer *scorer;
    size_t variant;
    tn_group all;
    size_t found; /* answers in which anything was found */
    tn_group *groups; /* [count] */
    size_t count, capacity;
    json_t *places; /* rank, domain and name: place among the groups */
} tn_tally;

/* Judges an answer and counts it. The sample's texts must outlive the tally. Groups are: each variant of the scorer; of
 * questions whose labels are indices the columns of ScienceQA's table (arXiv:2209.09513) and topics; of others domains and
 * topics. Errors: ARGUMENT (the answer has no text, and the scorer needs one), MEMORY. */
tenebra_code tn_tally_add(tn_tally *tally, const tn_scored *answer, tenebra_error *error);

/* After the last answer: sorts groups, leaves out what no answer tells about. */
void tn_tally_finish(tn_tally *tally);
void tn_tally_free(tn_tally *tally);

/* Percent as the published programs print it, rounded to two decimals; -1 where there is nothing to count. */
double tn_group_percent(const tn_group *group);

/* {"total", "correct", "acc", "groups": {name: {"total", "correct", "acc"}}}; NULL without memory. */
json_t *tn_tally_json(const tn_tally *tally);

/* How a group is shown, in `text` of `size` bytes if its name must be made. */
const char *tn_group_name(const tn_group *group, char *text, size_t size);

#endif
