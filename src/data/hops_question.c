/* The families of questions, their options, and the sentences that answer them. */
#include "data/hops_say.h"

#include <stdio.h>
#include <string.h>

/* -------------------------------------------------------------- options -- */

/* The tn_hops_numbers `first` .. `first` + 3 in random order. */
static void offer_numbers(tn_rng *rng, tn_hops_puzzle *puzzle, size_t first, size_t answer)
{
    unsigned char values[TN_HOPS_OPTIONS];
    for (size_t i = 0; i < TN_HOPS_OPTIONS; i++)
        values[i] = (unsigned char)(first + i);
    tn_hops_shuffle(rng, values, TN_HOPS_OPTIONS, TN_HOPS_OPTIONS);
    puzzle->option_count = TN_HOPS_OPTIONS;
    for (size_t i = 0; i < TN_HOPS_OPTIONS; i++) {
        snprintf(puzzle->options[i], sizeof puzzle->options[i], "%u", (unsigned)values[i]);
        if (values[i] == answer)
            puzzle->answer = i;
    }
}

/* --------------------------------------------------------------- arrows -- */

static size_t colour_of_board(const tn_hops_scene *scene, size_t cell)
{
    return (cell / scene->grid + cell % scene->grid) % 2;
}

/* A random cell that is not `barred` and from which `steps` arrows lead to `end`; scene->cells if there is none. */
static size_t draw_start(tn_rng *rng, const tn_hops_scene *scene, size_t end, size_t steps, uint64_t barred)
{
    unsigned char starts[TN_HOPS_CELLS_MAX];
    size_t count = 0;
    for (size_t cell = 0; cell < scene->cells; cell++)
        if ((barred >> cell & 1) == 0 && tn_hops_follow(scene, cell, steps) == end)
            starts[count++] = (unsigned char)cell;
    return count > 0 ? starts[tn_rng_below(rng, count)] : scene->cells;
}

/* The cells on squares of one colour to which `steps` arrows lead from somewhere. */
static size_t list_ends(const tn_hops_scene *scene, size_t steps, size_t colour, unsigned char *ends)
{
    uint64_t seen = 0;
    size_t count = 0;
    for (size_t cell = 0; cell < scene->cells; cell++) {
        size_t end = tn_hops_follow(scene, cell, steps);
        if (end < scene->cells && colour_of_board(scene, end) == colour && (seen >> end & 1) == 0) {
            seen |= (uint64_t)1 << end;
            ends[count++] = (unsigned char)end;
        }
    }
    return count;
}

static size_t gap(size_t a, size_t b)
{
    return a > b ? a - b : b - a;
}

/* The distance in steps along the grid. */
static size_t steps_between(const tn_hops_scene *scene, size_t a, size_t b)
{
    return gap(a / scene->grid, b / scene->grid) + gap(a % scene->grid, b % scene->grid);
}

/* The distance from start to answer must not give the answer away. At least two further options must be in reach. After three
 * and more hops, only a part of the distant answers is kept, so that the four options are about equally likely at every
 * distance (the shares were fitted on the 4 x 4 grid). ends[0] is the answer. */
static bool is_fair(tn_rng *rng, const tn_hops_scene *scene, size_t from, const unsigned char *ends, size_t steps)
{
    static const double keep[TN_HOPS_STEPS_MAX + 1] = { 1, 1, 1, 0.8, 1, 0.6, 0.55, 0.9, 1 };
    size_t in_reach = 0;
    for (size_t i = 0; i < TN_HOPS_OPTIONS; i++)
        in_reach += steps_between(scene, from, ends[i]) <= steps;
    double kept = 1;
    for (size_t i = 1; i < steps_between(scene, from, ends[0]); i++)
        kept *= keep[steps];
    return in_reach >= TN_HOPS_OPTIONS - 1 && tn_rng_uniform(rng) < kept;
}

/* Follow the arrows. To every option, the same number of arrows leads from some object, and all options are on squares of one
 * colour of a chessboard, which a hop changes. So neither the number of objects that point at an option nor their distance is a
 * hint. One option is drawn as the answer, and then one of its starts that is not an option; every option must have such a
 * start. Grids below 4 x 4 are too small for this; there, any object may be a wrong option. */
