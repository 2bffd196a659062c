/* Words the same questions as people type them: with many templates, spellings and layouts of choices. Those that are marked as
 * unseen are kept for tests. The wording `verbatim` uses such a question as it is. */
#include "data/hops_say.h"
#include "data/hops_wordings.h"

#include <ctype.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

/* ---------------------------------------------------------------- words -- */

/* The manner in which a question is worded. */
typedef struct saying {
    bool unseen;   /* with the templates that are kept for tests           */
    bool american; /* "color", "gray"                                      */
    bool digits;   /* "4 arrows"                                           */
    bool lower;    /* no capitals                                          */
    bool bare;     /* no full stop or question mark at the end             */
    size_t target;
    bool wide;     /* with the templates of tn_hops_wides                  */
    const char *order; /* if there is no template: the order of number, object and question, a permutation of "nfq" or of "fq";
                        * else NULL */
    const char *template; /* NULL: not chosen yet */
} saying;

typedef struct writer {
    char *text;
    size_t size, used;
} writer;

static void put(writer *out, const char *format, ...) TN_PRINTF(2, 3);

/* Appends to the text and cuts what does not fit; the longest question fits. */
static void put(writer *out, const char *format, ...)
{
    va_list arguments;
    va_start(arguments, format);
    int length = vsnprintf(out->text + out->used, out->size - out->used, format, arguments);
    va_end(arguments);
    if (length > 0)
        out->used = out->used + (size_t)length < out->size ? out->used + (size_t)length : out->size - 1;
}

static bool chance(tn_rng *rng, double share)
{
    return tn_rng_uniform(rng) < share;
}

static const char *colour_of(const saying *manner, size_t colour)
{
    const char *name = tn_hops_colour_names[colour];
    return manner->american && strcmp(name, "grey") == 0 ? "gray" : name;
}

static const char *colour_word(const saying *manner)
{
    return manner->american ? "color" : "colour";
}

/* Writes the name of an object: "blue star", or in half of the questions "blue object". */
static void put_named(writer *out, tn_rng *rng, const saying *manner, size_t kind, bool shape)
{
    bool whole = shape || chance(rng, 0.75);
    put(out, "%s %s", colour_of(manner, tn_hops_colour(kind)), whole ? tn_hops_shape_names[tn_hops_shape(kind)] : "object");
}

static const char *choose(tn_rng *rng, const tn_hops_wording *list, bool unseen, size_t steps)
{
    const char *found[64];
    size_t count = 0;
    for (; list->text != NULL; list++)
        if (list->unseen == unseen && (list->steps == 0 || list->steps == steps))
            found[count++] = list->text;
    return found[tn_rng_below(rng, count)];
}

/* ------------------------------------------------------------- expansion -- */

static void put_property(writer *out, const saying *manner, size_t property, bool many)
{
    if (property < TN_HOPS_COLOURS)
        put(out, "%s object%s", colour_of(manner, property), many ? "s" : "");
    else {
        const char *shape = tn_hops_shape_names[property - TN_HOPS_COLOURS];
        put(out, "%s%s", shape, !many ? "" : shape[strlen(shape) - 1] == 's' ? "es" : "s");
    }
}

static void expand_one(writer *out, tn_rng *rng, const saying *manner, const tn_hops_puzzle *puzzle, char mark)
{
    static const char *const objects[] = { "shape", "object" };
    switch (mark) {
    case 'n':
        if (manner->digits)
            put(out, "%zu", puzzle->steps);
        else
            put(out, "%s", tn_hops_numbers[puzzle->steps]);
        break;
    case 's': put(out, "%s", puzzle->steps != 1 ? "s" : ""); break;
    case 'f': put_named(out, rng, manner, puzzle->named, false); break;
    case 'c': put(out, "%s", colour_word(manner)); break;
    case 't': put(out, "%s", manner->target == TN_HOPS_COLOUR_THERE ? colour_word(manner) : objects[manner->target - 1]); break;
    case 'p': put_property(out, manner, puzzle->named, true); break;
    case 'd':
        if (puzzle->whole)
            put_named(out, rng, manner, puzzle->named, true);
        else
            put_property(out, manner, puzzle->named, false);
        break;
    default: /* k */
        put(out, "%s", puzzle->ask == TN_HOPS_COLOUR_OF ? tn_hops_shape_names[tn_hops_shape(puzzle->named)]
                                                        : colour_of(manner, tn_hops_colour(puzzle->named)));
    }
}

