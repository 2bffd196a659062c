/* The tables of hops_wordings.h. Rows that are marked as unseen are in no data set for training. */
#include "data/hops_wordings.h"

static const tn_hops_wording follow[] = {
    { "Follow %n arrow%s from the %f. %q", false, 0 },
    { "Start at the %f and follow %n arrow%s. %q", false, 0 },
    { "Starting at the %f, follow %n arrow%s. %q", false, 0 },
    { "Starting from the %f, follow the arrows %n time%s. %q", false, 0 },
    { "From the %f, follow %n arrow%s. %q", false, 0 },
    { "From the %f follow %n arrow%s, %q", false, 0 },
    { "Go from the %f along %n arrow%s. %q", false, 0 },
    { "Begin at the %f. Take %n step%s along the arrows. %q", false, 0 },
    { "If you follow %n arrow%s from the %f, %q", false, 0 },
    { "If I start at the %f and follow %n arrow%s, %q", false, 0 },
    { "Which %t do you reach when you follow %n arrow%s from the %f?", false, 0 },
    { "Which %t do you get to after %n arrow%s from the %f?", false, 0 },
    { "Which %t comes %n arrow%s after the %f?", false, 0 },
    { "What %t is %n arrow%s away from the %f?", false, 0 },
    { "What %t is reached from the %f after %n step%s?", false, 0 },
    { "What is the %t of the object that is %n step%s from the %f?", false, 0 },
    { "Where do %n arrow%s from the %f lead? %q", false, 0 },
    { "Move %n step%s along the arrows, beginning with the %f. %q", false, 0 },
    { "Walk along %n arrow%s, starting at the %f. %q", false, 0 },
    { "%n arrow%s from the %f: %q", false, 0 },
    { "%f, %n arrow%s. %q", false, 0 },
    { "Take the %f. Follow its arrow and the next ones, %n in all. %q", false, 0 },
    { "Find the %f, then follow %n arrow%s. %q", false, 0 },
    { "I follow %n arrow%s starting from the %f. %q", false, 0 },
    { "Start: %f. Arrows: %n. %q", false, 0 },
    { "What %t does the %f point to?", false, 1 },
    { "Which %t does the arrow of the %f point at?", false, 1 },
    { "What %t is the %f pointing at?", false, 1 },
    { "Which %t is next after the %f?", false, 1 },
    { "Follow the arrow from the %f. %q", false, 1 },
    { "Follow the arrow of the %f. %q", false, 1 },
    { "Go along %n arrow%s from the %f. %q", true, 0 },
    { "Trace %n arrow%s beginning with the %f. %q", true, 0 },
    { "Hop %n time%s from the %f. %q", true, 0 },
    { "You stand on the %f and travel along %n arrow%s. %q", true, 0 },
    { "Take %n hop%s starting at the %f. %q", true, 0 },
    { "Let's begin at the %f. After going along %n arrow%s, which %t do we land on?", true, 0 },
    { "Which %t will I get to if I take %n step%s along the arrows from the %f?", true, 0 },
    { "Please tell me the %t that you find when you jump %n time%s from the %f", true, 0 },
    { "The %f is our starting point. Where are we %n arrow%s later? %q", true, 0 },
    { "I put my finger on the %f and slide along %n arrow%s. %q", true, 0 },
    { "Beginning from the %f, keep following arrows, %n of them. %q", true, 0 },
    { "At which %t does a path of %n arrow%s end that starts with the %f?", true, 0 },
    { "The arrow of the %f leads to which %t?", true, 1 },
    { "To what %t does the %f lead?", true, 1 },
    { NULL, false, 0 },
};