static bool draw_arrows(tn_rng *rng, tn_rng words, size_t grid, size_t steps, tn_hops_puzzle *puzzle)
{
    tn_hops_start(puzzle, grid);
    tn_hops_scene *scene = &puzzle->scene;
    tn_hops_draw_arrows(rng, scene);
    unsigned char ends[TN_HOPS_CELLS_MAX];
    size_t count = list_ends(scene, steps, (size_t)tn_rng_below(rng, 2), ends), wanted = grid < 4 ? 1 : TN_HOPS_OPTIONS;
    if (count < wanted)
        return false;
    tn_hops_shuffle(rng, ends, count, wanted);
    uint64_t barred = 0;
    for (size_t i = 0; i < wanted; i++)
        barred |= (uint64_t)1 << ends[i];
    size_t answer = ends[0], from = draw_start(rng, scene, answer, steps, barred);
    for (size_t i = 0; i < wanted; i++)
        if (draw_start(rng, scene, ends[i], steps, barred) == scene->cells)
            return false;
    if (wanted > 1 && !is_fair(rng, scene, from, ends, steps))
        return false;
    tn_hops_draw_objects_around(rng, scene, from, (size_t)tn_rng_below(&words, TN_HOPS_KINDS));
    if (wanted == 1) {
        count = 1;
        for (size_t cell = 0; cell < scene->cells; cell++)
            if (cell != from && cell != answer)
                ends[count++] = (unsigned char)cell;
        wanted = count;
    }
    tn_hops_offer(rng, puzzle, answer, ends + 1, wanted - 1, true);
    puzzle->steps = steps;
    puzzle->named = scene->kind[from];
    puzzle->goal = answer;
    puzzle->wrong_count = puzzle->option_count - 1;
    memcpy(puzzle->wrong, ends + 1, puzzle->wrong_count);
    ASK("Follow %s arrow%s from the %s. Which colour is there?", tn_hops_numbers[steps], steps > 1 ? "s" : "",
        tn_hops_kind_name(scene->kind[from]).text);
    for (size_t i = 0, cell = from; i < steps; i++, cell = scene->target[cell]) {
        tn_hops_tell_arrow(puzzle, cell);
        BRIEFLY("%s", tn_hops_colour_word(scene, cell));
    }
    return true;
}

/* -------------------------------------------------------------- nearest -- */

/* The squared distance, in cells. */
static size_t square_distance(const tn_hops_scene *scene, size_t a, size_t b)
{
    size_t rows = gap(a / scene->grid, b / scene->grid), columns = gap(a % scene->grid, b % scene->grid);
    return rows * rows + columns * columns;
}

/* The other object with a property that is clearly the nearest; scene->cells if there is none. */
static size_t nearest(const tn_hops_scene *scene, size_t from, size_t property)
{
    size_t best = scene->cells, first = SIZE_MAX, second = SIZE_MAX;
    for (size_t cell = 0; cell < scene->cells; cell++) {
        if (cell == from || !tn_hops_has(scene->kind[cell], property))
            continue;
        size_t distance = square_distance(scene, from, cell);
        if (distance < first) {
            second = first;
            first = distance;
            best = cell;
        } else if (distance < second)
            second = distance;
    }
    /* squared distances: with a ratio of 10 : 13, jitter cannot change the order */
    return best < scene->cells && (second == SIZE_MAX || 10 * second >= 13 * first) ? best : scene->cells;
}

static bool has_any(size_t kind, const unsigned char *properties, size_t count)
{
    for (size_t i = 0; i < count; i++)
        if (tn_hops_has(kind, properties[i]))
            return true;
    return false;
}

/* Draws objects such that four or five have the last property and none of the earlier ones; the object at `from` has none of
 * them. */