/* Expands a template up to the mark %q; returns the text after it, or NULL if there is none. */
static const char *expand_to_end(writer *out, tn_rng *rng, const saying *manner, const tn_hops_puzzle *puzzle, const char *text)
{
    for (; *text != '\0'; text++)
        if (*text != '%')
            put(out, "%c", *text);
        else if (*++text == 'q')
            return text + 1;
        else
            expand_one(out, rng, manner, puzzle, *text);
    return NULL;
}

/* Writes the question that replaces %q. It does not contain %q itself. */
static void expand_end(writer *out, tn_rng *rng, const saying *manner, const tn_hops_puzzle *puzzle)
{
    const char *end = choose(rng, tn_hops_ends[manner->target], manner->unseen && chance(rng, 0.5), 0);
    size_t first = out->used;
    bool inside = first >= 2 && strchr(",:", out->text[first - 2]) != NULL;
    expand_to_end(out, rng, manner, puzzle, end);
    if (inside)
        out->text[first] = (char)tolower((unsigned char)out->text[first]);
}

static void expand(writer *out, tn_rng *rng, const saying *manner, const tn_hops_puzzle *puzzle, const char *text)
{
    while ((text = expand_to_end(out, rng, manner, puzzle, text)) != NULL)
        expand_end(out, rng, manner, puzzle);
}

/* Writes at most `most` idle words. */
static void put_idle(writer *out, tn_rng *rng, size_t most)
{
    size_t words = 0;
    while (tn_hops_idle[words] != NULL)
        words++;
    for (size_t i = (size_t)tn_rng_below(rng, most + 1); i > 0; i--)
        put(out, "%s ", tn_hops_idle[tn_rng_below(rng, words)]);
}

/* Writes number, object and question in any order, with idle words between them; a question of one look has no number. */
static void put_loose(writer *out, tn_rng *rng, const saying *manner, const tn_hops_puzzle *puzzle)
{
    static const char *const units[] = { "arrow%s ", "step%s ", "time%s ", "arrow%s " };
    for (const char *part = manner->order; *part != '\0'; part++) {
        put_idle(out, rng, 4);
        if (puzzle->ask != TN_HOPS_FOLLOW) {
            expand(out, rng, manner, puzzle, tn_hops_loose[puzzle->ask][*part == 'f'][tn_rng_below(rng, TN_HOPS_LOOSE)]);
        } else if (*part == 'n') {
            expand(out, rng, manner, puzzle, "%n ");
            expand(out, rng, manner, puzzle, units[tn_rng_below(rng, 4)]);
        } else {
            expand(out, rng, manner, puzzle, *part == 'f' ? "%f " : chance(rng, 0.5) ? "which %t " : "what %t ");
        }
    }
    put_idle(out, rng, 3);
    out->text[--out->used] = '\0'; /* replaces the last blank */
    put(out, "?");
}

static void put_question(writer *out, tn_rng *rng, saying *manner, const tn_hops_puzzle *puzzle)
{
    static const char *const orders[] = { "nfq", "nqf", "fnq", "fqn", "qnf", "qfn" };
    bool loose = manner->wide ? manner->template == NULL : puzzle->ask == TN_HOPS_FOLLOW && !manner->unseen && chance(rng, 0.15);
    manner->order = !loose ? NULL : puzzle->ask == TN_HOPS_FOLLOW ? orders[tn_rng_below(rng, 6)] : chance(rng, 0.5) ? "fq" : "qf";
    if (chance(rng, 0.15))
        put(out, "%s", tn_hops_fronts[manner->unseen][tn_rng_below(rng, TN_HOPS_FRONTS)]);
    if (loose)
        put_loose(out, rng, manner, puzzle);
    else if (manner->wide)
        expand(out, rng, manner, puzzle, manner->template);
    else
        expand(out, rng, manner, puzzle, choose(rng, tn_hops_templates[puzzle->ask], manner->unseen, puzzle->steps));
    out->text[0] = (char)toupper((unsigned char)out->text[0]);
    if (manner->bare && strchr("?.", out->text[out->used - 1]) != NULL)
        out->text[--out->used] = '\0';
}

