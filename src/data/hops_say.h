/* Shared by the families of questions: words for objects, sentences, options. For data/hops*.c. */
#ifndef TN_DATA_HOPS_SAY_H
#define TN_DATA_HOPS_SAY_H

#include "data/hops.h"

/* "up", "right", "down", "left"; "zero" .. "eight". */
extern const char *const tn_hops_way_names[4], *const tn_hops_numbers[TN_HOPS_STEPS_MAX + 1];

typedef struct tn_hops_noun {
    char text[TN_HOPS_NAME];
} tn_hops_noun;

/* Names of a kind ("red circle"), of the colour in a cell ("red"), and of a property ("blue object", "square"; with `many`
 * "blue objects", "squares"). */
tn_hops_noun tn_hops_kind_name(size_t kind);
const char *tn_hops_colour_word(const tn_hops_scene *scene, size_t cell);
tn_hops_noun tn_hops_property_name(size_t property, bool many);

/* An empty puzzle. */
void tn_hops_start(tn_hops_puzzle *puzzle, size_t grid);

/* The first appends to a text of `size` bytes and cuts what does not fit (the longest question and rationale fit). The second
 * ends the current line of a text of TN_HOPS_TEXT bytes, unless the text is empty. */
void tn_hops_say(char *text, size_t size, const char *format, ...) TN_PRINTF(3, 4);
void tn_hops_end_line(char *text, const char *end);

/* For a variable `puzzle`: set the question; add the next step as a sentence; add it as one or two words. */
#define ASK(...) tn_hops_say(puzzle->question, sizeof puzzle->question, __VA_ARGS__)
#define STEP(...) (tn_hops_end_line(puzzle->rationale, "\n"), tn_hops_say(puzzle->rationale, TN_HOPS_TEXT, __VA_ARGS__))
#define BRIEFLY(...) (tn_hops_end_line(puzzle->brief, ".\n"), tn_hops_say(puzzle->brief, TN_HOPS_TEXT, __VA_ARGS__))

/* Adds a step: what an object's arrow points to. */
void tn_hops_tell_arrow(tn_hops_puzzle *puzzle, size_t cell);

/* Sets the options: the cell of the answer and random ones of `others`, in random order, by their names or only by their
 * colours. */
void tn_hops_offer(tn_rng *rng, tn_hops_puzzle *puzzle, size_t answer, unsigned char *others, size_t count, bool colours);

#endif
