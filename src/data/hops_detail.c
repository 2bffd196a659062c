/* The families `detail` and `marks`: about marks, which an image can only show in its full size (hops_mark.c). A mark has nothing
 * to do with the rest of the scene, so an image of half the size leaves the answer open. */
#include "data/hops_say.h"

#include <stdio.h>

/* Gives every object a mark; all marks are about equally frequent, and the object in `cell` has the mark `own`. */
static void draw_marks(tn_rng *rng, tn_hops_scene *scene, size_t cell, size_t own)
{
    unsigned char marks[TN_HOPS_CELLS_MAX];
    for (size_t i = 0; i < scene->cells; i++)
        marks[i] = (unsigned char)((own + i) % TN_HOPS_MARKS);
    tn_hops_shuffle(rng, marks + 1, scene->cells - 1, scene->cells - 1);
    scene->marked = true;
    for (size_t i = 0; i < scene->cells; i++)
        scene->mark[i] = marks[i];
    scene->mark[0] = scene->mark[cell];
    scene->mark[cell] = (unsigned char)own;
}

/* The options are all marks, in random order. */
static void offer_marks(tn_rng *rng, tn_hops_puzzle *puzzle, size_t answer)
{
    unsigned char marks[TN_HOPS_MARKS] = { 0, 1, 2, 3 };
    tn_hops_shuffle(rng, marks, TN_HOPS_MARKS, TN_HOPS_MARKS);
    puzzle->option_count = TN_HOPS_MARKS;
    for (size_t i = 0; i < TN_HOPS_MARKS; i++) {
        snprintf(puzzle->options[i], sizeof puzzle->options[i], "%s", tn_hops_mark_names[marks[i]]);
        if (marks[i] == answer)
            puzzle->answer = i;
    }
}

static void tell_mark(tn_hops_puzzle *puzzle, size_t cell)
{
    STEP("the mark of the %s object is %s.", tn_hops_colour_word(&puzzle->scene, cell),
         tn_hops_mark_names[puzzle->scene.mark[cell]]);
}

/* Brief steps are the colours of all objects on the way, then the mark. */
bool tn_hops_draw_detail(tn_rng *rng, tn_rng words, size_t grid, size_t steps, tn_hops_puzzle *puzzle)
{
    tn_hops_start(puzzle, grid);
    tn_hops_scene *scene = &puzzle->scene;
    tn_hops_draw_arrows(rng, scene);
    size_t from = (size_t)tn_rng_below(rng, scene->cells), end = tn_hops_follow(scene, from, steps - 1);
    if (end == scene->cells)
        return false;
    size_t named = (size_t)tn_rng_below(&words, TN_HOPS_KINDS), mark = (size_t)tn_rng_below(&words, TN_HOPS_MARKS);
    tn_hops_draw_objects_around(rng, scene, from, named);
    draw_marks(rng, scene, end, mark);
    offer_marks(rng, puzzle, mark);
    const tn_hops_noun name = tn_hops_kind_name(named);
    if (steps == 1)
        ASK("What is the mark of the %s?", name.text);
    else
        ASK("Follow %s arrow%s from the %s. What is the mark there?", tn_hops_numbers[steps - 1], steps > 2 ? "s" : "", name.text);
    for (size_t i = 0, cell = from; i < steps; i++, cell = scene->target[cell]) {
        if (i + 1 < steps)
            tn_hops_tell_arrow(puzzle, cell);
        BRIEFLY("%s", tn_hops_colour_word(scene, cell));
    }
    tell_mark(puzzle, end);
    BRIEFLY("%s", tn_hops_mark_names[mark]);
    puzzle->looks = true;
    puzzle->goal = end;
    puzzle->look_after[0] = steps - 1;
    puzzle->look_after[1] = steps;
    return true;
}

/* A list of the marks of all objects in random order, with which a model learns to see them, like the lists of the family `list`. */
bool tn_hops_draw_marks(tn_rng *rng, tn_rng words, size_t grid, size_t steps, tn_hops_puzzle *puzzle)
{
    (void)steps;
    tn_hops_start(puzzle, grid);
    tn_hops_scene *scene = &puzzle->scene;
    unsigned char order[TN_HOPS_CELLS_MAX];
    for (size_t cell = 0; cell < scene->cells; cell++)
        order[cell] = (unsigned char)cell;
    tn_hops_draw_arrows(rng, scene);
    tn_hops_draw_objects(rng, scene);
    tn_hops_shuffle(rng, order, scene->cells, scene->cells);
    size_t last = order[scene->cells - 1], mark = (size_t)tn_rng_below(&words, TN_HOPS_MARKS);
    draw_marks(rng, scene, last, mark);
    offer_marks(rng, puzzle, mark);
    ASK("Tell the marks of all objects. Which mark is there last?");
    for (size_t i = 0; i < scene->cells; i++) {
        tell_mark(puzzle, order[i]);
        BRIEFLY("%s %s", tn_hops_colour_word(scene, order[i]), tn_hops_mark_names[scene->mark[order[i]]]);
    }
    return true;
}
