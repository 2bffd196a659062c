/* The synthetic data set: only the image gives the answer, the image shows what the question is about, splits share no scene,
 * and the same seed gives the same set. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include "data/hops.h"

#include <limits.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { LEARNED = 10000, JUDGED = 5000, OPTIONS = TN_HOPS_OPTIONS, WORDS = 128, WORDS_MAX = 40 };

static const tn_dataset *set(void)
{
    const tn_dataset *found = tn_dataset_find("hops", 4);
    assert_non_null(found);
    return found;
}

/* ------------------------------------------------------ answers from words -- */

/* The words of a sample, as numbers below WORDS. */
typedef struct text_row {
    unsigned char question[WORDS_MAX], option[OPTIONS][2], whole[OPTIONS];
    size_t question_count, option_count[OPTIONS], answer, kind;
} text_row;

/* Words seen so far. */
typedef struct word_list {
    char words[WORDS][32];
    size_t count;
} word_list;

static unsigned char number_of(word_list *lexicon, const char *word, size_t length)
{
    for (size_t i = 0; i < lexicon->count; i++)
        if (strlen(lexicon->words[i]) == length && memcmp(lexicon->words[i], word, length) == 0)
            return (unsigned char)i;
    assert_true(lexicon->count < WORDS && length < sizeof lexicon->words[0]);
    memcpy(lexicon->words[lexicon->count], word, length);
    return (unsigned char)lexicon->count++;
}

/* Plurals count as their words. */
static size_t cut_words(word_list *lexicon, const char *text, unsigned char *words, size_t limit)
{
    size_t count = 0;
    for (const char *at = text + strspn(text, " ,.?"); *at != '\0'; at += strspn(at, " ,.?")) {
        size_t length = strcspn(at, " ,.?"), stem = length;
        if (length > 5 && memcmp(at, "crosses", 5) == 0)
            stem = 5;
        else if (length > 3 && at[length - 1] == 's' && at[length - 2] != 's')
            stem = length - 1;
        assert_true(count < limit);
        words[count++] = number_of(lexicon, at, stem);
        at += length;
    }
    return count;
}

static text_row read_row(word_list *words, word_list *wholes, const tn_sample *sample)
{
    text_row row = { .answer = sample->answer };
    static const char *const families[] = { "arrows", "nearest", "count" };
    while (strcmp(sample->domain, families[row.kind]) != 0)
        row.kind++;
    row.question_count = cut_words(words, sample->question, row.question, WORDS_MAX);
    assert_int_equal(sample->option_count, OPTIONS);
    for (size_t i = 0; i < OPTIONS; i++) {
        row.option_count[i] = cut_words(words, sample->options[i], row.option[i], 2);
        row.whole[i] = number_of(wholes, sample->options[i], strlen(sample->options[i]));
    }
    return row;
}

/* What guessing by words learns: how often a pair of a question's and an option's word occurs with a correct option, and with
 * any option; how often an option and a letter are correct. */
typedef struct guess_table {
    double right[WORDS][WORDS], any[WORDS][WORDS], whole_right[WORDS], whole_any[WORDS], letters[OPTIONS];
} guess_table;

static void learn(guess_table *guesser, const text_row *row)
{
    guesser->letters[row->answer]++;
    for (size_t i = 0; i < OPTIONS; i++) {
        guesser->whole_any[row->whole[i]]++;
        guesser->whole_right[row->whole[i]] += i == row->answer;
        for (size_t q = 0; q < row->question_count; q++)
            for (size_t o = 0; o < row->option_count[i]; o++) {
                guesser->any[row->question[q]][row->option[i][o]]++;
                guesser->right[row->question[q]][row->option[i][o]] += i == row->answer;
            }
    }
}

static double overlap(const text_row *row, size_t option)
{
    double shared = 0;
    for (size_t o = 0; o < row->option_count[option]; o++)
        for (size_t q = 0; q < row->question_count; q++)
            shared += row->question[q] == row->option[option][o];
    return shared;
}

static double alike(const text_row *row, size_t option)
{
    double shared = 0;
    for (size_t other = 0; other < OPTIONS; other++)
        for (size_t o = 0; o < row->option_count[option] && other != option; o++)
            for (size_t k = 0; k < row->option_count[other]; k++)
                shared += row->option[option][o] == row->option[other][k];
    return shared;
}