/* Chooses a template for `wide`; a quarter of the questions has none. A template that asks for something other than the colour
 * is only used if `step_left`: then one brief step is left in which the colour can be named first. */
static void choose_wide(tn_rng *rng, saying *manner, const tn_hops_puzzle *puzzle, bool step_left)
{
    const tn_hops_wide *more = tn_hops_wides[puzzle->ask], *fit[32];
    size_t count = 0;
    for (; more->text != NULL; more++)
        if (step_left || more->target == TN_HOPS_ANY_THERE || more->target == TN_HOPS_COLOUR_THERE)
            fit[count++] = more;
    if (chance(rng, 0.25))
        return;
    if (chance(rng, 0.5)) {
        manner->template = choose(rng, tn_hops_templates[puzzle->ask], false, puzzle->steps);
        return;
    }
    const tn_hops_wide *chosen = fit[tn_rng_below(rng, count)];
    manner->template = chosen->text;
    if (chosen->target != TN_HOPS_ANY_THERE)
        manner->target = chosen->target;
}

/* --------------------------------------------------------------- choices -- */

static void put_choices(writer *out, tn_rng *rng, const saying *manner, const tn_hops_puzzle *puzzle)
{
    const tn_hops_layout *found[32];
    size_t count = 0;
    bool unseen = manner->unseen && chance(rng, 0.5), capital = chance(rng, 0.15);
    for (const tn_hops_layout *layout = tn_hops_layouts; layout->front != NULL; layout++)
        if (layout->unseen == unseen)
            found[count++] = layout;
    const tn_hops_layout *style = found[tn_rng_below(rng, count)];
    put(out, "%s", style->front);
    for (size_t i = 0; i < puzzle->option_count; i++) {
        if (i > 0)
            put(out, "%s", i + 1 < puzzle->option_count ? style->join : style->last);
        put(out, "%s", style->open);
        if (style->mark != 0)
            put(out, "%c", style->mark + (char)i);
        put(out, "%s", style->close);
        size_t first = out->used;
        put(out, "%s", puzzle->options[i]);
        if (capital)
            out->text[first] = (char)toupper((unsigned char)out->text[first]);
    }
    put(out, "%s", style->end);
}

/* Writes the choices as the wording `brief` does. */
static void put_wrapped(writer *out, const tn_hops_puzzle *puzzle, const char *question, bool choices)
{
    put(out, "[Question]:{%s}", question);
    for (size_t i = 0; i < puzzle->option_count && choices; i++)
        put(out, "%s%c.{%s}", i == 0 ? "\n[Options]:\n" : "\n", (char)('A' + i), puzzle->options[i]);
    put(out, "\nAnswer:");
}

/* ------------------------------------------------- what can be answered -- */

typedef struct word_list {
    char words[TN_HOPS_COLOURS][TN_HOPS_NAME];
    size_t count;
} word_list;

static void add_word(word_list *list, const char *right, const char *format, ...) TN_PRINTF(3, 4);

/* Adds a wrong answer if it differs from the correct one and from those that were added before. */
static void add_word(word_list *list, const char *right, const char *format, ...)
{
    char *word = list->words[list->count];
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(word, TN_HOPS_NAME, format, arguments);
    va_end(arguments);
    bool known = strcmp(word, right) == 0;
    for (size_t i = 0; i < list->count; i++)
        known |= strcmp(list->words[i], word) == 0;
    list->count += !known && list->count + 1 < TN_HOPS_COLOURS;
}

static const char *shape_at(const tn_hops_scene *scene, size_t cell)
{
    return tn_hops_shape_names[tn_hops_shape(scene->kind[cell])];
}

static const char *colour_at(const saying *manner, const tn_hops_scene *scene, size_t cell)
{
    return colour_of(manner, tn_hops_colour(scene->kind[cell]));
}

