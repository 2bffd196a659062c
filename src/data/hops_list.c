/* The family `list`: everything in an image, with which a model learns to see before it learns questions. Kinds 1 to 4 list one
 * property of all objects. Their prompts are equally long, so the distance between a word and the image token of its cell is the
 * same for all words of all lists, which is what attention learns first. Kinds 5 to 7 list what arrows point to, shapes and
 * directions in random order, so that objects have to be found by their colours; kind 9 lists colours, so that they have to be
 * found by their shapes. Kind 8 lists numbers, and kind 10 lists which objects there are, among others that there are not. */
#include "data/hops_say.h"

static const char *shape_word(const tn_hops_scene *scene, size_t cell)
{
    return tn_hops_shape_names[tn_hops_shape(scene->kind[cell])];
}

static const char *arrow_word(const tn_hops_scene *scene, size_t cell)
{
    return tn_hops_way_names[scene->arrow[cell]];
}

/* Writes a word for each cell, row by row. */
typedef struct list_line {
    const char *what, *(*word)(const tn_hops_scene *scene, size_t cell);
    bool next; /* about what the cell's arrow points to */
} list_line;

enum { LIST_LINES = 4 };

static const list_line list_lines[LIST_LINES] = {
    { "own shapes", shape_word, false },
    { "own arrows", arrow_word, false },
    { "own colours", tn_hops_colour_word, false },
    { "next colours", tn_hops_colour_word, true },
};

static void list_words(tn_hops_puzzle *puzzle, const list_line *line)
{
    const tn_hops_scene *scene = &puzzle->scene;
    ASK("List the %s. What is the last object?", line->what);
    STEP("%s", line->what);
    for (size_t cell = 0; cell < scene->cells; cell++)
        tn_hops_say(puzzle->rationale, sizeof puzzle->rationale, " %s",
            line->word(scene, line->next ? scene->target[cell] : cell));
    tn_hops_say(puzzle->rationale, sizeof puzzle->rationale, ".");
}

/* Written as sentences and in two or three words each: for every object, in the given order, what its arrow points to, its shape,
 * its direction or its colour; for every colour and shape the number of objects; for as many objects as there are, half of which
 * are in the image, whether they are. */
enum { LIST_ARROWS = LIST_LINES + 1, LIST_SHAPES, LIST_WAYS, LIST_COUNTS, LIST_COLOURS, LIST_PRESENCE };
_Static_assert((int)LIST_PRESENCE == (int)TN_HOPS_LISTS, "every kind has a number");

static void list_objects(tn_hops_puzzle *puzzle, const unsigned char *order, size_t kind)
{
    static const char *const asked[] = { [LIST_ARROWS] = "Follow the arrows", [LIST_SHAPES] = "Tell the shapes",
                                         [LIST_WAYS] = "Tell the directions", [LIST_COLOURS] = "Tell the colours" };
    const tn_hops_scene *scene = &puzzle->scene;
    ASK("%s of all objects. Which %s is there last?", asked[kind], kind == LIST_ARROWS ? "colour" : "object");
    for (size_t i = 0; i < scene->cells; i++) {
        size_t cell = order[i];
        const char *colour = tn_hops_colour_word(scene, cell), *shape = shape_word(scene, cell);
        if (kind == LIST_COLOURS) {
            STEP("a %s is %s.", shape, colour);
            BRIEFLY("%s %s", shape, colour);
        } else if (kind == LIST_SHAPES) {
            STEP("the %s object is a %s.", colour, shape);
            BRIEFLY("%s %s", colour, shape);
        } else if (kind == LIST_WAYS) {
            STEP("the %s object points %s.", colour, arrow_word(scene, cell));
            BRIEFLY("%s %s", colour, arrow_word(scene, cell));
        } else {
            tn_hops_tell_arrow(puzzle, cell);
            BRIEFLY("%s %s", colour, tn_hops_colour_word(scene, scene->target[cell]));
        }
    }
}

