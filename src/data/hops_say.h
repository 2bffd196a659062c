/* What the families of questions share: words for what is seen, sentences, options. For data/hops*.c. */
#ifndef TN_DATA_HOPS_SAY_H
#define TN_DATA_HOPS_SAY_H

#include "data/hops.h"

/* "up", "right", "down", "left"; "zero" .. "eight". */
extern const char *const tn_hops_way_names[4], *const tn_hops_numbers[TN_HOPS_STEPS_MAX + 1];

typedef struct tn_hops_noun {
    char text[TN_HOPS_NAME];
} tn_hops_noun;

/* "red circle"; "red"; "blue object", "square", or with `many` "blue objects", "squares". */
tn_hops_noun tn_hops_kind_name(size_t kind);
const char *tn_hops_colour_word(const tn_hops_scene *scene, size_t cell);
tn_hops_noun tn_hops_property_name(size_t property, bool many);

/* An empty puzzle. */
void tn_hops_start(tn_hops_puzzle *puzzle, size_t grid);

/* Appends to a text of `size` bytes; what does not fit is cut (the longest question and rationale do fit). The second ends a line of
 * TN_HOPS_TEXT, if there is one. */
void tn_hops_say(char *text, size_t size, const char *format, ...) TN_PRINTF(3, 4);
void tn_hops_end_line(char *text, const char *end);

/* Of the puzzle named `puzzle`: the question; the next step, in a sentence, and in a word or two. */
#define ASK(...) tn_hops_say(puzzle->question, sizeof puzzle->question, __VA_ARGS__)
#define STEP(...) (tn_hops_end_line(puzzle->rationale, "\n"), tn_hops_say(puzzle->rationale, TN_HOPS_TEXT, __VA_ARGS__))
#define BRIEFLY(...) (tn_hops_end_line(puzzle->brief, ".\n"), tn_hops_say(puzzle->brief, TN_HOPS_TEXT, __VA_ARGS__))

/* The answer's cell and random ones of `others`, in random order, by their names or by their colours alone. */
void tn_hops_offer(tn_rng *rng, tn_hops_puzzle *puzzle, size_t answer, unsigned char *others, size_t count, bool colours);

#endif
