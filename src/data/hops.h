/* The synthetic data set "hops": images of coloured shapes in a grid, each with an arrow to a neighbour, and questions that
 * require a chain of looks. For data/hops*.c and sets/hops.c.
 * 
 * Only the image gives the answer. The places of objects are drawn independently of the arrows, so names carry no hint; wrong
 * options are objects of the same image that would be correct for another start. */
#ifndef TN_DATA_HOPS_H
#define TN_DATA_HOPS_H

#include "base/rng.h"
#include "data/dataset.h"

enum {
    TN_HOPS_COLOURS = 16,
    TN_HOPS_COMMON = 6, /* the first of these are used where colours may occur several times */
    TN_HOPS_SHAPES = 6,
    TN_HOPS_KINDS = TN_HOPS_COLOURS * TN_HOPS_SHAPES, /* kind = colour * TN_HOPS_SHAPES + shape */
    TN_HOPS_COMMON_KINDS = TN_HOPS_COMMON * TN_HOPS_SHAPES,
    TN_HOPS_GRID_MIN = 2,
    TN_HOPS_GRID_MAX = 4, /* so that there are at most as many objects as colours */
    TN_HOPS_CELLS_MAX = TN_HOPS_GRID_MAX * TN_HOPS_GRID_MAX,
    TN_HOPS_OPTIONS = 4,
    TN_HOPS_OPTIONS_MAX = 6, /* maximum number of options where it varies */
    TN_HOPS_COUNT_MAX = 6,   /* the largest number that `sight` asks for */
    TN_HOPS_STEPS_MAX = 8,
    TN_HOPS_MARKS = 4,
    TN_HOPS_MARKED_CELL_MIN = 56 /* pixels; a smaller cell has no room for an object and a mark */
};

/* ---------------------------------------------------------------- scene -- */

/* What an image shows. Cells are numbered row by row. Every cell has one object, and no two objects are equal. If arrows are
 * followed, no two objects have the same colour, so that a single word identifies an object. */
typedef struct tn_hops_scene {
    size_t grid, cells;                     /* cells = grid * grid                 */
    unsigned char kind[TN_HOPS_CELLS_MAX];  /* [cells]                             */
    unsigned char arrow[TN_HOPS_CELLS_MAX]; /* 0 up, 1 right, 2 down, 3 left       */
    unsigned char target[TN_HOPS_CELLS_MAX]; /* the cell that the arrow points to  */
    bool marked;                            /* every object has a mark             */
    unsigned char mark[TN_HOPS_CELLS_MAX];  /* [cells] 0 .. TN_HOPS_MARKS - 1      */
} tn_hops_scene;

/* Properties of an object: 0..5 are the common colours, 6..11 are shapes. */
enum { TN_HOPS_PROPERTIES = TN_HOPS_COMMON + TN_HOPS_SHAPES };

static inline size_t tn_hops_colour(size_t kind) { return kind / TN_HOPS_SHAPES; }
static inline size_t tn_hops_shape(size_t kind) { return kind % TN_HOPS_SHAPES; }

static inline bool tn_hops_has(size_t kind, size_t property)
{
    return property < TN_HOPS_COMMON ? tn_hops_colour(kind) == property
                                     : tn_hops_shape(kind) == property - TN_HOPS_COMMON;
}

/* Replaces the first `count` of `items` by a random choice of them in random order. */
void tn_hops_shuffle(tn_rng *rng, unsigned char *items, size_t size, size_t count);

/* Draws arrows to random neighbours, such that no two objects point at each other. */
void tn_hops_draw_arrows(tn_rng *rng, tn_hops_scene *scene);

/* Draws the objects: all with different colours; the same with an object of a given kind at `cell`; and with common colours
 * only, several of which occur more than once. */
void tn_hops_draw_objects(tn_rng *rng, tn_hops_scene *scene);
void tn_hops_draw_objects_around(tn_rng *rng, tn_hops_scene *scene, size_t cell, size_t kind);
void tn_hops_draw_common_objects(tn_rng *rng, tn_hops_scene *scene);

/* The cell with an object of this kind; scene->cells if there is none. */
size_t tn_hops_find(const tn_hops_scene *scene, size_t kind);

/* The cell after `steps` arrows; scene->cells if a cell occurs twice on the way. */
size_t tn_hops_follow(const tn_hops_scene *scene, size_t cell, size_t steps);

/* The split to which a scene belongs, by a hash of its contents modulo ten: 0 is test, 1 is dev. So no scene is in two splits.
 * Marks do not count, so scenes that differ only in their marks are in the same split. */
const char *tn_hops_split_of(const tn_hops_scene *scene);

/* -------------------------------------------------------------- picture -- */

/* Draws the scene into `pixels` [size, size, 3]; sizes, places and colours are jittered. `hints`, 0..1, is the share of objects
 * on a ground in the colour of the object that they point to. */
void tn_hops_paint(tn_rng *rng, const tn_hops_scene *scene, double hints, size_t size, unsigned char *pixels);

/* The same on another ground, with arrows in the colour `ink` and lines of strength `lines` between the cells (0: none). */
typedef struct tn_hops_look {
    float ground[3], ink[3]; /* R, G, B, 0..255 */
    float lines;             /* 0..1            */
} tn_hops_look;

void tn_hops_paint_look(tn_rng *rng, const tn_hops_scene *scene, double hints, const tn_hops_look *look, size_t size,
                        unsigned char *pixels);

