/* The families `detail` and `marks` of the synthetic data set: questions, steps and marks agree; the image in its full size shows
 * the marks, and the image in half the size, as the model's own resize makes it, does not. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include "data/hops.h"
#include "image/resize.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { SIDE = 224, GRID = 4, CELLS = GRID * GRID, CELL = SIDE / GRID, CORNER = 16 /* contains a mark */ };

static const tn_hops_family *family(const char *name)
{
    const tn_hops_family *found = tn_hops_families;
    while (strcmp(found->name, name) != 0)
        found++;
    return found;
}

/* ---------------------------------------------------------- questions -- */

static const char *colour(const tn_hops_scene *scene, size_t cell)
{
    return tn_hops_colour_names[tn_hops_colour(scene->kind[cell])];
}

static void test_questions_are_true(void **state)
{
    (void)state;
    size_t answers[TN_HOPS_MARKS] = { 0 };
    for (size_t i = 0; i < 600; i++) {
        size_t steps = 1 + i % TN_HOPS_DETAILS, cell = 0;
        tn_rng rng = tn_rng_seed(i);
        tn_hops_puzzle puzzle;
        assert_true(tn_hops_draw(&rng, family("detail"), GRID, steps, "dev", &puzzle));
        const tn_hops_scene *scene = &puzzle.scene;
        assert_string_equal(tn_hops_split_of(scene), "dev");
        char name[64], brief[256] = "";
        do {
            assert_true(cell < CELLS);
            snprintf(name, sizeof name, "the %s %s", colour(scene, cell), tn_hops_shape_names[tn_hops_shape(scene->kind[cell])]);
        } while (strstr(puzzle.question, name) == NULL && ++cell > 0);
        for (size_t k = 0; k < steps; k++) {
            if (k > 0)
                cell = scene->target[cell];
            snprintf(brief + strlen(brief), sizeof brief - strlen(brief), "%s.\n", colour(scene, cell));
        }
        const char *mark = tn_hops_mark_names[scene->mark[cell]];
        snprintf(brief + strlen(brief), sizeof brief - strlen(brief), "%s", mark);
        assert_string_equal(puzzle.brief, brief);
        assert_non_null(strstr(puzzle.rationale, mark));
        assert_int_equal(puzzle.option_count, TN_HOPS_MARKS);
        for (size_t k = 0; k < TN_HOPS_MARKS; k++)
            assert_int_equal(strcmp(puzzle.options[k], mark) == 0, k == puzzle.answer);
        size_t counts[TN_HOPS_MARKS] = { 0 };
        for (size_t k = 0; k < CELLS; k++)
            counts[scene->mark[k]]++;
        for (size_t k = 0; k < TN_HOPS_MARKS; k++)
            assert_int_equal(counts[k], CELLS / TN_HOPS_MARKS); /* so that the marks of other objects tell nothing */
        answers[scene->mark[cell]]++;
    }
    for (size_t k = 0; k < TN_HOPS_MARKS; k++)
        assert_true(answers[k] > 105 && answers[k] < 195); /* 150, and more than four standard deviations on both sides */
}

static void test_lists_are_true(void **state)
{
    (void)state;
    tn_rng rng = tn_rng_seed(3);
    tn_hops_puzzle puzzle;
    assert_true(tn_hops_draw(&rng, family("marks"), GRID, 1, "train", &puzzle));
    for (size_t cell = 0; cell < CELLS; cell++) {
        char step[64], sentence[96];
        const char *mark = tn_hops_mark_names[puzzle.scene.mark[cell]];
        snprintf(step, sizeof step, "%s %s", colour(&puzzle.scene, cell), mark);
        snprintf(sentence, sizeof sentence, "the mark of the %s object is %s.", colour(&puzzle.scene, cell), mark);
        assert_non_null(strstr(puzzle.brief, step));
        assert_non_null(strstr(puzzle.rationale, sentence));
    }
    size_t length = strlen(puzzle.options[puzzle.answer]);
    assert_string_equal(puzzle.brief + strlen(puzzle.brief) - length, puzzle.options[puzzle.answer]);
}

static tenebra_code make(const tn_make *wishes, size_t index, tn_made *made, tenebra_error *error)
{
    return tn_dataset_find("hops", 4)->make(wishes, "train", index, made, error);
}

/* All questions of a set have the same number of brief steps, those of `arrows` in it, too. */
static void test_steps_are_equally_many(void **state)
{
    (void)state;
    static const struct {
        const char *families;
        size_t last, count;
    } sets[] = { { "detail", 0, 4 }, { "detail", 2, 3 }, { "arrows,detail", 3, 4 }, { "arrows,detail", 0, 6 }, { "arrows", 3, 3 } };
    for (size_t k = 0; k < sizeof sets / sizeof *sets; k++)
        for (size_t i = 0; i < 12; i++) {
            tn_make wishes = { .seed = 5, .families = sets[k].families, .brief = true, .steps_max = sets[k].last };
            tn_made made;
            tn_steps steps;
            assert_int_equal(make(&wishes, i, &made, NULL), TENEBRA_OK);
            bool detail = strcmp(made.sample.domain, "detail") == 0;
            assert_int_equal(made.size, strstr(sets[k].families, "detail") != NULL ? SIDE : SIDE / 2);
            assert_int_equal(tn_steps_split(&steps, made.sample.rationale, 0, NULL), TENEBRA_OK);
            assert_int_equal(steps.count, sets[k].count);
            for (size_t n = (size_t)(made.sample.topic[7] - '0'); detail && n < steps.count; n++)
                assert_string_equal(steps.items[n], made.sample.options[made.sample.answer]);
            tn_steps_free(&steps);
            tn_made_free(&made);
        }
}