static bool draw_objects_with(tn_rng *rng, tn_hops_scene *scene, const unsigned char *properties, size_t count,
                              size_t from)
{
    unsigned char wanted[TN_HOPS_COMMON_KINDS], rest[TN_HOPS_COMMON_KINDS], chosen[TN_HOPS_CELLS_MAX];
    size_t wanted_count = 0, rest_count = 0, take = 4 + (size_t)tn_rng_below(rng, 2);
    for (size_t kind = 0; kind < TN_HOPS_COMMON_KINDS; kind++) {
        bool last = tn_hops_has(kind, properties[count - 1]), earlier = has_any(kind, properties, count - 1);
        if (kind == from)
            continue;
        if (last && !earlier)
            wanted[wanted_count++] = (unsigned char)kind;
        else
            rest[rest_count++] = (unsigned char)kind;
    }
    if (take > wanted_count)
        take = wanted_count;
    if (take < TN_HOPS_OPTIONS || take + 1 > scene->cells || scene->cells - take - 1 > rest_count)
        return false;
    tn_hops_shuffle(rng, wanted, wanted_count, take);
    tn_hops_shuffle(rng, rest, rest_count, scene->cells - take - 1);
    chosen[0] = (unsigned char)from;
    memcpy(chosen + 1, wanted, take);
    memcpy(chosen + 1 + take, rest, scene->cells - take - 1);
    tn_hops_shuffle(rng, chosen, scene->cells, scene->cells);
    memcpy(scene->kind, chosen, scene->cells);
    return true;
}

/* Draws `steps` different properties, and an object that has none of them. */
static size_t draw_properties(tn_rng *rng, unsigned char *properties, size_t steps)
{
    for (size_t i = 0; i < TN_HOPS_PROPERTIES; i++)
        properties[i] = (unsigned char)i;
    tn_hops_shuffle(rng, properties, TN_HOPS_PROPERTIES, steps);
    size_t kind;
    do
        kind = (size_t)tn_rng_below(rng, TN_HOPS_COMMON_KINDS);
    while (has_any(kind, properties, steps));
    return kind;
}

/* Go to the nearest object with a property, from there to the nearest with another. All options have the last
 * property and none of the earlier ones, so that the words do not tell them apart. */
static bool draw_nearest(tn_rng *rng, tn_rng words, size_t grid, size_t steps, tn_hops_puzzle *puzzle)
{
    unsigned char properties[TN_HOPS_PROPERTIES], others[TN_HOPS_CELLS_MAX];
    tn_hops_start(puzzle, grid);
    tn_hops_scene *scene = &puzzle->scene;
    size_t kind = draw_properties(&words, properties, steps), count = 0;
    if (!draw_objects_with(rng, scene, properties, steps, kind))
        return false;
    tn_hops_draw_arrows(rng, scene);
    size_t cell = tn_hops_find(scene, kind);
    uint64_t seen = 0;
    ASK("Go from the %s", tn_hops_kind_name(kind).text);
    for (size_t i = 0; i < steps; i++) {
        seen |= (uint64_t)1 << cell;
        size_t next = nearest(scene, cell, properties[i]);
        if (next == scene->cells || (seen >> next & 1) != 0)
            return false;
        ASK("%s to the nearest %s", i > 0 ? ", then" : "", tn_hops_property_name(properties[i], false).text);
        STEP("the nearest %s to the %s is the %s.", tn_hops_property_name(properties[i], false).text,
             tn_hops_kind_name(scene->kind[cell]).text, tn_hops_kind_name(scene->kind[next]).text);
        cell = next;
    }
    ASK(". What is there?");
    if (has_any(scene->kind[cell], properties, steps - 1))
        return false;
    for (size_t other = 0; other < scene->cells; other++)
        if (other != cell && tn_hops_has(scene->kind[other], properties[steps - 1]) &&
            !has_any(scene->kind[other], properties, steps - 1))
            others[count++] = (unsigned char)other;
    tn_hops_offer(rng, puzzle, cell, others, count, false);
    return true;
}

/* ---------------------------------------------------------------- count -- */

/* Counts an object and adds a sentence about it. */
static void note(tn_hops_puzzle *puzzle, size_t cell, size_t *count)
{
    STEP("there is a %s.", tn_hops_kind_name(puzzle->scene.kind[cell]).text);
    (*count)++;
}

/* How many objects have a property. */
static size_t count_property(tn_rng *words, tn_hops_puzzle *puzzle)
{
    size_t property = (size_t)tn_rng_below(words, TN_HOPS_PROPERTIES), count = 0;
    ASK("How many %s are there?", tn_hops_property_name(property, true).text);
    for (size_t cell = 0; cell < puzzle->scene.cells; cell++)
        if (tn_hops_has(puzzle->scene.kind[cell], property))
            note(puzzle, cell, &count);
    return count;
}