enum { RULES = 9 };
static const char *const rule_names[RULES] = {
    "most frequent letter",
    "first",
    "last",
    "most frequent answer",
    "words shared with the question",
    "no words shared",
    "like the others",
    "unlike the other options",
    "pairs of words",
};

static double score(const guess_table *guesser, const text_row *row, size_t option, size_t rule)
{
    double sum = 0;
    switch (rule) {
    case 0:
        return guesser->letters[option];
    case 1:
        return -(double)option;
    case 2:
        return (double)option;
    case 3:
        return (guesser->whole_right[row->whole[option]] + 1) / (guesser->whole_any[row->whole[option]] + 4);
    case 4:
        return overlap(row, option);
    case 5:
        return -overlap(row, option);
    case 6:
        return alike(row, option);
    case 7:
        return -alike(row, option);
    default:
        for (size_t q = 0; q < row->question_count; q++)
            for (size_t o = 0; o < row->option_count[option]; o++) {
                size_t a = row->question[q], b = row->option[option][o];
                sum += log((guesser->right[a][b] + 1) / (guesser->any[a][b] + 4));
            }
        return sum;
    }
}

/* The expected number of correct answers; of options with equal scores, one is chosen at random. */
static double judge(const guess_table *guesser, const text_row *row, size_t rule)
{
    double scores[OPTIONS], best = -INFINITY;
    size_t ties = 0;
    for (size_t i = 0; i < OPTIONS; i++) {
        scores[i] = score(guesser, row, i, rule);
        best = scores[i] > best ? scores[i] : best;
    }
    for (size_t i = 0; i < OPTIONS; i++)
        ties += scores[i] == best;
    return scores[row->answer] == best ? 1.0 / (double)ties : 0;
}

static text_row make_row(word_list *words, word_list *wholes, const char *split, size_t index)
{
    tn_make make = { .seed = 2024, .size = 84, .grid = 4 };
    tn_made made;
    tenebra_error error;
    if (set()->make(&make, split, index, &made, &error) != TENEBRA_OK)
        fail_msg("%s: %s", error.where, error.sentence);
    text_row row = read_row(words, wholes, &made.sample);
    tn_made_free(&made);
    return row;
}

/* Shares of correct answers by rule, for all families together (0) and for each (1, 2, 3). */
typedef struct share_table {
    double right[4][RULES], count[4];
} share_table;

static void add_share(share_table *shares, const guess_table *guesser, const text_row *row)
{
    for (size_t group = 0; group < 4; group++) {
        if (group != 0 && group != row->kind + 1)
            continue;
        shares->count[group]++;
        for (size_t rule = 0; rule < RULES; rule++)
            shares->right[group][rule] += judge(guesser, row, rule);
    }
}

/* Four standard deviations of a guess with probability 1/4 above it. */
static double bound(double count)
{
    return 0.25 + 4 * sqrt(0.25 * 0.75 / count);
}

static void test_words_do_not_tell(void **state)
{
    (void)state;
    static const char *const groups[] = { "all", "arrows", "nearest", "count" };
    word_list *words = calloc(1, sizeof *words), *wholes = calloc(1, sizeof *wholes);
    guess_table *guesser = calloc(2, sizeof *guesser); /* the second learns from a set with a leak */
    share_table fair = { 0 }, leaky = { 0 };
    for (size_t i = 0; i < LEARNED + JUDGED; i++) {
        text_row row = make_row(words, wholes, "train", i), leak = row;
        /* Negative control: in half of the samples a wrong option gives way to words of the question. */
        if (i % 2 == 0) {
            memcpy(leak.option[(leak.answer + 1) % OPTIONS], leak.question, 2);
            leak.option_count[(leak.answer + 1) % OPTIONS] = 2;
        }
        if (i < LEARNED) {
            learn(&guesser[0], &row);
            learn(&guesser[1], &leak);
        } else {
            add_share(&fair, &guesser[0], &row);
            add_share(&leaky, &guesser[1], &leak);
        }
    }
    bool caught = false;
    for (size_t group = 0; group < 4; group++)
        for (size_t rule = 0; rule < RULES; rule++) {
            double share = fair.right[group][rule] / fair.count[group];
            if (!(share < bound(fair.count[group])))
                fail_msg("%s: '%s' is right in %.4f of %g samples", groups[group], rule_names[rule], share,
                         fair.count[group]);
            caught |= leaky.right[group][rule] / leaky.count[group] > bound(leaky.count[group]);
        }
    assert_true(caught);
    free(words);
    free(wholes);
    free(guesser);
}