static void test_refused(void **state)
{
    (void)state;
    static const struct {
        tn_make wishes;
        const char *part;
    } cases[] = {
        { { .families = "detail", .size = 112 }, "--size 224" },
        { { .families = "marks", .size = 112, .grid = 3 }, "--size 168" },
        { { .families = "detail", .varied = true }, "'detail'" },
        { { .families = "detail", .wordings = TN_WORDINGS_SEEN }, "only one wording" },
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        tn_made made;
        tenebra_error error = { 0 };
        assert_int_equal(make(&cases[i].wishes, 0, &made, &error), TENEBRA_ERROR_ARGUMENT);
        if (strstr(error.sentence, cases[i].part) == NULL)
            fail_msg("'%s' is not in: %s", cases[i].part, error.sentence);
    }
    tn_made made;
    assert_int_equal(make(&(tn_make){ .families = "detail", .size = 112, .grid = 2 }, 0, &made, NULL), TENEBRA_OK);
    tn_made_free(&made);
}

/* ------------------------------------------------------------- pixels -- */

/* An image of a scene; `shift` leaves out that many first rows and columns. */
static void paint(const tn_hops_scene *scene, uint64_t seed, size_t shift, tn_image *image)
{
    tn_image whole;
    tn_rng brush = tn_rng_seed(seed);
    assert_int_equal(tn_image_new(&whole, SIDE, SIDE, 3, NULL), TENEBRA_OK);
    tn_hops_paint(&brush, scene, 0, SIDE, whole.pixels);
    assert_int_equal(tn_image_crop(&whole, shift, shift, SIDE - 2 * shift, SIDE - 2 * shift, image, NULL), TENEBRA_OK);
    tn_image_free(&whole);
}

static void halve(const tn_image *image, tn_resample filter, tn_image *half)
{
    assert_int_equal(tn_image_resize(image, image->width / 2, image->height / 2, filter, half, NULL), TENEBRA_OK);
}

static int largest_difference(const tn_image *a, const tn_image *b)
{
    int largest = 0;
    assert_int_equal(a->width, b->width);
    for (size_t i = 0; i < 3 * a->width * a->height; i++) {
        int difference = abs(a->pixels[i] - b->pixels[i]);
        largest = difference > largest ? difference : largest;
    }
    return largest;
}

/* The same scene with other marks, painted by the same brush: in full size the pixels differ widely, in half the size only by
 * rounding: of the drawing, 0.5 times 1.19 ^ 2 (sum of the weights' absolute values) after two passes, and of the passes, 0.5 times 1.19
 * and 0.5. That is below 1.8 in each image, so pixels differ at most by 3. Control: where stripes do not start at an odd pixel, the half shows them. */
static void test_only_the_full_size_differs(void **state)
{
    (void)state;
    for (size_t i = 0; i < 40; i++) {
        tn_rng rng = tn_rng_seed(i);
        tn_hops_puzzle puzzle;
        assert_true(tn_hops_draw(&rng, family("detail"), GRID, 1, "train", &puzzle));
        tn_hops_scene other = puzzle.scene;
        for (size_t cell = 0; cell < CELLS; cell++)
            other.mark[cell] = (unsigned char)((other.mark[cell] + 1 + i % 3) % TN_HOPS_MARKS);
        for (size_t shift = 0; shift < 2; shift++) {
            tn_image a, b, half_a, half_b;
            paint(&puzzle.scene, i, shift, &a);
            paint(&other, i, shift, &b);
            halve(&a, TN_RESAMPLE_BICUBIC, &half_a);
            halve(&b, TN_RESAMPLE_BICUBIC, &half_b);
            assert_true(largest_difference(&a, &b) > 60);
            int seen = largest_difference(&half_a, &half_b);
            if (shift == 0 ? seen > 3 : seen < 6)
                fail_msg("scene %zu, shifted by %zu: pixels of the half differ by %d", i, shift, seen);
            tn_image_free(&a);
            tn_image_free(&b);
            tn_image_free(&half_a);
            tn_image_free(&half_b);
        }
    }
}

/* A linear classifier of the corners of cells, by least squares: learns from the first two thirds of the images, and returns the
 * share of the others' marks that it names correctly. One colour is enough, since plates are grey. */
enum { LEARNED = 200, IMAGES = 300, INPUTS = CORNER * CORNER + 1 };

