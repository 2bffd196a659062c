#include "data/hops_say.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

const char *const tn_hops_colour_names[TN_HOPS_COLOURS] = {
    "red", "green", "blue", "yellow", "purple", "cyan", "orange", "pink",
    "brown", "grey", "lilac", "lime", "teal", "navy", "maroon", "tan",
};
const char *const tn_hops_shape_names[TN_HOPS_SHAPES] = { "circle", "square", "triangle", "diamond", "star", "cross" };

const char *const tn_hops_mark_names[TN_HOPS_MARKS] = { "plain", "bars", "lines", "checks" };

const char *const tn_hops_way_names[4] = { "up", "right", "down", "left" };
const char *const tn_hops_numbers[TN_HOPS_STEPS_MAX + 1] = { "zero", "one", "two",   "three", "four",
                                                            "five", "six", "seven", "eight" };

tn_hops_noun tn_hops_kind_name(size_t kind)
{
    tn_hops_noun name;
    snprintf(name.text, sizeof name.text, "%s %s", tn_hops_colour_names[tn_hops_colour(kind)],
             tn_hops_shape_names[tn_hops_shape(kind)]);
    return name;
}

const char *tn_hops_colour_word(const tn_hops_scene *scene, size_t cell)
{
    return tn_hops_colour_names[tn_hops_colour(scene->kind[cell])];
}

tn_hops_noun tn_hops_property_name(size_t property, bool many)
{
    tn_hops_noun name;
    if (property < TN_HOPS_COMMON)
        snprintf(name.text, sizeof name.text, "%s object%s", tn_hops_colour_names[property], many ? "s" : "");
    else {
        const char *shape = tn_hops_shape_names[property - TN_HOPS_COMMON];
        bool hiss = shape[strlen(shape) - 1] == 's';
        snprintf(name.text, sizeof name.text, "%s%s", shape, !many ? "" : hiss ? "es" : "s");
    }
    return name;
}

void tn_hops_say(char *text, size_t size, const char *format, ...)
{
    size_t used = strlen(text);
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(text + used, size - used, format, arguments);
    va_end(arguments);
}

void tn_hops_end_line(char *text, const char *end)
{
    if (text[0] != '\0')
        tn_hops_say(text, TN_HOPS_TEXT, "%s", end);
}

void tn_hops_tell_arrow(tn_hops_puzzle *puzzle, size_t cell)
{
    const tn_hops_scene *scene = &puzzle->scene;
    STEP("the arrow of the %s object points to the %s object.", tn_hops_colour_word(scene, cell),
         tn_hops_colour_word(scene, scene->target[cell]));
}

void tn_hops_start(tn_hops_puzzle *puzzle, size_t grid)
{
    *puzzle = (tn_hops_puzzle){ .scene = { .grid = grid, .cells = grid * grid } };
}

void tn_hops_offer(tn_rng *rng, tn_hops_puzzle *puzzle, size_t answer, unsigned char *others, size_t count, bool colours)
{
    size_t wrong = count < TN_HOPS_OPTIONS - 1 ? count : TN_HOPS_OPTIONS - 1;
    tn_hops_shuffle(rng, others, count, wrong);
    puzzle->option_count = wrong + 1;
    puzzle->answer = (size_t)tn_rng_below(rng, puzzle->option_count);
    for (size_t i = 0, next = 0; i <= wrong; i++) {
        size_t cell = i == puzzle->answer ? answer : others[next++];
        snprintf(puzzle->options[i], sizeof puzzle->options[i], "%s",
                 colours ? tn_hops_colour_word(&puzzle->scene, cell) : tn_hops_kind_name(puzzle->scene.kind[cell]).text);
    }
}
