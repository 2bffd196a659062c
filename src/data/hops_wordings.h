/* How people ask about such an image: templates, sentences around them, layouts of choices. For data/hops_vary.c. Rows that are
 * marked as unseen are kept for tests. */
#ifndef TN_DATA_HOPS_WORDINGS_H
#define TN_DATA_HOPS_WORDINGS_H

#include "data/hops.h"

/* A template. In its text, %n is a number, %s the plural ending of what it counts, %f the named object, %t "colour", "shape" or
 * "object", %c "colour", %q a question about the end of the chain, %p what is counted, %d a single one of these, and %k a shape
 * or a colour. */
typedef struct tn_hops_wording {
    const char *text;
    bool unseen;
    size_t steps; /* only for chains of this length; 0: for any */
} tn_hops_wording;

/* Lists of templates by tn_hops_ask; each ends with text == NULL. */
extern const tn_hops_wording *const tn_hops_templates[];

/* What is asked about the object at the end of a chain, and the questions for %q; after a comma or a colon they begin with a
 * small letter. */
enum { TN_HOPS_COLOUR_THERE, TN_HOPS_SHAPE_THERE, TN_HOPS_OBJECT_THERE, TN_HOPS_ANY_THERE };
enum { TN_HOPS_ENDS = 10 };
extern const tn_hops_wording tn_hops_ends[3][TN_HOPS_ENDS];

/* Further templates, only for `--wordings wide`, by tn_hops_ask; `target` is what the template asks for at the end of a chain
 * (ANY: what was drawn). Each list ends with text == NULL. */
typedef struct tn_hops_wide {
    const char *text;
    size_t target;
} tn_hops_wide;

extern const tn_hops_wide *const tn_hops_wides[];

/* For questions without a template: what is asked [0], and about what [1]; by tn_hops_ask, without FOLLOW. */
enum { TN_HOPS_LOOSE = 4 };
extern const char *const tn_hops_loose[][2][TN_HOPS_LOOSE];

/* Idle words, which carry no meaning and may be anywhere, so that a model learns to find the words that matter. Ends with NULL. */
extern const char *const tn_hops_idle[];

/* Sentences before and after a question: [0] seen, [1] unseen. */
enum { TN_HOPS_FRONTS = 8, TN_HOPS_BACKS = 6 };
extern const char *const tn_hops_fronts[2][TN_HOPS_FRONTS];
extern const char *const tn_hops_backs[2][TN_HOPS_BACKS];

/* A layout of choices. `mark` is the first mark: 'A', 'a', '1', or 0 for none. The list ends with front == NULL. */
typedef struct tn_hops_layout {
    const char *front;       /* before all of them            */
    const char *open, *close; /* around each mark             */
    const char *join, *last; /* between two, and the last two */
    const char *end;         /* after all of them             */
    char mark;
    bool unseen;
} tn_hops_layout;

extern const tn_hops_layout tn_hops_layouts[];

#endif