static void write_right(const saying *manner, const tn_hops_puzzle *puzzle, bool digits, char right[TN_HOPS_NAME])
{
    const tn_hops_scene *scene = &puzzle->scene;
    size_t goal = puzzle->goal;
    const char *text = puzzle->ask == TN_HOPS_HOW_MANY   ? tn_hops_numbers[goal]
                       : puzzle->ask == TN_HOPS_IS_THERE ? (goal > 0 ? "yes" : "no")
                       : puzzle->ask == TN_HOPS_WAY_OF   ? tn_hops_way_names[scene->arrow[goal]]
                       : puzzle->ask == TN_HOPS_SHAPE_OF || (puzzle->ask == TN_HOPS_FOLLOW && manner->target == TN_HOPS_SHAPE_THERE)
                           ? shape_at(scene, goal)
                           : colour_at(manner, scene, goal);
    if (digits)
        snprintf(right, TN_HOPS_NAME, "%zu", goal);
    else if (puzzle->ask == TN_HOPS_FOLLOW && manner->target == TN_HOPS_OBJECT_THERE)
        snprintf(right, TN_HOPS_NAME, "%s %s", text, shape_at(scene, goal));
    else
        snprintf(right, TN_HOPS_NAME, "%s", text);
}

/* Collects wrong answers. Those of the chain's own options come first, in their order, because they are as likely as the
 * correct one. */
static void list_wrong(tn_rng *rng, const saying *manner, const tn_hops_puzzle *puzzle, bool digits, const char *right,
                       word_list *wrong)
{
    const tn_hops_scene *scene = &puzzle->scene;
    unsigned char order[TN_HOPS_CELLS_MAX], values[TN_HOPS_COUNT_MAX + 1];
    size_t first = 0;
    for (size_t cell = 0; cell < scene->cells; cell++)
        order[cell] = (unsigned char)cell;
    tn_hops_shuffle(rng, order, scene->cells, scene->cells);
    for (size_t i = 0; i < puzzle->wrong_count; i++)
        for (size_t at = first; at < scene->cells; at++)
            if (order[at] == puzzle->wrong[i]) {
                order[at] = order[first];
                order[first++] = puzzle->wrong[i];
            }
    bool shapes = puzzle->ask == TN_HOPS_SHAPE_OF || (puzzle->ask == TN_HOPS_FOLLOW && manner->target == TN_HOPS_SHAPE_THERE);
    for (size_t i = 0; i < scene->cells && puzzle->ask != TN_HOPS_IS_THERE && puzzle->ask != TN_HOPS_HOW_MANY; i++) {
        size_t cell = order[i];
        if (puzzle->ask == TN_HOPS_FOLLOW && scene->kind[cell] == puzzle->named)
            continue; /* a chain never ends where it starts */
        if (puzzle->ask == TN_HOPS_WAY_OF)
            add_word(wrong, right, "%s", tn_hops_way_names[(scene->arrow[cell] + i) % 4]);
        else if (shapes)
            add_word(wrong, right, "%s", shape_at(scene, cell));
        else if (puzzle->ask == TN_HOPS_FOLLOW && manner->target == TN_HOPS_OBJECT_THERE)
            add_word(wrong, right, "%s %s", colour_at(manner, scene, cell), shape_at(scene, cell));
        else
            add_word(wrong, right, "%s", colour_at(manner, scene, cell));
    }
    for (size_t i = 0; i <= TN_HOPS_COUNT_MAX; i++)
        values[i] = (unsigned char)i;
    tn_hops_shuffle(rng, values, TN_HOPS_COUNT_MAX + 1, TN_HOPS_COUNT_MAX + 1);
    for (size_t i = 0; i <= TN_HOPS_COUNT_MAX && puzzle->ask == TN_HOPS_HOW_MANY; i++)
        if (digits)
            add_word(wrong, right, "%u", (unsigned)values[i]);
        else
            add_word(wrong, right, "%s", tn_hops_numbers[values[i]]);
    if (puzzle->ask == TN_HOPS_IS_THERE)
        add_word(wrong, right, "%s", right[0] == 'y' ? "no" : "yes");
}

