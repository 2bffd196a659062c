/* Wordings of `--wordings wide` in addition to those of `seen`: short ones without verbs, and further paraphrases. None of them
 * is among those that are kept for tests. */
#include "data/hops_wordings.h"

enum { ANY = TN_HOPS_ANY_THERE, COLOUR = TN_HOPS_COLOUR_THERE, OBJECT = TN_HOPS_OBJECT_THERE };

static const tn_hops_wide follow[] = {
    { "%f, %n arrow%s, %t?", ANY },
    { "%f, %n arrow%s, %t?", COLOUR },
    { "%f, then %n arrow%s: %t?", ANY },
    { "%t %n arrow%s from %f?", ANY },
    { "%n arrow%s from %f, %t?", ANY },
    { "%n arrow%s after the %f: %t?", ANY },
    { "%n step%s on from the %f: %q", ANY },
    { "%t after %n arrow%s, start: %f", ANY },
    { "Count %n arrow%s on from the %f. %q", ANY },
    { "From the %f I make %n step%s along the arrows. %q", ANY },
    { "What's the %t %n arrow%s on from the %f?", ANY },
    { "Which %t is at the end of %n arrow%s from the %f?", ANY },
    { "%n times along the arrows from the %f, %q", ANY },
    { "The start is the %f, the number of arrows is %n. %q", ANY },
    { "I am on the %f. I go %n step%s with the arrows. %q", ANY },
    { "We leave the %f and pass %n arrow%s. %q", ANY },
    { "Which %t do I see after %n arrow%s if I start with the %f?", ANY },
    { "%n arrow%s from %f?", COLOUR },
    { "%n arrow%s from the %f", COLOUR },
    { "%f, %n arrow%s?", COLOUR },
    { "After %n arrow%s from the %f?", COLOUR },
    { "Where do I end up if I follow %n arrow%s starting at the %f?", OBJECT },
    { "Where do I end up after %n arrow%s from the %f?", OBJECT },
    { "Where do you end up when you follow %n arrow%s from the %f?", OBJECT },
    { "Start at the %f and follow %n arrow%s. Where are you?", OBJECT },
    { "Where am I after %n arrow%s from the %f?", OBJECT },
    { "Where do I get from the %f after %n arrow%s?", OBJECT },
    { "Where do you get from the %f with %n step%s?", OBJECT },
    { NULL, ANY },
};

static const tn_hops_wide colour_of_shape[] = {
    { "%k %c?", ANY },                              { "%c of the %k?", ANY },
    { "%c of %k", ANY },                            { "The only %k: %c?", ANY },
    { "What %c is the only %k?", ANY },             { "Which is the %c of the only %k?", ANY },
    { "I see one %k. Which %c has it?", ANY },      { "What's the %c of the %k?", ANY },
    { "Which %c has the %k?", ANY },                { "Say which %c the %k is.", ANY },
    { "A %k is there. What %c is it?", ANY },       { "Look for the %k and say its %c.", ANY },
    { NULL, ANY },
};

static const tn_hops_wide shape_of_colour[] = {
    { "%k shape?", ANY },                           { "Shape of the %k object?", ANY },
    { "Shape of the %k one", ANY },                 { "The %k one: what shape?", ANY },
    { "What's the shape of the %k one?", ANY },     { "What is the %k object?", ANY },
    { "What kind of object is %k?", ANY },          { "Which object is %k?", ANY },
    { "Say which shape the %k object is.", ANY },   { "The object in %k: its shape?", ANY },
    { "What shape do you see in %k?", ANY },        { "Look for the %k object and say its shape.", ANY },
    { "Is the %k object a circle, a square, a triangle, a diamond, a star or a cross?", ANY },
    { "Something is %k. Which shape has it?", ANY },
    { NULL, ANY },
};

static const tn_hops_wide way_of[] = {
    { "%f direction?", ANY },                       { "Direction of the %f?", ANY },
    { "Which way %f?", ANY },                       { "Where does the %f point?", ANY },
    { "Does the %f point up, down, left or right?", ANY }, { "What's the direction of the arrow of the %f?", ANY },
    { "Say which way the %f is pointing.", ANY },   { "The arrow next to the %f goes which way?", ANY },
    { "In which direction goes the arrow of the %f?", ANY }, { "Up, down, left or right: the %f?", ANY },
    { "Look at the %f and say its direction.", ANY }, { "There is a %f. Which way does its arrow go?", ANY },
    { NULL, ANY },
};

static const tn_hops_wide how_many[] = {
    { "%p: how many?", ANY },                       { "Number of %p", ANY },
    { "Please count the %p.", ANY },                { "Count %p", ANY },
    { "How many %p can you find?", ANY },           { "What's the number of %p?", ANY },
    { "How many %p does this image have?", ANY },   { "%p, how many", ANY },
    { "Look for all %p. How many?", ANY },          { "Say how many %p you see.", ANY },
    { NULL, ANY },
};

static const tn_hops_wide is_there[] = {
    { "Any %d?", ANY },                             { "%d?", ANY },
    { "%d there?", ANY },                           { "Does the image have a %d?", ANY },
    { "Do you find a %d?", ANY },                   { "Is there a %d or not?", ANY },
    { "Yes or no: is there a %d?", ANY },           { "Is there some %d here?", ANY },
    { "Look for a %d. Is there one?", ANY },        { "Say if there is a %d.", ANY },
    { NULL, ANY },
};

const tn_hops_wide *const tn_hops_wides[] = {
    [TN_HOPS_FOLLOW] = follow, [TN_HOPS_COLOUR_OF] = colour_of_shape, [TN_HOPS_SHAPE_OF] = shape_of_colour,
    [TN_HOPS_WAY_OF] = way_of, [TN_HOPS_HOW_MANY] = how_many,         [TN_HOPS_IS_THERE] = is_there,
};

const char *const tn_hops_loose[][2][TN_HOPS_LOOSE] = {
    [TN_HOPS_COLOUR_OF] = { { "which %c ", "what %c ", "%c ", "its %c " }, { "%k ", "one %k ", "only %k ", "the %k " } },
    [TN_HOPS_SHAPE_OF] = { { "which shape ", "what shape ", "shape ", "its shape " },
                           { "%k ", "%k object ", "%k one ", "object %k " } },
    [TN_HOPS_WAY_OF] = { { "which way ", "what direction ", "direction ", "which direction " },
                         { "%f ", "arrow %f ", "arrow of the %f ", "%f points " } },
    [TN_HOPS_HOW_MANY] = { { "how many ", "count ", "number of ", "how many " }, { "%p ", "%p ", "the %p ", "all %p " } },
    [TN_HOPS_IS_THERE] = { { "is there ", "any ", "see ", "is " }, { "a %d ", "%d ", "one %d ", "a %d there " } },
};
