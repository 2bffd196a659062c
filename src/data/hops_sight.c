/* The family `sight`: questions that require one look. */
#include "data/hops.h"

#include <string.h>

/* The number of objects that are of a kind, or that have a colour or a shape; *cell is the last of them. */
static size_t count(const tn_hops_puzzle *puzzle, bool whole, size_t *cell)
{
    const tn_hops_scene *scene = &puzzle->scene;
    size_t found = 0;
    for (size_t i = 0; i < scene->cells; i++) {
        size_t kind = scene->kind[i], named = puzzle->named;
        bool fits = whole                     ? kind == named
                    : named < TN_HOPS_COLOURS ? tn_hops_colour(kind) == named
                                              : tn_hops_shape(kind) == named - TN_HOPS_COLOURS;
        found += fits;
        if (fits)
            *cell = i;
    }
    return found;
}

/* Asks for the colour of the only object of a shape. */
static bool draw_colour_of(tn_rng *rng, tn_rng *words, tn_hops_puzzle *puzzle)
{
    size_t shape = (size_t)tn_rng_below(words, TN_HOPS_SHAPES);
    tn_hops_draw_objects(rng, &puzzle->scene);
    puzzle->named = TN_HOPS_COLOURS + shape;
    if (count(puzzle, false, &puzzle->goal) != 1)
        return false;
    puzzle->named = puzzle->scene.kind[puzzle->goal];
    return true;
}

/* Asks about an object that is named by its colour. */
static bool draw_named(tn_rng *rng, tn_rng *words, tn_hops_puzzle *puzzle)
{
    puzzle->named = (size_t)tn_rng_below(words, TN_HOPS_KINDS);
    puzzle->goal = (size_t)tn_rng_below(rng, puzzle->scene.cells);
    tn_hops_draw_objects_around(rng, &puzzle->scene, puzzle->goal, puzzle->named);
    return true;
}

/* Asks how many objects there are; all numbers are equally frequent. A colour is only asked about in scenes of common colours,
 * because in other scenes every colour occurs at most once. */
static bool draw_how_many(tn_rng *rng, tn_rng *words, tn_hops_puzzle *puzzle)
{
    size_t property = (size_t)tn_rng_below(words, TN_HOPS_PROPERTIES), cell;
    size_t wanted = (size_t)tn_rng_below(words, TN_HOPS_COUNT_MAX + 1);
    bool colour = property < TN_HOPS_COMMON;
    if (colour || tn_rng_below(words, 2) == 0)
        tn_hops_draw_common_objects(rng, &puzzle->scene);
    else
        tn_hops_draw_objects(rng, &puzzle->scene);
    puzzle->named = colour ? property : TN_HOPS_COLOURS + property - TN_HOPS_COMMON;
    puzzle->goal = count(puzzle, false, &cell);
    return puzzle->goal == wanted;
}

/* Asks whether there is an object; yes and no are equally frequent. */
static bool draw_is_there(tn_rng *rng, tn_rng *words, tn_hops_puzzle *puzzle)
{
    size_t cell, property = (size_t)tn_rng_below(words, TN_HOPS_PROPERTIES);
    bool wanted = tn_rng_below(words, 2) == 0, unique = tn_rng_below(words, 2) == 0;
    puzzle->whole = tn_rng_below(words, 5) < 3;
    if (puzzle->whole)
        puzzle->named = (size_t)tn_rng_below(words, unique ? TN_HOPS_KINDS : TN_HOPS_COMMON_KINDS);
    else
        puzzle->named = property < TN_HOPS_COMMON ? property : TN_HOPS_COLOURS + property - TN_HOPS_COMMON;
    if (unique && (puzzle->whole || puzzle->named >= TN_HOPS_COLOURS))
        tn_hops_draw_objects(rng, &puzzle->scene);
    else
        tn_hops_draw_common_objects(rng, &puzzle->scene);
    puzzle->goal = count(puzzle, puzzle->whole, &cell) > 0;
    return (puzzle->goal > 0) == wanted;
}

bool tn_hops_draw_sight(tn_rng *rng, tn_rng words, size_t grid, size_t steps, tn_hops_puzzle *puzzle)
{
    *puzzle = (tn_hops_puzzle){ .scene = { .grid = grid, .cells = grid * grid }, .ask = (tn_hops_ask)steps };
    bool drawn = puzzle->ask == TN_HOPS_COLOUR_OF  ? draw_colour_of(rng, &words, puzzle)
                 : puzzle->ask == TN_HOPS_HOW_MANY ? draw_how_many(rng, &words, puzzle)
                 : puzzle->ask == TN_HOPS_IS_THERE ? draw_is_there(rng, &words, puzzle)
                                                   : draw_named(rng, &words, puzzle);
    if (!drawn)
        return false;
    tn_hops_draw_arrows(rng, &puzzle->scene);
    tn_hops_word(rng, puzzle);
    return true;
}