/* ------------------------------------------------ answers from the image ---- */

/* The object that a text names, by colour and shape or by its colour alone. */
static size_t cell_of_words(const tn_hops_scene *scene, const char *text, bool shapes)
{
    for (size_t cell = 0; cell < scene->cells; cell++) {
        char name[64];
        snprintf(name, sizeof name, "%s%s%s", tn_hops_colour_names[tn_hops_colour(scene->kind[cell])], shapes ? " " : "",
                 shapes ? tn_hops_shape_names[tn_hops_shape(scene->kind[cell])] : "");
        const char *found = strstr(text, name);
        if (found != NULL && (found == text || found[-1] == ' '))
            return cell;
    }
    return scene->cells;
}

/* Follows the arrows of a scene as the question says, from its words. */
static void test_arrows_lead_to_the_answer(void **state)
{
    (void)state;
    for (size_t steps = 1; steps <= 8; steps++)
        for (size_t i = 0; i < 200; i++) {
            tn_rng rng = tn_rng_seed(1000 * steps + i);
            tn_hops_puzzle puzzle;
            assert_true(tn_hops_draw(&rng, &tn_hops_families[0], 4, steps, "test", &puzzle));
            const tn_hops_scene *scene = &puzzle.scene;
            uint64_t seen = 0;
            size_t cell = cell_of_words(scene, puzzle.question, true);
            for (size_t k = 0; k < steps; k++) {
                assert_true(cell < scene->cells && (seen >> cell & 1) == 0);
                seen |= (uint64_t)1 << cell;
                static const int moves[4][2] = { { -1, 0 }, { 0, 1 }, { 1, 0 }, { 0, -1 } };
                int row = (int)cell / 4 + moves[scene->arrow[cell]][0],
                    column = (int)cell % 4 + moves[scene->arrow[cell]][1];
                assert_true(row >= 0 && row < 4 && column >= 0 && column < 4);
                cell = (size_t)(4 * row + column);
            }
            for (size_t k = 0; k < OPTIONS; k++) {
                assert_true(cell_of_words(scene, puzzle.options[k], false) < scene->cells); /* all are in the image */
                assert_int_equal(cell_of_words(scene, puzzle.options[k], false) == cell, k == puzzle.answer);
            }
            size_t sentences = 1;
            for (const char *c = puzzle.rationale; *c != '\0'; c++)
                sentences += *c == '\n';
            assert_int_equal(sentences, steps);
        }
}

/* The colour in the middle of a cell, and the side on which it is dark. */
static void look(const unsigned char *pixels, size_t size, size_t cell, size_t *colour, size_t *arrow)
{
    static const int shades[TN_HOPS_COLOURS][3] = {
        { 220, 40, 40 },   { 40, 160, 60 },  { 45, 80, 225 },   { 240, 205, 30 },  { 150, 50, 190 },  { 40, 190, 210 },
        { 245, 135, 30 },  { 245, 130, 190 }, { 135, 85, 40 },  { 140, 140, 140 }, { 200, 165, 235 }, { 165, 225, 60 },
        { 20, 120, 125 },  { 25, 30, 105 },  { 125, 20, 50 },   { 215, 180, 130 },
    };
    size_t side = size / 4, x = cell % 4 * side, y = cell / 4 * side;
    const unsigned char *middle = pixels + 3 * ((y + side / 2) * size + x + side / 2);
    long best = LONG_MAX, dark[4] = { 0 };
    for (size_t i = 0; i < TN_HOPS_COLOURS; i++) {
        long distance = 0;
        for (size_t k = 0; k < 3; k++)
            distance += (middle[k] - shades[i][k]) * (middle[k] - shades[i][k]);
        if (distance < best) {
            best = distance;
            *colour = i;
        }
    }
    for (size_t dy = 0; dy < side; dy++)
        for (size_t dx = 0; dx < side; dx++) {
            const unsigned char *pixel = pixels + 3 * ((y + dy) * size + x + dx);
            if (pixel[0] + pixel[1] + pixel[2] < 120) {
                dark[0] += dy < side / 4;
                dark[1] += dx >= side - side / 4;
                dark[2] += dy >= side - side / 4;
                dark[3] += dx < side / 4;
            }
        }
    *arrow = 0;
    for (size_t i = 1; i < 4; i++)
        *arrow = dark[i] > dark[*arrow] ? i : *arrow;
}

