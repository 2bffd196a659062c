/* How people ask about a made picture: templates, what is said around them, layouts of choices. For data/hops_vary.c. Rows marked as
 * unseen are kept for tests. */
#ifndef TN_DATA_HOPS_WORDINGS_H
#define TN_DATA_HOPS_WORDINGS_H

#include "data/hops.h"

/* In a text stand %n for a number, %s for the plural of what it counts, %f for the object named, %t for "colour", "shape" or
 * "object", %c for "colour", %q for a question about the end, %p for what is counted, %d for one of it, %k for a shape or a colour
 * alone. */
typedef struct tn_hops_wording {
    const char *text;
    bool unseen;
    size_t steps; /* only for so many; 0: for any */
} tn_hops_wording;

/* By tn_hops_ask; each list ends with text == NULL. */
extern const tn_hops_wording *const tn_hops_templates[];

/* What is asked of the object at the end of a chain, and the sentences for %q; behind a comma or a colon they begin in lower case. */
enum { TN_HOPS_COLOUR_THERE, TN_HOPS_SHAPE_THERE, TN_HOPS_OBJECT_THERE, TN_HOPS_ANY_THERE };
enum { TN_HOPS_ENDS = 10 };
extern const tn_hops_wording tn_hops_ends[3][TN_HOPS_ENDS];

/* More templates, for `--wordings wide` alone, by tn_hops_ask; `target` is what a chain is asked for (ANY: whatever is drawn). Each
 * list ends with text == NULL. */
typedef struct tn_hops_wide {
    const char *text;
    size_t target;
} tn_hops_wide;

extern const tn_hops_wide *const tn_hops_wides[];

/* For questions without a template: what is asked, and of what; by tn_hops_ask, but for FOLLOW. */
enum { TN_HOPS_LOOSE = 4 };
extern const char *const tn_hops_loose[][2][TN_HOPS_LOOSE];

/* Words that say nothing, of which any may stand anywhere: what matters is to be found among them. Ends with NULL. */
extern const char *const tn_hops_idle[];

/* What people say before and after a question: seen, unseen. */
enum { TN_HOPS_FRONTS = 8, TN_HOPS_BACKS = 6 };
extern const char *const tn_hops_fronts[2][TN_HOPS_FRONTS];
extern const char *const tn_hops_backs[2][TN_HOPS_BACKS];

/* How choices are written. `mark` counts: 'A', 'a', '1', or 0 for none. Ends with front == NULL. */
typedef struct tn_hops_layout {
    const char *front;       /* before all of them            */
    const char *open, *close; /* around each mark             */
    const char *join, *last; /* between two, and the last two */
    const char *end;         /* behind all of them            */
    char mark;
    bool unseen;
} tn_hops_layout;

extern const tn_hops_layout tn_hops_layouts[];

#endif