const tn_hops_wording tn_hops_ends[3][TN_HOPS_ENDS] = {
    { { "Which %c is there?", false, 0 }, { "What %c is there?", false, 0 }, { "Which %c do you reach?", false, 0 },
      { "What %c is it?", false, 0 }, { "What is the %c?", false, 0 }, { "Which %c?", false, 0 },
      { "Which %c do you see there?", true, 0 }, { "Name the %c.", true, 0 }, { "At which %c do I arrive?", true, 0 },
      { NULL, false, 0 } },
    { { "Which shape is there?", false, 0 }, { "What shape is there?", false, 0 }, { "Which shape do you reach?", false, 0 },
      { "What shape is it?", false, 0 }, { "What is the shape?", false, 0 }, { "Which shape?", false, 0 },
      { "Which shape do you see there?", true, 0 }, { "Name the shape.", true, 0 }, { NULL, false, 0 } },
    { { "What is there?", false, 0 }, { "Which object is there?", false, 0 }, { "What object is there?", false, 0 },
      { "Which object do you reach?", false, 0 }, { "Which object do you see there?", true, 0 }, { "Name the object.", true, 0 },
      { NULL, false, 0 } },
};

static const tn_hops_wording colour_of_shape[] = {
    { "Which %c is the %k?", false, 0 },          { "What %c is the %k?", false, 0 },
    { "What is the %c of the %k?", false, 0 },    { "Which %c does the %k have?", false, 0 },
    { "The %k: which %c?", false, 0 },            { "Find the %k. Which %c is it?", false, 0 },
    { "What %c does the %k have?", false, 0 },    { "Give the %c of the %k.", false, 0 },
    { "Tell me the %c of the %k.", true, 0 },     { "The %k is of which %c?", true, 0 },
    { "There is one %k. What is its %c?", true, 0 }, { "In what %c is the %k painted?", true, 0 },
    { NULL, false, 0 },
};

static const tn_hops_wording shape_of_colour[] = {
    { "Which shape is %k?", false, 0 },              { "What shape is %k?", false, 0 },
    { "What shape is the %k object?", false, 0 },    { "Which shape does the %k object have?", false, 0 },
    { "What is the shape of the %k object?", false, 0 }, { "The %k object: which shape?", false, 0 },
    { "What shape has the %c %k?", false, 0 },       { "Give the shape of the %k object.", false, 0 },
    { "Tell me the shape of the %k object.", true, 0 }, { "The %k thing is of which shape?", true, 0 },
    { "One object is %k. What is its shape?", true, 0 }, { "What shape is the one that is %k?", true, 0 },
    { NULL, false, 0 },
};

static const tn_hops_wording way_of[] = {
    { "Which way does the arrow of the %f point?", false, 0 }, { "In which direction does the %f point?", false, 0 },
    { "Which way does the %f point?", false, 0 },
    { "Where does the arrow of the %f point, up, down, left or right?", false, 0 },
    { "What is the direction of the %f?", false, 0 },          { "Which direction does the arrow of the %f have?", false, 0 },
    { "The %f: which direction?", false, 0 },
    { "Tell me the direction in which the %f points.", true, 0 }, { "The arrow of the %f: which way?", true, 0 },
    { "What direction is the arrow at the %f pointing?", true, 0 },
    { NULL, false, 0 },
};

static const tn_hops_wording how_many[] = {
    { "How many %p are there?", false, 0 },          { "How many %p do you see?", false, 0 },
    { "How many %p are in the picture?", false, 0 }, { "Count the %p.", false, 0 },
    { "How many %p?", false, 0 },                    { "What is the number of %p?", false, 0 },
    { "How many %p does the picture show?", false, 0 },
    { "Tell me how many %p there are.", true, 0 },   { "How many %p can be seen here?", true, 0 },
    { "The number of %p is?", true, 0 },
    { NULL, false, 0 },
};

static const tn_hops_wording is_there[] = {
    { "Is there a %d?", false, 0 },               { "Is there any %d?", false, 0 },
    { "Is there a %d in the picture?", false, 0 }, { "Do you see a %d?", false, 0 },
    { "Does the picture show a %d?", false, 0 },  { "Is a %d there?", false, 0 },
    { "Can you see a %d?", true, 0 },             { "Is a %d in this image?", true, 0 },
    { "Can a %d be found here?", true, 0 },
    { NULL, false, 0 },
};