static void test_pictures_show_scenes(void **state)
{
    (void)state;
    size_t sizes[] = { 84, 112, 224 };
    unsigned char *pixels = malloc(3 * 224 * 224);
    for (size_t i = 0; i < 300; i++) {
        tn_rng rng = tn_rng_seed(i);
        tn_hops_puzzle puzzle;
        assert_true(tn_hops_draw(&rng, &tn_hops_families[i % 3], 4, 1 + i % 3, "train", &puzzle));
        size_t size = sizes[i / 100], wrong = 0;
        tn_hops_paint(&rng, &puzzle.scene, 0, size, pixels);
        for (size_t cell = 0; cell < 16; cell++) {
            size_t colour, arrow;
            look(pixels, size, cell, &colour, &arrow);
            assert_int_equal(colour, tn_hops_colour(puzzle.scene.kind[cell]));
            assert_int_equal(arrow, puzzle.scene.arrow[cell]);
            wrong += arrow != puzzle.scene.arrow[(cell + 1) % 16];
        }
        assert_true(wrong > 0); /* another cell's arrow would be noticed */
    }
    free(pixels);
}

/* ------------------------------------------------------- splits and seeds -- */

static uint64_t hash_samples(uint64_t seed, const char *split, size_t first, size_t count)
{
    uint64_t hash = 0xCBF29CE484222325u;
    tn_make make = { .seed = seed };
    for (size_t i = first; i < first + count; i++) {
        tn_made made;
        assert_int_equal(set()->make(&make, split, i, &made, NULL), TENEBRA_OK);
        const char *texts[] = { made.sample.id, made.sample.question, made.sample.rationale, made.sample.label };
        for (size_t k = 0; k < 4; k++)
            for (const char *c = texts[k]; *c != '\0'; c++)
                hash = (hash ^ (unsigned char)*c) * 0x100000001B3u;
        for (size_t k = 0; k < 3 * made.size * made.size; k++)
            hash = (hash ^ made.pixels[k]) * 0x100000001B3u;
        tn_made_free(&made);
    }
    return hash;
}

static void test_seeds(void **state)
{
    (void)state;
    uint64_t hash = hash_samples(7, "train", 0, 60);
    assert_true(hash == hash_samples(7, "train", 0, 60));
    assert_true(hash != hash_samples(8, "train", 0, 60));
    assert_true(hash != hash_samples(7, "dev", 0, 60));
    assert_true(hash != hash_samples(7, "train", 1, 60));
}

static void test_splits_share_no_scene(void **state)
{
    (void)state;
    static const char *const splits[] = { "train", "dev", "test" };
    size_t counts[3] = { 0 };
    for (size_t i = 0; i < 3000; i++) {
        tn_rng rng = tn_rng_seed(i);
        tn_hops_puzzle puzzle;
        const char *split = splits[i % 3];
        assert_true(tn_hops_draw(&rng, &tn_hops_families[i / 3 % 3], 4, 1 + i / 9 % 3, split, &puzzle));
        assert_string_equal(tn_hops_split_of(&puzzle.scene), split);
        puzzle.scene.arrow[0] ^= 1; /* another scene: of any split */
        for (size_t k = 0; k < 3; k++)
            counts[k] += strcmp(tn_hops_split_of(&puzzle.scene), splits[k]) == 0;
    }
    assert_true(counts[0] > 2300 && counts[0] < 2500 && counts[1] > 230 && counts[1] < 370); /* 8 : 1 : 1 */
    assert_int_equal(counts[0] + counts[1] + counts[2], 3000);
}

/* ----------------------------------------------------------------- options -- */

static void test_kinds_come_equally_often(void **state)
{
    (void)state;
    tn_make make = { .seed = 3, .families = "count,arrows", .steps_min = 2, .steps_max = 3, .size = 84 };
    size_t counts[4] = { 0 };
    static const char *const topics[] = { "arrows-2", "arrows-3", "count-2", "count-3" };
    for (size_t i = 0; i < 40; i++) {
        tn_made made;
        assert_int_equal(set()->make(&make, "dev", i, &made, NULL), TENEBRA_OK);
        for (size_t k = 0; k < 4; k++)
            counts[k] += strcmp(made.sample.topic, topics[k]) == 0;
        tn_made_free(&made);
    }
    for (size_t k = 0; k < 4; k++)
        assert_int_equal(counts[k], 10);
}

