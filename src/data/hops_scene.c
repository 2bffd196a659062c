#include "data/hops.h"

#include <string.h>

void tn_hops_shuffle(tn_rng *rng, unsigned char *items, size_t size, size_t count)
{
    for (size_t i = 0; i < count && i + 1 < size; i++) {
        size_t j = i + (size_t)tn_rng_below(rng, size - i);
        unsigned char held = items[i];
        items[i] = items[j];
        items[j] = held;
    }
}

/* The neighbour of a cell in a direction; scene->cells if that is outside the grid. */
static size_t neighbour(const tn_hops_scene *scene, size_t cell, size_t direction)
{
    size_t row = cell / scene->grid, column = cell % scene->grid;
    if ((direction == 0 && row == 0) || (direction == 2 && row + 1 == scene->grid) ||
        (direction == 3 && column == 0) || (direction == 1 && column + 1 == scene->grid))
        return scene->cells;
    switch (direction) {
    case 0: return cell - scene->grid;
    case 1: return cell + 1;
    case 2: return cell + scene->grid;
    default: return cell - 1;
    }
}

/* Draws arrows cell by cell; returns false if a cell has no possible direction left. */
static bool try_arrows(tn_rng *rng, tn_hops_scene *scene)
{
    memset(scene->target, 0xFF, sizeof scene->target);
    for (size_t cell = 0; cell < scene->cells; cell++) {
        unsigned char open[4];
        size_t count = 0;
        for (size_t direction = 0; direction < 4; direction++) {
            size_t to = neighbour(scene, cell, direction);
            if (to < scene->cells && scene->target[to] != cell)
                open[count++] = (unsigned char)direction;
        }
        if (count == 0)
            return false;
        scene->arrow[cell] = open[tn_rng_below(rng, count)];
        scene->target[cell] = (unsigned char)neighbour(scene, cell, scene->arrow[cell]);
    }
    return true;
}

void tn_hops_draw_arrows(tn_rng *rng, tn_hops_scene *scene)
{
    while (!try_arrows(rng, scene))
        continue;
}

void tn_hops_draw_objects(tn_rng *rng, tn_hops_scene *scene)
{
    unsigned char colours[TN_HOPS_COLOURS];
    for (size_t i = 0; i < TN_HOPS_COLOURS; i++)
        colours[i] = (unsigned char)i;
    tn_hops_shuffle(rng, colours, TN_HOPS_COLOURS, scene->cells);
    for (size_t cell = 0; cell < scene->cells; cell++)
        scene->kind[cell] = (unsigned char)(colours[cell] * TN_HOPS_SHAPES + tn_rng_below(rng, TN_HOPS_SHAPES));
}

void tn_hops_draw_objects_around(tn_rng *rng, tn_hops_scene *scene, size_t cell, size_t kind)
{
    tn_hops_draw_objects(rng, scene);
    size_t other = 0;
    while (other < scene->cells && tn_hops_colour(scene->kind[other]) != tn_hops_colour(kind))
        other++;
    if (other < scene->cells)
        scene->kind[other] = scene->kind[cell];
    scene->kind[cell] = (unsigned char)kind;
}

void tn_hops_draw_common_objects(tn_rng *rng, tn_hops_scene *scene)
{
    unsigned char kinds[TN_HOPS_COMMON_KINDS];
    for (size_t i = 0; i < TN_HOPS_COMMON_KINDS; i++)
        kinds[i] = (unsigned char)i;
    tn_hops_shuffle(rng, kinds, TN_HOPS_COMMON_KINDS, scene->cells);
    memcpy(scene->kind, kinds, scene->cells);
}

size_t tn_hops_find(const tn_hops_scene *scene, size_t kind)
{
    size_t cell = 0;
    while (cell < scene->cells && scene->kind[cell] != kind)
        cell++;
    return cell;
}

size_t tn_hops_follow(const tn_hops_scene *scene, size_t cell, size_t steps)
{
    uint64_t seen = (uint64_t)1 << cell;
    for (size_t i = 0; i < steps; i++) {
        cell = scene->target[cell];
        if ((seen >> cell & 1) != 0)
            return scene->cells;
        seen |= (uint64_t)1 << cell;
    }
    return cell;
}

const char *tn_hops_split_of(const tn_hops_scene *scene)
{
    uint64_t hash = 0xCBF29CE484222325u; /* FNV-1a */
    for (size_t cell = 0; cell < scene->cells; cell++) {
        hash = (hash ^ scene->kind[cell]) * 0x100000001B3u;
        hash = (hash ^ scene->arrow[cell]) * 0x100000001B3u;
    }
    tn_rng mixed = tn_rng_seed(hash);
    switch (tn_rng_next(&mixed) % 10) {
    case 0: return "test";
    case 1: return "dev";
    default: return "train";
    }
}