/* Writes two to six choices, one of which is correct. */
static void offer(tn_rng *rng, const saying *manner, tn_hops_puzzle *puzzle, bool digits)
{
    char right[TN_HOPS_NAME];
    word_list wrong = { 0 };
    write_right(manner, puzzle, digits, right);
    list_wrong(rng, manner, puzzle, digits, right, &wrong);
    size_t most = 1 + (size_t)tn_rng_below(rng, TN_HOPS_OPTIONS_MAX - 1), count = wrong.count < most ? wrong.count : most;
    puzzle->option_count = count + 1;
    puzzle->answer = (size_t)tn_rng_below(rng, count + 1);
    for (size_t i = 0, next = 0; i <= count; i++)
        snprintf(puzzle->options[i], TN_HOPS_NAME, "%s", i == puzzle->answer ? right : wrong.words[next++]);
}

/* Writes `most` steps of one word each: the colours on the way, then the colour at the goal, repeated. */
static void tell_briefly(const saying *manner, tn_hops_puzzle *puzzle, size_t most)
{
    const tn_hops_scene *scene = &puzzle->scene;
    writer out = { puzzle->brief, sizeof puzzle->brief, 0 };
    char right[TN_HOPS_NAME];
    write_right(manner, puzzle, false, right);
    size_t cell = puzzle->ask == TN_HOPS_FOLLOW ? tn_hops_find(scene, puzzle->named) : 0;
    for (size_t i = 0; i < most; i++) {
        const char *word = right;
        if (puzzle->ask == TN_HOPS_FOLLOW) {
            word = colour_at(manner, scene, cell);
            if (cell != puzzle->goal)
                cell = scene->target[cell];
        } else if (i == 0 && (puzzle->ask == TN_HOPS_SHAPE_OF || puzzle->ask == TN_HOPS_WAY_OF)) {
            word = colour_at(manner, scene, puzzle->goal);
        }
        put(&out, "%s%s", i > 0 ? ".\n" : "", word);
    }
}

static void to_lower(char *text)
{
    for (; *text != '\0'; text++)
        *text = (char)tolower((unsigned char)*text);
}

void tn_hops_vary(tn_rng *rng, tn_wordings wordings, size_t most, tn_hops_puzzle *puzzle)
{
    bool unseen = wordings == TN_WORDINGS_UNSEEN;
    saying manner = { .unseen = unseen, .american = chance(rng, 0.3), .digits = chance(rng, 0.35), .lower = chance(rng, 0.2),
                      .bare = chance(rng, 0.15), .wide = wordings == TN_WORDINGS_WIDE };
    char question[TN_HOPS_LINE];
    writer inside = { question, sizeof question, 0 }, out = { puzzle->question, sizeof puzzle->question, 0 };
    double kind = tn_rng_uniform(rng);
    if (puzzle->steps < most) /* a step is left in which the colour can be named first */
        manner.target = kind < 0.72 ? TN_HOPS_COLOUR_THERE : kind < 0.88 ? TN_HOPS_SHAPE_THERE : TN_HOPS_OBJECT_THERE;
    if (manner.wide)
        choose_wide(rng, &manner, puzzle, puzzle->steps < most);
    bool choices = chance(rng, 0.6), digits = puzzle->ask == TN_HOPS_HOW_MANY && choices && chance(rng, 0.5);
    offer(rng, &manner, puzzle, digits);
    tell_briefly(&manner, puzzle, most);
    put_question(&inside, rng, &manner, puzzle);
    if (manner.lower)
        to_lower(question);
    if (!unseen && chance(rng, 0.12)) {
        put_wrapped(&out, puzzle, question, choices);
    } else {
        put(&out, "%s", question);
        if (choices)
            put_choices(&out, rng, &manner, puzzle);
        if (chance(rng, 0.15))
            put(&out, "%s", tn_hops_backs[unseen][tn_rng_below(rng, TN_HOPS_BACKS)]);
        if (manner.lower)
            to_lower(puzzle->question);
    }
}

/* ----------------------------------------------------- one plain wording -- */

void tn_hops_word(tn_rng *rng, tn_hops_puzzle *puzzle)
{
    const saying plain = { 0 };
    writer out = { puzzle->question, sizeof puzzle->question, 0 };
    offer(rng, &plain, puzzle, false);
    tell_briefly(&plain, puzzle, 1);
    expand(&out, rng, &plain, puzzle, tn_hops_templates[puzzle->ask][0].text);
    snprintf(puzzle->rationale, sizeof puzzle->rationale, "it is %s.", puzzle->options[puzzle->answer]);
}
