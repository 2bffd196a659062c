/* The made set "hops": pictures of coloured shapes in a grid, each with an arrow to a neighbour, and questions that
 * need a chain of looks. For data/hops*.c and sets/hops.c.
 *
 * Nothing but the picture tells the answer. Which object stands where is drawn apart from the arrows, so names carry
 * no hint; wrong options are objects of the same picture that would be right for another start. */
#ifndef TN_DATA_HOPS_H
#define TN_DATA_HOPS_H

#include "base/rng.h"
#include "data/dataset.h"

enum {
    TN_HOPS_COLOURS = 16,
    TN_HOPS_COMMON = 6, /* of these, the first: where colours may come twice */
    TN_HOPS_SHAPES = 6,
    TN_HOPS_KINDS = TN_HOPS_COLOURS * TN_HOPS_SHAPES, /* kind = colour * TN_HOPS_SHAPES + shape */
    TN_HOPS_COMMON_KINDS = TN_HOPS_COMMON * TN_HOPS_SHAPES,
    TN_HOPS_GRID_MIN = 2,
    TN_HOPS_GRID_MAX = 4, /* no more objects than colours */
    TN_HOPS_CELLS_MAX = TN_HOPS_GRID_MAX * TN_HOPS_GRID_MAX,
    TN_HOPS_OPTIONS = 4,
    TN_HOPS_OPTIONS_MAX = 6, /* where their number varies */
    TN_HOPS_COUNT_MAX = 6,   /* the largest number that `sight` asks for */
    TN_HOPS_STEPS_MAX = 8
};

/* ---------------------------------------------------------------- scene -- */

/* What a picture shows. Cells are numbered row by row; every cell holds one object, no two are alike. Where arrows are
 * followed, no two have the same colour, so that a single word finds an object. */
typedef struct tn_hops_scene {
    size_t grid, cells;                     /* cells = grid * grid                 */
    unsigned char kind[TN_HOPS_CELLS_MAX];  /* [cells]                             */
    unsigned char arrow[TN_HOPS_CELLS_MAX]; /* 0 up, 1 right, 2 down, 3 left       */
    unsigned char target[TN_HOPS_CELLS_MAX]; /* the cell that the arrow points to  */
} tn_hops_scene;

/* What an object may be asked for: values 0..5 are common colours, 6..11 shapes. */
enum { TN_HOPS_PROPERTIES = TN_HOPS_COMMON + TN_HOPS_SHAPES };

static inline size_t tn_hops_colour(size_t kind) { return kind / TN_HOPS_SHAPES; }
static inline size_t tn_hops_shape(size_t kind) { return kind % TN_HOPS_SHAPES; }

static inline bool tn_hops_has(size_t kind, size_t property)
{
    return property < TN_HOPS_COMMON ? tn_hops_colour(kind) == property
                                     : tn_hops_shape(kind) == property - TN_HOPS_COMMON;
}

/* The first `count` of `items` become a random choice of them in random order. */
void tn_hops_shuffle(tn_rng *rng, unsigned char *items, size_t size, size_t count);

/* Arrows to random neighbours, such that no two objects point at each other. */
void tn_hops_draw_arrows(tn_rng *rng, tn_hops_scene *scene);

/* Objects of different colours; the same with one of a given kind at `cell`; and objects of common colours, so that several
 * have the same. */
void tn_hops_draw_objects(tn_rng *rng, tn_hops_scene *scene);
void tn_hops_draw_objects_around(tn_rng *rng, tn_hops_scene *scene, size_t cell, size_t kind);
void tn_hops_draw_common_objects(tn_rng *rng, tn_hops_scene *scene);

/* The cell of a kind; scene->cells if it is not there. */
size_t tn_hops_find(const tn_hops_scene *scene, size_t kind);

/* Which split a scene belongs to, by a hash of what it shows: 0 and 1 of ten are test and dev, so the splits share
 * no scene. */
const char *tn_hops_split_of(const tn_hops_scene *scene);

/* -------------------------------------------------------------- picture -- */

/* Draws the scene into `pixels` [size, size, 3]; sizes, places and colours are jittered. `hints` is the share of
 * objects, 0..1, that stand on a ground in the colour of what they point to. */