/* A list has one property of every cell, or of the object that its arrow points to. Lists are only made if the family is named. */
static void test_lists_are_true(void **state)
{
    (void)state;
    static const char *const starts[] = { "own shapes", "own arrows", "own colours", "next colours" };
    static const char *const ways[] = { "up", "right", "down", "left" };
    tn_make make = { .seed = 4, .families = "list", .size = 112 }, standard = { .seed = 4 };
    const tn_hops_family *list = tn_hops_families;
    while (strcmp(list->name, "list") != 0)
        list++;
    for (size_t what = 0; what < 4; what++) {
        tn_rng rng = tn_rng_seed(17 + what);
        tn_hops_puzzle puzzle;
        assert_true(tn_hops_draw(&rng, list, 4, what + 1, "train", &puzzle));
        const tn_hops_scene *scene = &puzzle.scene;
        char expected[TN_HOPS_TEXT];
        snprintf(expected, sizeof expected, "%s", starts[what]);
        for (size_t cell = 0; cell < scene->cells; cell++) {
            size_t kind = scene->kind[what == 3 ? scene->target[cell] : cell];
            const char *word = what == 0   ? tn_hops_shape_names[tn_hops_shape(kind)]
                               : what == 1 ? ways[scene->arrow[cell]]
                                           : tn_hops_colour_names[tn_hops_colour(kind)];
            snprintf(expected + strlen(expected), sizeof expected - strlen(expected), " %s", word);
        }
        snprintf(expected + strlen(expected), sizeof expected - strlen(expected), ".");
        assert_string_equal(puzzle.rationale, expected);
        assert_non_null(strstr(puzzle.question, starts[what]));
    }
    for (size_t i = 0; i < 24; i++) {
        tn_made made;
        assert_int_equal(set()->make(i < 6 ? &make : &standard, "dev", i, &made, NULL), TENEBRA_OK);
        assert_int_equal(strcmp(made.sample.domain, "list") == 0, i < 6);
        tn_made_free(&made);
    }
}

static const char *word_of(const tn_hops_scene *scene, size_t cell)
{
    return tn_hops_colour_names[tn_hops_colour(scene->kind[cell])];
}

/* The last kind of list says of every object once what its arrow points to, in any order, and asks for the last one. */
static void check_arrows_of_all(const tn_hops_puzzle *puzzle, bool brief)
{
    const tn_hops_scene *scene = &puzzle->scene;
    const char *text = brief ? puzzle->brief : puzzle->rationale, *last = NULL;
    size_t in_order = 0;
    for (size_t cell = 0; cell < scene->cells; cell++) {
        const char *own = word_of(scene, cell), *other = word_of(scene, scene->target[cell]);
        char step[120];
        if (brief)
            snprintf(step, sizeof step, "%s %s", own, other);
        else
            snprintf(step, sizeof step, "the arrow of the %s object points to the %s object.", own, other);
        const char *at = strstr(text, step);
        assert_non_null(at);
        assert_null(strstr(at + 1, step));
        in_order += (size_t)(at - text) == cell * (strlen(step) + 1);
        if (at[strlen(step)] == '\0') {
            last = at;
            assert_string_equal(puzzle->options[puzzle->answer], other);
        }
    }
    assert_non_null(last);
    assert_true(in_order < scene->cells);
}

static void test_arrows_of_all_are_true(void **state)
{
    (void)state;
    const tn_hops_family *list = tn_hops_families;
    while (strcmp(list->name, "list") != 0)
        list++;
    tn_rng rng = tn_rng_seed(18);
    tn_hops_puzzle puzzle;
    assert_true(tn_hops_draw(&rng, list, 4, 5, "train", &puzzle));
    check_arrows_of_all(&puzzle, false);
    check_arrows_of_all(&puzzle, true);
}

/* Cuts off and returns the last step of a text of steps that are separated by `gap`. */
static char *take_last(char *text, const char *gap)
{
    char *at = NULL;
    for (char *next = text; (next = strstr(next, gap)) != NULL; next += strlen(gap))
        at = next;
    if (at == NULL)
        return text;
    *at = '\0';
    return at + strlen(gap);
}

