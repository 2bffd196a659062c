/* Questions and images as people might supply them: each answer is true for its scene, words alone do not give the answer away,
 * wordings kept for tests do not occur in training, and the same seed gives the same samples. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include "data/hops_wordings.h"

#include <ctype.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { MOST = 6 };

static const tn_hops_family *family(const char *name)
{
    const tn_hops_family *found = tn_hops_families;
    while (found->name != NULL && strcmp(found->name, name) != 0)
        found++;
    assert_non_null(found->name);
    return found;
}

static const tn_wordings turns[] = { TN_WORDINGS_UNSEEN, TN_WORDINGS_SEEN, TN_WORDINGS_WIDE };

/* Question number `i`: of arrows and of sight in turn. */
static tn_hops_puzzle draw(size_t i, tn_wordings wordings)
{
    tn_rng rng = tn_rng_seed(77 + i), words = tn_rng_seed(1000 + i);
    tn_hops_puzzle puzzle;
    bool sight = i % 2 == 1;
    size_t steps = 1 + i / 2 % (sight ? TN_HOPS_SIGHTS : MOST);
    assert_true(tn_hops_draw(&rng, family(sight ? "sight" : "arrows"), 3 + (i % 8 != 0), steps, "train", &puzzle));
    tn_hops_vary(&words, wordings, MOST, &puzzle);
    return puzzle;
}

static bool is_american(const char *text)
{
    return strstr(text, "olor") != NULL || strstr(text, "gray") != NULL;
}

/* What a cell answers, in the spelling of `text`. */
static void describe(const tn_hops_scene *scene, size_t cell, bool american, const char *names[3])
{
    names[0] = tn_hops_colour_names[tn_hops_colour(scene->kind[cell])];
    names[1] = tn_hops_shape_names[tn_hops_shape(scene->kind[cell])];
    static const char *const ways[] = { "up", "right", "down", "left" };
    names[2] = ways[scene->arrow[cell]];
    if (american && strcmp(names[0], "grey") == 0)
        names[0] = "gray";
}

static bool fits(const tn_hops_puzzle *puzzle, size_t cell, const char *option, bool american)
{
    const char *names[3];
    char both[64];
    describe(&puzzle->scene, cell, american, names);
    snprintf(both, sizeof both, "%s %s", names[0], names[1]);
    return strcmp(option, names[0]) == 0 || strcmp(option, names[1]) == 0 || strcmp(option, both) == 0 ||
           (puzzle->ask == TN_HOPS_WAY_OF && strcmp(option, names[2]) == 0);
}

static size_t count(const tn_hops_puzzle *puzzle)
{
    size_t found = 0;
    for (size_t cell = 0; cell < puzzle->scene.cells; cell++) {
        size_t kind = puzzle->scene.kind[cell];
        found += puzzle->ask == TN_HOPS_IS_THERE && puzzle->whole ? kind == puzzle->named
                 : puzzle->named < TN_HOPS_COLOURS               ? tn_hops_colour(kind) == puzzle->named
                                                   : tn_hops_shape(kind) == puzzle->named - TN_HOPS_COLOURS;
    }
    return found;
}

static void check_number(const tn_hops_puzzle *puzzle, const char *right)
{
    static const char *const words[] = { "zero", "one", "two", "three", "four", "five", "six" };
    size_t found = count(puzzle);
    if (puzzle->ask == TN_HOPS_IS_THERE)
        assert_string_equal(right, found > 0 ? "yes" : "no");
    else if (isdigit((unsigned char)right[0]))
        assert_int_equal(right[0] - '0', found);
    else
        assert_string_equal(right, words[found]);
}