void tn_hops_paint(tn_rng *rng, const tn_hops_scene *scene, double hints, size_t size, unsigned char *pixels);

/* The same on a ground, with arrows of an ink and lines between the cells as dark as `lines` (0: none). */
typedef struct tn_hops_look {
    float ground[3], ink[3]; /* R, G, B, 0..255 */
    float lines;             /* 0..1            */
} tn_hops_look;

void tn_hops_paint_look(tn_rng *rng, const tn_hops_scene *scene, double hints, const tn_hops_look *look, size_t size,
                        unsigned char *pixels);

/* As pictures come in: on other grounds, with borders, uneven light, blur, noise, traces of JPEG. A side that suits such a
 * picture, and the picture. */
size_t tn_hops_varied_size(tn_rng *rng);
void tn_hops_paint_varied(tn_rng *rng, const tn_hops_scene *scene, size_t size, unsigned char *pixels);

/* ------------------------------------------------------------- question -- */

enum { TN_HOPS_LINE = 512, TN_HOPS_TEXT = 1280, TN_HOPS_NAME = 24 };

/* What is asked: where arrows lead; the colour of the only object of a shape; the shape of an object of a colour; which way an
 * arrow points; how many there are; whether there is one. */
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
    /* What it is about, for those that can be worded in many ways (`arrows` and `sight`). */
    tn_hops_ask ask;
    size_t steps;  /* arrows to follow                                                                              */
    size_t named;  /* the kind that the question names; of HOW_MANY, and IS_THERE without `whole`, a colour (0 .. 15), or
                    * TN_HOPS_COLOURS + a shape                                                                      */
    bool whole;    /* IS_THERE asks for a colour and a shape                                                         */
    size_t goal;   /* the cell that answers; of HOW_MANY and IS_THERE the number                                     */
    unsigned char wrong[TN_HOPS_OPTIONS - 1]; /* [wrong_count] cells that are as likely                              */
    size_t wrong_count;
    char question[TN_HOPS_LINE];
    char rationale[TN_HOPS_TEXT]; /* a sentence a line */
    char brief[TN_HOPS_TEXT];     /* the same in a word or two a line; "": the family has no such steps. Those of
                                   * `arrows` are the colours that are left, so what comes next is the answer */
    char options[TN_HOPS_OPTIONS_MAX][TN_HOPS_NAME];
    size_t option_count, answer;
} tn_hops_puzzle;

/* A kind of question, with 1 .. steps_max looks. */
typedef struct tn_hops_family {
    const char *name;
    size_t steps_max;     /* that are possible                      */
    size_t steps_default; /* that are made where no bound is given; 0: only made where the family is named */
    /* One try with a scene of its own: false when the question cannot be asked of it. What the question says, and a
     * number that is to come out, are drawn from `words`, the same at each try: so scenes that fit rarely do not
     * make some words go with some answers. */
    bool (*draw)(tn_rng *rng, tn_rng words, size_t grid, size_t steps, tn_hops_puzzle *puzzle);
} tn_hops_family;

extern const tn_hops_family tn_hops_families[]; /* ends with name == NULL */

/* The questions of the family `sight`: all that can be seen at one look. */
bool tn_hops_draw_sight(tn_rng *rng, tn_rng words, size_t grid, size_t steps, tn_hops_puzzle *puzzle);
enum { TN_HOPS_SIGHTS = 5 };

/* Words an `arrows` or `sight` puzzle anew, with choices and spelling as they come, in the templates of `wordings` (not ONE); brief
 * steps are `most`. The second words a `sight` puzzle in the one plain way. */
void tn_hops_vary(tn_rng *rng, tn_wordings wordings, size_t most, tn_hops_puzzle *puzzle);
void tn_hops_word(tn_rng *rng, tn_hops_puzzle *puzzle);

/* Tries until a question comes out whose scene belongs to `split`. false after too many tries. */
bool tn_hops_draw(tn_rng *rng, const tn_hops_family *family, size_t grid, size_t steps, const char *split,
                  tn_hops_puzzle *puzzle);

/* The words: "red", "circle", "circles", "up". */
extern const char *const tn_hops_colour_names[TN_HOPS_COLOURS];
extern const char *const tn_hops_shape_names[TN_HOPS_SHAPES];

#endif