/* A list of colours has every object once, its shape first. A list of presence says "yes" of objects that are there and "no" of
 * others; the last one is there and is the answer. */
static void test_colours_and_presence_are_true(void **state)
{
    (void)state;
    const tn_hops_family *list = tn_hops_families;
    while (strcmp(list->name, "list") != 0)
        list++;
    size_t there = 0, absent = 0;
    for (size_t seed = 0; seed < 20; seed++) {
        tn_rng rng = tn_rng_seed(40 + seed);
        tn_hops_puzzle puzzle;
        assert_true(tn_hops_draw(&rng, list, 4, 9, "train", &puzzle));
        for (size_t cell = 0; cell < puzzle.scene.cells; cell++) {
            char step[64];
            snprintf(step, sizeof step, "%s %s", tn_hops_shape_names[tn_hops_shape(puzzle.scene.kind[cell])],
                     word_of(&puzzle.scene, cell));
            assert_non_null(strstr(puzzle.brief, step));
        }
        assert_true(tn_hops_draw(&rng, list, 4, 10, "train", &puzzle));
        for (size_t i = 0; i < puzzle.scene.cells; i++) {
            char *step = take_last(puzzle.brief, ".\n"), *word = strrchr(step, ' ');
            *word++ = '\0';
            size_t kind = 0;
            char name[64];
            do {
                assert_true(kind < TN_HOPS_KINDS);
                snprintf(name, sizeof name, "%s %s", tn_hops_colour_names[tn_hops_colour(kind)],
                         tn_hops_shape_names[tn_hops_shape(kind)]);
                kind++;
            } while (strcmp(name, step) != 0);
            bool found = tn_hops_find(&puzzle.scene, kind - 1) < puzzle.scene.cells;
            assert_string_equal(word, found ? "yes" : "no");
            if (i == 0)
                assert_string_equal(step, puzzle.options[puzzle.answer]);
            there += found;
            absent += !found;
        }
    }
    assert_true(there > 120 && absent > 120);
}

/* With `brief`, steps of arrows are the colours passed, then the goal until there are six; the rest is the same. */
static void test_brief_steps(void **state)
{
    (void)state;
    for (size_t i = 0; i < 24; i++) {
        tn_make make = { .seed = 7 }, brief = { .seed = 7, .brief = true };
        tn_made whole, part;
        assert_int_equal(set()->make(&make, "train", i, &whole, NULL), TENEBRA_OK);
        assert_int_equal(set()->make(&brief, "train", i, &part, NULL), TENEBRA_OK);
        assert_string_equal(whole.sample.question, part.sample.question);
        assert_memory_equal(whole.pixels, part.pixels, 3 * whole.size * whole.size);
        bool arrows = strcmp(whole.sample.domain, "arrows") == 0;
        assert_int_equal(strcmp(whole.sample.rationale, part.sample.rationale) != 0, arrows);
        if (arrows) {
            tn_steps sentences, words;
            assert_int_equal(tn_steps_split(&sentences, whole.sample.rationale, 0, NULL), TENEBRA_OK);
            assert_int_equal(tn_steps_split(&words, part.sample.rationale, 0, NULL), TENEBRA_OK);
            assert_int_equal(words.count, 6);
            for (size_t k = sentences.count; k < words.count; k++)
                assert_string_equal(words.items[k], part.sample.options[part.sample.answer]);
            for (size_t k = 0; k < sentences.count; k++) {
                char start[64];
                snprintf(start, sizeof start, "the arrow of the %s object ", words.items[k]);
                assert_memory_equal(sentences.items[k], start, strlen(start));
            }
            tn_steps_free(&sentences);
            tn_steps_free(&words);
        }
        tn_made_free(&whole);
        tn_made_free(&part);
    }
}

/* Where arrows are followed, a colour is a name. */
static void test_colours_come_once(void **state)
{
    (void)state;
    for (size_t i = 0; i < 200; i++) {
        tn_rng rng = tn_rng_seed(i);
        tn_hops_puzzle puzzle;
        assert_true(tn_hops_draw(&rng, &tn_hops_families[i % 2 == 0 ? 0 : 3], 3 + i % 4 / 2, 1 + i % 5, "train", &puzzle));
        unsigned seen = 0;
        for (size_t cell = 0; cell < puzzle.scene.cells; cell++) {
            unsigned bit = 1u << tn_hops_colour(puzzle.scene.kind[cell]);
            assert_false(seen & bit);
            seen |= bit;
        }
    }
}