static void test_answers_are_true(void **state)
{
    (void)state;
    size_t elsewhere = 0, cells = 0;
    for (size_t i = 0; i < 3000; i++) {
        tn_hops_puzzle puzzle = draw(i, turns[i % 3]);
        const char *right = puzzle.options[puzzle.answer];
        bool american = is_american(right) || is_american(puzzle.question);
        size_t cell = puzzle.goal;
        for (size_t a = 0; a < puzzle.option_count; a++)
            for (size_t b = 0; b < a; b++)
                assert_string_not_equal(puzzle.options[a], puzzle.options[b]);
        if (puzzle.ask == TN_HOPS_HOW_MANY || puzzle.ask == TN_HOPS_IS_THERE) {
            check_number(&puzzle, right);
            continue;
        }
        if (puzzle.ask == TN_HOPS_FOLLOW) {
            cell = tn_hops_find(&puzzle.scene, puzzle.named);
            for (size_t k = 0; k < puzzle.steps; k++)
                cell = puzzle.scene.target[cell];
        }
        assert_int_equal(cell, puzzle.goal);
        for (size_t k = 0; k < puzzle.option_count; k++)
            if (fits(&puzzle, cell, puzzle.options[k], american || strcmp(puzzle.options[k], "gray") == 0) != (k == puzzle.answer))
                fail_msg("'%s': '%s' of '%s'", puzzle.question, puzzle.options[k], right);
        elsewhere += fits(&puzzle, (cell + 1) % puzzle.scene.cells, right, american);
        cells++;
    }
    assert_true(elsewhere * 2 < cells); /* not everything fits everywhere */
}

/* The question contains everything that it must say, in one spelling. */
static void test_questions_say_what_they_ask(void **state)
{
    (void)state;
    static const char *const numbers[] = { "", "one", "two", "three", "four", "five", "six" };
    size_t american = 0, digits = 0, lower = 0, choices = 0, follow = 0, total = 4000;
    for (size_t i = 0; i < total; i++) {
        tn_hops_puzzle puzzle = draw(i, turns[i % 3]);
        char text[TN_HOPS_LINE], digit[2] = { (char)('0' + puzzle.steps), '\0' };
        size_t named = 0;
        for (size_t k = 0; k <= strlen(puzzle.question); k++)
            text[k] = (char)tolower((unsigned char)puzzle.question[k]);
        assert_true(strlen(text) + 1 < sizeof puzzle.question); /* nothing was cut */
        for (size_t k = 0; k < puzzle.option_count; k++)
            named += strstr(text, puzzle.options[k]) != NULL;
        choices += named == puzzle.option_count;
        if (puzzle.ask == TN_HOPS_FOLLOW) {
            const char *colour = tn_hops_colour_names[tn_hops_colour(puzzle.named)];
            assert_non_null(strstr(text, strcmp(colour, "grey") == 0 && is_american(text) ? "gray" : colour));
            follow += strstr(text, numbers[puzzle.steps]) != NULL || strstr(text, digit) != NULL || puzzle.steps == 1;
            digits += strstr(text, numbers[puzzle.steps]) == NULL && strstr(text, digit) != NULL;
        }
        assert_false(is_american(text) && (strstr(text, "olour") != NULL || strstr(text, "grey") != NULL));
        american += is_american(text);
        lower += strcmp(text, puzzle.question) == 0;
    }
    assert_int_equal(follow, total / 2);
    assert_true(american > total / 10 && american < total / 2 && digits > total / 20 && lower > total / 10 && choices > total / 3 &&
                choices < total * 9 / 10);
}

/* Steps are the colours passed, the goal's from there on: as many for every question. */
static void test_brief_steps(void **state)
{
    (void)state;
    for (size_t i = 0; i < 1200; i++) {
        tn_hops_puzzle puzzle = draw(i, turns[i % 3]);
        char text[TN_HOPS_TEXT];
        size_t lines = 0, cell = puzzle.ask == TN_HOPS_FOLLOW ? tn_hops_find(&puzzle.scene, puzzle.named) : 0;
        memcpy(text, puzzle.brief, sizeof text);
        bool american = strstr(text, "gray") != NULL;
        for (char *line = strtok(text, ".\n"); line != NULL; line = strtok(NULL, ".\n"), lines++) {
            const char *names[3];
            describe(&puzzle.scene, cell, american, names);
            if (puzzle.ask == TN_HOPS_FOLLOW)
                assert_string_equal(line, names[0]);
            else if (lines > 0 && !isdigit((unsigned char)puzzle.options[puzzle.answer][0]))
                assert_string_equal(line, puzzle.options[puzzle.answer]);
            if (puzzle.ask == TN_HOPS_FOLLOW && cell != puzzle.goal)
                cell = puzzle.scene.target[cell];
        }
        assert_int_equal(lines, MOST);
    }
}