/* How many objects with a property point in a direction. */
static size_t count_pointing(tn_rng *words, tn_hops_puzzle *puzzle)
{
    const tn_hops_scene *scene = &puzzle->scene;
    size_t property = (size_t)tn_rng_below(words, TN_HOPS_PROPERTIES), way = (size_t)tn_rng_below(words, 4), count = 0;
    ASK("How many %s point %s?", tn_hops_property_name(property, true).text, tn_hops_way_names[way]);
    for (size_t cell = 0; cell < scene->cells; cell++)
        if (tn_hops_has(scene->kind[cell], property)) {
            STEP("the %s points %s.", tn_hops_kind_name(scene->kind[cell]).text, tn_hops_way_names[scene->arrow[cell]]);
            count += scene->arrow[cell] == way;
        }
    return count;
}

/* How many other objects share a property with the one that an arrow points to; SIZE_MAX if the named object does not exist. */
static size_t count_alike(tn_rng *words, tn_hops_puzzle *puzzle)
{
    const tn_hops_scene *scene = &puzzle->scene;
    size_t named = (size_t)tn_rng_below(words, TN_HOPS_COMMON_KINDS), from = tn_hops_find(scene, named), count = 0;
    bool by_colour = tn_rng_below(words, 2) == 0;
    if (from == scene->cells)
        return SIZE_MAX;
    size_t to = scene->target[from], kind = scene->kind[to];
    size_t property = by_colour ? tn_hops_colour(kind) : TN_HOPS_COMMON + tn_hops_shape(kind);
    ASK("Follow one arrow from the %s. How many other objects have the same %s?", tn_hops_kind_name(named).text,
        by_colour ? "colour" : "shape");
    STEP("the %s points to the %s.", tn_hops_kind_name(named).text, tn_hops_kind_name(kind).text);
    for (size_t cell = 0; cell < scene->cells; cell++)
        if (cell != to && tn_hops_has(scene->kind[cell], property))
            note(puzzle, cell, &count);
    return count;
}

/* Count after one filter, after two filters, or after a hop and a filter. All four numbers are equally frequent. */
static bool draw_count(tn_rng *rng, tn_rng words, size_t grid, size_t steps, tn_hops_puzzle *puzzle)
{
    tn_hops_start(puzzle, grid);
    size_t first = steps == 1, wanted = first + (size_t)tn_rng_below(&words, TN_HOPS_OPTIONS);
    tn_hops_draw_common_objects(rng, &puzzle->scene);
    tn_hops_draw_arrows(rng, &puzzle->scene);
    size_t count = steps == 1   ? count_property(&words, puzzle)
                   : steps == 2 ? count_pointing(&words, puzzle)
                                : count_alike(&words, puzzle);
    if (count != wanted)
        return false;
    STEP("the count is %zu.", count);
    offer_numbers(rng, puzzle, first, count);
    return true;
}

/* ------------------------------------------------------------- families -- */

const tn_hops_family tn_hops_families[] = {
    { "arrows", TN_HOPS_STEPS_MAX, 6, 0, draw_arrows },
    { "nearest", 3, 3, -1, draw_nearest },
    { "count", 3, 3, -1, draw_count },
    { "list", TN_HOPS_LISTS, 0, -1, tn_hops_draw_list },
    { "sight", TN_HOPS_SIGHTS, 0, -1, tn_hops_draw_sight },
    { "detail", TN_HOPS_DETAILS, 0, 1, tn_hops_draw_detail },
    { "marks", 1, 0, -1, tn_hops_draw_marks },
    { 0 },
};

bool tn_hops_draw(tn_rng *rng, const tn_hops_family *family, size_t grid, size_t steps, const char *split,
                  tn_hops_puzzle *puzzle)
{
    enum { TRIES = 200000, TRIES_WITH_WORDS = 20000 }; /* some words may not fit any scene of a small grid */
    tn_rng words = { 0 };
    for (size_t i = 0; i < TRIES; i++) {
        if (i % TRIES_WITH_WORDS == 0)
            words = tn_rng_seed(tn_rng_next(rng));
        if (family->draw(rng, words, grid, steps, puzzle) && strcmp(tn_hops_split_of(&puzzle->scene), split) == 0)
            return true;
    }
    return false;
}