/* Hints change the ground of cells, for the share that was wished for: it goes half the way to the colour of the target. */
static void test_hints(void **state)
{
    (void)state;
    enum { SIDE = 112, CELL = 28 };
    unsigned char *plain = malloc(3 * SIDE * SIDE), *hinted = malloc(3 * SIDE * SIDE);
    size_t changed[3] = { 0 };
    static const double shares[] = { 0, 0.3, 1 };
    for (size_t i = 0; i < 60; i++) {
        tn_rng rng = tn_rng_seed(i), brush = tn_rng_seed(i + 100), same = brush;
        tn_hops_puzzle puzzle;
        assert_true(tn_hops_draw(&rng, &tn_hops_families[0], 4, 1 + i % 6, "train", &puzzle));
        const tn_hops_scene *scene = &puzzle.scene;
        tn_hops_paint(&brush, scene, 0, SIDE, plain);
        tn_hops_paint(&same, scene, shares[i % 3], SIDE, hinted);
        for (size_t cell = 0; cell < scene->cells; cell++) {
            size_t corner = 3 * (cell / 4 * CELL * SIDE + cell % 4 * CELL), to = scene->target[cell];
            size_t middle = CELL / 2 * (3 * SIDE + 3), aim = 3 * (to / 4 * CELL * SIDE + to % 4 * CELL) + middle;
            bool differs = memcmp(hinted + corner, plain + corner, 3) != 0;
            for (size_t k = 0; k < 3 && differs; k++)
                assert_true(abs(2 * hinted[corner + k] - plain[corner + k] - plain[aim + k]) <= 2);
            assert_memory_equal(hinted + corner + middle, plain + corner + middle, 3);
            changed[i % 3] += differs;
        }
    }
    assert_int_equal(changed[0], 0);
    assert_true(changed[1] > 60 && changed[1] < 130 && changed[2] == 320);
    free(plain);
    free(hinted);
}

static void refuse(tn_make make, const char *split, const char *part)
{
    tn_made made;
    tenebra_error error = { 0 };
    assert_int_equal(set()->make(&make, split, 0, &made, &error), TENEBRA_ERROR_ARGUMENT);
    if (strstr(error.sentence, part) == NULL)
        fail_msg("'%s' is not in: %s", part, error.sentence);
    assert_null(made.pixels);
}

static void test_impossible_wishes(void **state)
{
    (void)state;
    refuse((tn_make){ .families = "arrows,arows" }, "train", "'arows'");
    refuse((tn_make){ .families = "" }, "train", "''");
    refuse((tn_make){ .families = "count", .steps_min = 4, .steps_max = 6 }, "train", "4 to 6");
    refuse((tn_make){ .size = 100 }, "train", "multiple of 28");
    refuse((tn_make){ .size = 56, .grid = 4 }, "train", "56 pixels");
    refuse((tn_make){ .size = 112, .grid = 6 }, "train", "6 objects");
    refuse((tn_make){ 0 }, "trains", "trains");
    refuse((tn_make){ .size = 56, .grid = 2, .families = "arrows", .steps_min = 5, .steps_max = 5 }, "train",
           "do not fit");
    tn_made made;
    assert_int_equal(
        set()->make(&(tn_make){ .size = 56, .families = "arrows", .steps_max = 2 }, "train", 0, &made, NULL),
        TENEBRA_OK);
    assert_int_equal(made.sample.option_count, 3); /* four objects, one is named */
    tn_made_free(&made);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_words_do_not_tell),     cmocka_unit_test(test_arrows_lead_to_the_answer),
        cmocka_unit_test(test_pictures_show_scenes),  cmocka_unit_test(test_seeds),
        cmocka_unit_test(test_splits_share_no_scene), cmocka_unit_test(test_kinds_come_equally_often),
        cmocka_unit_test(test_lists_are_true),        cmocka_unit_test(test_arrows_of_all_are_true),
        cmocka_unit_test(test_colours_and_presence_are_true),
        cmocka_unit_test(test_brief_steps),
        cmocka_unit_test(test_colours_come_once),     cmocka_unit_test(test_hints),
        cmocka_unit_test(test_impossible_wishes),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