/* ---------------------------------------------------------- kept for tests -- */

/* The question without its colours, shapes and numbers. */
static void strip(const char *question, char *skeleton, size_t size)
{
    static const char *const others[] = { "gray", "one", "two", "three", "four", "five", "six", "zero", "crosses", "s " };
    char text[2 * TN_HOPS_LINE];
    snprintf(text, sizeof text, "%s ", question);
    for (size_t k = 0; text[k] != '\0'; k++)
        text[k] = (char)(isdigit((unsigned char)text[k]) ? '0' : tolower((unsigned char)text[k]));
    for (size_t w = 0; w < TN_HOPS_COLOURS + TN_HOPS_SHAPES + sizeof others / sizeof *others; w++) {
        const char *word = w < TN_HOPS_COLOURS                    ? tn_hops_colour_names[w]
                           : w < TN_HOPS_COLOURS + TN_HOPS_SHAPES ? tn_hops_shape_names[w - TN_HOPS_COLOURS]
                                                                  : others[w - TN_HOPS_COLOURS - TN_HOPS_SHAPES];
        for (char *at = strstr(text, word); at != NULL; at = strstr(at, word))
            memset(at, '_', strlen(word));
    }
    size_t used = 0;
    for (size_t k = 0; text[k] != '\0' && used + 1 < size; k++)
        if (text[k] != '_' || used == 0 || skeleton[used - 1] != '_')
            skeleton[used++] = text[k];
    skeleton[used] = '\0';
}

static void test_unseen_wordings_are_unseen(void **state)
{
    (void)state;
    enum { COUNT = 1500 };
    char(*seen)[TN_HOPS_LINE] = calloc(2 * COUNT, sizeof *seen), skeleton[TN_HOPS_LINE];
    size_t again = 0;
    for (size_t i = 0; i < COUNT; i++) {
        strip(draw(i, TN_WORDINGS_SEEN).question, seen[i], sizeof seen[i]);
        strip(draw(i, TN_WORDINGS_WIDE).question, seen[COUNT + i], sizeof seen[i]);
    }
    for (size_t i = 0; i < COUNT; i++) {
        tn_hops_puzzle puzzle = draw(COUNT + i, TN_WORDINGS_UNSEEN);
        strip(puzzle.question, skeleton, sizeof skeleton);
        for (size_t k = 0; k < 2 * COUNT; k++)
            if (strcmp(skeleton, seen[k]) == 0)
                fail_msg("'%s' is one of training", puzzle.question);
        strip(draw(COUNT + i, TN_WORDINGS_SEEN).question, skeleton, sizeof skeleton);
        size_t k = 0;
        while (k < COUNT && strcmp(skeleton, seen[k]) != 0)
            k++;
        again += k < COUNT;
    }
    assert_true(again > COUNT / 20); /* another seed's wordings of training do come again */
    free(seen);
    for (size_t ask = 0; ask <= TN_HOPS_IS_THERE; ask++)
        for (const tn_hops_wording *a = tn_hops_templates[ask]; a->text != NULL; a++)
            for (const tn_hops_wording *b = tn_hops_templates[ask]; b < a; b++)
                assert_string_not_equal(a->text, b->text);
    for (size_t ask = 0; ask <= TN_HOPS_IS_THERE; ask++)
        for (const tn_hops_wide *a = tn_hops_wides[ask]; a->text != NULL; a++)
            for (const tn_hops_wording *b = tn_hops_templates[ask]; b->text != NULL; b++)
                assert_string_not_equal(a->text, b->text);
}

/* ------------------------------------------------------ answers from words -- */