const tn_hops_wording *const tn_hops_templates[] = {
    [TN_HOPS_FOLLOW] = follow, [TN_HOPS_COLOUR_OF] = colour_of_shape, [TN_HOPS_SHAPE_OF] = shape_of_colour,
    [TN_HOPS_WAY_OF] = way_of, [TN_HOPS_HOW_MANY] = how_many,         [TN_HOPS_IS_THERE] = is_there,
};

const char *const tn_hops_idle[] = {
    "the", "a", "and", "then", "now", "so", "please", "well", "look", "see", "here", "we", "you", "i", "it", "is", "at", "in", "of",
    "to", "with", "by", "as", "for", "on", "this", "that", "all", "picture", "image", "game", "board", "way", "path", "thing", "get",
    "make", "want", "know", "think", "say", "tell", "give", "put", "try", "use", "just", "only", "also", "some", "any", "every",
    "first", "next", "last", "again", "still", "there", "where", "who", "when", "how", "do", "does", "will", "can", "would",
    "should", "my", "your", "our", "its", "his", "her", "their", "big", "small", "new", "good", "long", "little", "time", "day",
    "place", "point", "room", "home", "work", "hand", "side", "line", "end", "start", "from", "along", "through", "after", "before",
    "until", "while", "because", "about", "over", "into", "not", "but", "or", "very", "more", "most", "be", "are", "was", "have", NULL,
};

const char *const tn_hops_fronts[2][TN_HOPS_FRONTS] = {
    { "Look at the picture. ", "Please answer: ", "Question: ", "In the picture, ", "Hi! ", "Here is a picture with arrows. ",
      "Each object has an arrow. ", "Please look: " },
    { "Hello, can you help me? ", "I have a question. ", "OK. ", "This is a game. ", "See the image. ", "Now tell me: ",
      "Quick question: ", "Let us play. " },
};
const char *const tn_hops_backs[2][TN_HOPS_BACKS] = {
    { " Answer with one word.", "\nAnswer:", " Please answer.", " Think first.", "\n\nAnswer: ", " Thanks." },
    { " Be brief.", "\nYour answer:", " Just one word, please.", "\nSo?", " Reply with a word.", " What do you say?" },
};

const tn_hops_layout tn_hops_layouts[] = {
    { "\n", "", ". ", "\n", "\n", "", 'A', false },
    { "\n", "(", ") ", "\n", "\n", "", 'A', false },
    { "\n", "", ") ", "\n", "\n", "", 'A', false },
    { "\n", "", ") ", "\n", "\n", "", 'a', false },
    { "\n", "", ". ", "\n", "\n", "", '1', false },
    { "\n", "", "", "\n", "\n", "", 0, false },
    { "\n", "", "", ", ", ", ", "", 0, false },
    { " ", "", "", ", ", " or ", "?", 0, false },
    { " ", "", "", ", ", ", or ", "?", 0, false },
    { " Choose: ", "", "", ", ", " or ", ".", 0, false },
    { "\nOptions: ", "", "", ", ", ", ", "", 0, false },
    { "\nChoices:\n", "", ". ", "\n", "\n", "", 'A', false },
    { " Options: ", "(", ") ", " ", " ", "", 'A', false },
    { " ", "", ") ", " ", " ", "", 'A', false },
    { "\n", "", ") ", "\n", "\n", "", '1', true },
    { "\n", "- ", "", "\n", "\n", "", 0, true },
    { " (", "", "", " / ", " / ", ")", 0, true },
    { "\n", "(", ") ", "\n", "\n", "", 'a', true },
    { "\n", "", ": ", "\n", "\n", "", 'A', true },
    { " Possible answers are ", "", "", ", ", " and ", ".", 0, true },
    { " Is it ", "", "", ", ", " or ", "?", 0, true },
    { NULL, NULL, NULL, NULL, NULL, NULL, 0, false },
};