typedef struct fit {
    size_t inputs;
    double square[INPUTS][INPUTS], goal[INPUTS][TN_HOPS_MARKS]; /* normal equations; then goal has the weights */
} fit;

/* The corner of a cell that is nearest to the centre of the image. */
static size_t corner_of(size_t index)
{
    return index * CELL + (index < GRID / 2 ? CELL - CORNER : 0);
}

static void read_corner(const tn_image *image, size_t cell, double corner[INPUTS])
{
    size_t scale = SIDE / image->width, side = CORNER / scale;
    for (size_t i = 0; i < side * side; i++) {
        size_t y = corner_of(cell / GRID) / scale + i / side, x = corner_of(cell % GRID) / scale + i % side;
        corner[i] = image->pixels[3 * (y * image->width + x)] / 255.0;
    }
    corner[side * side] = 1;
}

static void learn(fit *f, const double *corner, size_t mark)
{
    for (size_t i = 0; i < f->inputs; i++) {
        for (size_t k = 0; k < f->inputs; k++)
            f->square[i][k] += corner[i] * corner[k];
        f->goal[i][mark] += corner[i];
    }
}

/* Gaussian elimination; the ridge makes the matrix positive, so no pivots are needed. */
static void solve(fit *f)
{
    for (size_t i = 0; i < f->inputs; i++)
        f->square[i][i] += 1e-3;
    for (size_t i = 0; i < f->inputs; i++)
        for (size_t k = 0; k < f->inputs; k++) {
            double factor = f->square[k][i] / f->square[i][i];
            for (size_t m = i; m < f->inputs && k != i; m++)
                f->square[k][m] -= factor * f->square[i][m];
            for (size_t m = 0; m < TN_HOPS_MARKS && k != i; m++)
                f->goal[k][m] -= factor * f->goal[i][m];
        }
    for (size_t i = 0; i < f->inputs; i++)
        for (size_t m = 0; m < TN_HOPS_MARKS; m++)
            f->goal[i][m] /= f->square[i][i];
}

static size_t name(const fit *f, const double *corner)
{
    double scores[TN_HOPS_MARKS] = { 0 };
    size_t best = 0;
    for (size_t mark = 0; mark < TN_HOPS_MARKS; mark++) {
        for (size_t i = 0; i < f->inputs; i++)
            scores[mark] += corner[i] * f->goal[i][mark];
        best = scores[mark] > scores[best] ? mark : best;
    }
    return best;
}

/* In full size, or halved with a filter; `shift` leaves out that many first rows and columns before. */
static double guess_marks(const tn_resample *filter, size_t shift)
{
    size_t right = 0;
    double corner[INPUTS];
    fit *f = calloc(1, sizeof *f);
    assert_non_null(f);
    f->inputs = CORNER * CORNER / (filter == NULL ? 1 : 4) + 1;
    for (size_t i = 0; i < IMAGES; i++) {
        tn_rng rng = tn_rng_seed(i);
        tn_hops_puzzle puzzle;
        tn_image image, half;
        assert_true(tn_hops_draw(&rng, family("detail"), GRID, 1, "train", &puzzle));
        paint(&puzzle.scene, 7000 + i, shift, &image);
        if (filter != NULL) {
            halve(&image, *filter, &half);
            tn_image_free(&image);
            image = half;
        }
        if (i == LEARNED)
            solve(f);
        for (size_t cell = 0; cell < CELLS; cell++) {
            read_corner(&image, cell, corner);
            if (i < LEARNED)
                learn(f, corner, puzzle.scene.mark[cell]);
            else
                right += name(f, corner) == puzzle.scene.mark[cell];
        }
        tn_image_free(&image);
    }
    free(f);
    return (double)right / ((IMAGES - LEARNED) * CELLS);
}

static void test_marks_are_told_in_full_size_only(void **state)
{
    (void)state;
    static const tn_resample bicubic = TN_RESAMPLE_BICUBIC, box = TN_RESAMPLE_BOX;
    double chance = 1.0 / TN_HOPS_MARKS, bound = chance + 4 * sqrt(chance * (1 - chance) / ((IMAGES - LEARNED) * CELLS));
    double whole = guess_marks(NULL, 0), half = guess_marks(&bicubic, 0), other = guess_marks(&box, 0), shifted = guess_marks(&bicubic, 1);
    print_message("linear classifier: %.4f in full size, %.4f in half the size, chance %.4f; %.4f with another filter, %.4f if shifted\n",
                  whole, half, chance, other, shifted);
    assert_true(whole > 0.99);
    assert_true(half < bound);
    assert_true(other > 0.9 && shifted > bound); /* controls: there, stripes do not cancel */
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_questions_are_true),         cmocka_unit_test(test_lists_are_true),
        cmocka_unit_test(test_steps_are_equally_many),     cmocka_unit_test(test_refused),
        cmocka_unit_test(test_only_the_full_size_differs), cmocka_unit_test(test_marks_are_told_in_full_size_only),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