static void list_counts(tn_rng *rng, tn_hops_puzzle *puzzle)
{
    const tn_hops_scene *scene = &puzzle->scene;
    unsigned char order[TN_HOPS_PROPERTIES];
    for (size_t i = 0; i < TN_HOPS_PROPERTIES; i++)
        order[i] = (unsigned char)i;
    tn_hops_shuffle(rng, order, TN_HOPS_PROPERTIES, TN_HOPS_PROPERTIES);
    ASK("Count all colours and shapes. Which object is there last?");
    for (size_t i = 0; i < TN_HOPS_PROPERTIES; i++) {
        size_t property = order[i], count = 0;
        for (size_t cell = 0; cell < scene->cells; cell++)
            count += tn_hops_has(scene->kind[cell], property);
        STEP("the number of %s is %s.", tn_hops_property_name(property, true).text, tn_hops_numbers[count]);
        BRIEFLY("%s %s", property < TN_HOPS_COMMON ? tn_hops_colour_names[property] : tn_hops_shape_names[property - TN_HOPS_COMMON],
                tn_hops_numbers[count]);
    }
}

/* An object that is not in the image. In a scene without colours that occur twice, any colour; else a common one. */
static size_t draw_absent(tn_rng *rng, const tn_hops_scene *scene, bool unique)
{
    size_t kind;
    do
        kind = (size_t)tn_rng_below(rng, unique ? TN_HOPS_KINDS : TN_HOPS_COMMON_KINDS);
    while (tn_hops_find(scene, kind) < scene->cells);
    return kind;
}

static void list_presence(tn_rng *rng, tn_hops_puzzle *puzzle, const unsigned char *order, bool unique)
{
    const tn_hops_scene *scene = &puzzle->scene;
    ASK("Tell whether there are these objects. Which object is there last?");
    for (size_t i = 0; i < scene->cells; i++) {
        bool there = i + 1 == scene->cells || tn_rng_below(rng, 2) == 0;
        const tn_hops_noun name = tn_hops_kind_name(there ? scene->kind[order[i]] : draw_absent(rng, scene, unique));
        STEP("there is %s %s.", there ? "a" : "no", name.text);
        BRIEFLY("%s %s", name.text, there ? "yes" : "no");
    }
}

bool tn_hops_draw_list(tn_rng *rng, tn_rng words, size_t grid, size_t steps, tn_hops_puzzle *puzzle)
{
    (void)words;
    tn_hops_start(puzzle, grid);
    const tn_hops_scene *scene = &puzzle->scene;
    unsigned char order[TN_HOPS_CELLS_MAX];
    bool unique = steps == LIST_PRESENCE ? tn_rng_below(rng, 2) == 0 : steps != LIST_COUNTS;
    if (unique)
        tn_hops_draw_objects(rng, &puzzle->scene);
    else
        tn_hops_draw_common_objects(rng, &puzzle->scene);
    tn_hops_draw_arrows(rng, &puzzle->scene);
    for (size_t cell = 0; cell < scene->cells; cell++)
        order[cell] = (unsigned char)cell;
    if (steps > LIST_LINES && steps != LIST_COUNTS)
        tn_hops_shuffle(rng, order, scene->cells, scene->cells);
    if (steps <= LIST_LINES)
        list_words(puzzle, &list_lines[steps - 1]);
    else if (steps == LIST_COUNTS)
        list_counts(rng, puzzle);
    else if (steps == LIST_PRESENCE)
        list_presence(rng, puzzle, order, unique);
    else
        list_objects(puzzle, order, steps);
    size_t last = order[scene->cells - 1], answer = steps == LIST_ARROWS ? scene->target[last] : last, count = 0;
    for (size_t cell = 0; cell < scene->cells; cell++)
        if (cell != answer)
            order[count++] = (unsigned char)cell;
    tn_hops_offer(rng, puzzle, answer, order, count, steps == LIST_ARROWS);
    return true;
}