/* Guesses from the choices only, compared with a random choice. */
static void test_choices_do_not_tell(void **state)
{
    (void)state;
    enum { LEARNED = 6000, JUDGED = 4000, WORDS = 400 };
    static char words[WORDS][TN_HOPS_NAME];
    static double right[WORDS], any[WORDS];
    size_t count_words = 0;
    double hits[4] = { 0 }, guess = 0;
    for (size_t i = 0; i < LEARNED + JUDGED; i++) {
        tn_hops_puzzle puzzle = draw(5000 + i, turns[1 + i / 2 % 2]);
        size_t best = 0, place[TN_HOPS_OPTIONS_MAX];
        double most = -1;
        for (size_t k = 0; k < puzzle.option_count; k++) {
            size_t w = 0;
            while (w < count_words && strcmp(words[w], puzzle.options[k]) != 0)
                w++;
            assert_true(w < WORDS);
            if (w == count_words)
                snprintf(words[count_words++], TN_HOPS_NAME, "%s", puzzle.options[k]);
            place[k] = w;
            double share = (right[w] + 1) / (any[w] + 3);
            best = share > most ? k : best;
            most = share > most ? share : most;
        }
        if (i >= LEARNED) {
            guess += 1.0 / (double)puzzle.option_count;
            hits[0] += puzzle.answer == 0;
            hits[1] += puzzle.answer + 1 == puzzle.option_count;
            hits[2] += puzzle.answer == best;
            hits[3] += i % 2 == 0 ? true : puzzle.answer == 0; /* a leak in half of them */
        }
        for (size_t k = 0; k < puzzle.option_count; k++) {
            right[place[k]] += k == puzzle.answer;
            any[place[k]]++;
        }
    }
    double bound = guess + 4 * sqrt(JUDGED * 0.25);
    assert_true(hits[0] < bound && hits[1] < bound && hits[2] < bound);
    assert_true(hits[3] > bound);
}

/* ---------------------------------------------------------------- images ---- */

static double difference(const unsigned char *a, const unsigned char *b, size_t count)
{
    double sum = 0;
    for (size_t i = 0; i < count; i++)
        sum += abs(a[i] - b[i]);
    return sum / (double)count;
}

static void test_pictures_vary(void **state)
{
    (void)state;
    enum { SIDE = 112, BYTES = 3 * SIDE * SIDE };
    unsigned char *plain = malloc(BYTES), *varied = malloc(BYTES), *again = malloc(BYTES), *other = malloc(BYTES);
    size_t same = 0, far = 0;
    for (size_t i = 0; i < 300; i++) {
        tn_hops_puzzle puzzle = draw(2 * i, TN_WORDINGS_SEEN), second = draw(2 * i + 1, TN_WORDINGS_SEEN);
        tn_rng brush = tn_rng_seed(i), twin = brush, third = tn_rng_seed(i + 1000), paint = brush;
        tn_rng_uniform(&paint); /* whether it is varied */
        tn_hops_paint(&paint, &puzzle.scene, 0, SIDE, plain);
        tn_hops_paint_varied(&brush, &puzzle.scene, SIDE, varied);
        tn_hops_paint_varied(&twin, &puzzle.scene, SIDE, again);
        tn_hops_paint_varied(&third, &second.scene, SIDE, other);
        assert_memory_equal(varied, again, BYTES);
        same += memcmp(plain, varied, BYTES) == 0;
        far += difference(plain, varied, BYTES) > 20;
        assert_true(memcmp(varied, other, BYTES) != 0);
    }
    assert_true(same > 50 && same < 100 && far > 60 && far < 200); /* a quarter is plain */
    free(plain);
    free(varied);
    free(again);
    free(other);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_answers_are_true),   cmocka_unit_test(test_questions_say_what_they_ask),
        cmocka_unit_test(test_brief_steps),        cmocka_unit_test(test_unseen_wordings_are_unseen),
        cmocka_unit_test(test_choices_do_not_tell), cmocka_unit_test(test_pictures_vary),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