/* Draws the marks of the scene, whose cells are at least TN_HOPS_MARKED_CELL_MIN pixels wide, over the image. */
void tn_hops_paint_marks(tn_rng *rng, const tn_hops_scene *scene, size_t size, unsigned char *pixels);

/* Images as people might supply them: other grounds, borders, uneven light, blur, noise, JPEG artefacts. The first draws the
 * side of such an image in pixels, the second the image. */
size_t tn_hops_varied_size(tn_rng *rng);
void tn_hops_paint_varied(tn_rng *rng, const tn_hops_scene *scene, size_t size, unsigned char *pixels);

/* ------------------------------------------------------------- question -- */

enum { TN_HOPS_LINE = 512, TN_HOPS_TEXT = 1280, TN_HOPS_NAME = 24 };

/* What a question asks for: where arrows lead; the colour of the only object of a shape; the shape of the object of a colour;
 * the direction of an arrow; how many objects there are; whether there is one. */
typedef enum tn_hops_ask {
    TN_HOPS_FOLLOW,
    TN_HOPS_COLOUR_OF,
    TN_HOPS_SHAPE_OF,
    TN_HOPS_WAY_OF,
    TN_HOPS_HOW_MANY,
    TN_HOPS_IS_THERE
} tn_hops_ask;

/* A question about a scene, in words. */
typedef struct tn_hops_puzzle {
    tn_hops_scene scene;
    /* The contents of the question, for the families with many wordings (`arrows` and `sight`). */
    tn_hops_ask ask;
    size_t steps;  /* arrows to follow                                                                              */
    size_t named;  /* the kind that the question names; for HOW_MANY, and for IS_THERE without `whole`, a colour (0 .. 15), or
                    * TN_HOPS_COLOURS + a shape                                                                      */
    bool whole;    /* IS_THERE asks for a colour and a shape                                                         */
    size_t goal;   /* the cell with the answer; for HOW_MANY and IS_THERE the number of objects */
    /* The region that a solution looks at again. */
    bool looks;           /* it is the cell `goal`                                  */
    size_t look_after[2]; /* steps before the look: sentences of the rationale, brief steps */
    unsigned char wrong[TN_HOPS_OPTIONS - 1]; /* [wrong_count] cells of wrong answers that are as likely             */
    size_t wrong_count;
    char question[TN_HOPS_LINE];
    char rationale[TN_HOPS_TEXT]; /* one sentence per line */
    char brief[TN_HOPS_TEXT];     /* the same with one or two words per line; "" if the family has no such steps. Those of
                                   * `arrows` are the colours from which each arrow starts, so the next word is the answer */
    char options[TN_HOPS_OPTIONS_MAX][TN_HOPS_NAME];
    size_t option_count, answer;
} tn_hops_puzzle;

/* A kind of question, with 1 .. steps_max looks. */
typedef struct tn_hops_family {
    const char *name;
    size_t steps_max;     /* maximum number of looks                */
    size_t steps_default; /* maximum if no bound is given; 0: the family is only used if it is named */
    int brief; /* a question has as many brief steps as looks and this many more; -1: none, or as many as there are objects */
    /* Makes one attempt with a new scene; returns false if the question cannot be asked about it. The words of the question,
     * and a number that is the answer, are drawn from `words`, which is the same at each attempt. So scenes that fit rarely do
     * not correlate words with answers. */
    bool (*draw)(tn_rng *rng, tn_rng words, size_t grid, size_t steps, tn_hops_puzzle *puzzle);
} tn_hops_family;

extern const tn_hops_family tn_hops_families[]; /* ends with name == NULL */

/* The questions of the family `sight`, which require one look. */
bool tn_hops_draw_sight(tn_rng *rng, tn_rng words, size_t grid, size_t steps, tn_hops_puzzle *puzzle);
enum { TN_HOPS_SIGHTS = 5 };

/* Lists of what an image shows, of kind `steps`, 1 .. TN_HOPS_LISTS. */
bool tn_hops_draw_list(tn_rng *rng, tn_rng words, size_t grid, size_t steps, tn_hops_puzzle *puzzle);
enum { TN_HOPS_LISTS = 10 };

/* The families `detail`, about the mark at the end of a chain of steps - 1 arrows, and `marks`, a list of all marks. */
bool tn_hops_draw_detail(tn_rng *rng, tn_rng words, size_t grid, size_t steps, tn_hops_puzzle *puzzle);
bool tn_hops_draw_marks(tn_rng *rng, tn_rng words, size_t grid, size_t steps, tn_hops_puzzle *puzzle);
enum { TN_HOPS_DETAILS = 3 };

/* The first words an `arrows` or `sight` puzzle again, with random choices and spelling and the templates of `wordings` (not
 * ONE); it has `most` brief steps. The second words a `sight` puzzle in the single wording of ONE. */
void tn_hops_vary(tn_rng *rng, tn_wordings wordings, size_t most, tn_hops_puzzle *puzzle);
void tn_hops_word(tn_rng *rng, tn_hops_puzzle *puzzle);

/* Makes attempts until there is a question whose scene belongs to `split`. Returns false after too many attempts. */
bool tn_hops_draw(tn_rng *rng, const tn_hops_family *family, size_t grid, size_t steps, const char *split,
                  tn_hops_puzzle *puzzle);

/* The words: "red", "circle", "circles", "up". */
extern const char *const tn_hops_colour_names[TN_HOPS_COLOURS];
extern const char *const tn_hops_shape_names[TN_HOPS_SHAPES];
extern const char *const tn_hops_mark_names[TN_HOPS_MARKS];

#endif
