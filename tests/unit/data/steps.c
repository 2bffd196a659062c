/* Steps of rationales against Python's split and strip, worked out by hand. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include "data/sample.h"
#include "data/strings.h"

#include <string.h>

/* `expected` ends with NULL. */
static void expect(const char *rationale, size_t groups, const char *const *expected)
{
    tn_steps steps;
    size_t count = 0;
    assert_int_equal(tn_steps_split(&steps, rationale, groups, NULL), TENEBRA_OK);
    for (; expected[count] != NULL; count++) {
        assert_true(count < steps.count);
        assert_string_equal(steps.items[count], expected[count]);
    }
    assert_int_equal(steps.count, count);
    tn_steps_free(&steps);
}

#define EXPECT(rationale, groups, ...) expect(rationale, groups, (const char *const[]){ __VA_ARGS__, NULL })

static void test_up_to_three_stay(void **state)
{
    (void)state;
    EXPECT("One", 3, "One");
    EXPECT("One. Two.", 3, "One", "Two.");
    EXPECT("One. Two. Three.", 3, "One", "Two", "Three.");
    EXPECT("A.B. C", 3, "A.B", "C");
}

static void test_groups_take_the_remainder_first(void **state)
{
    (void)state;
    EXPECT("a. b. c. d.", 3, "a. b", "c", "d.");
    EXPECT("a. b. c. d. e", 3, "a. b", "c. d", "e");
    EXPECT("a. b. c. d. e. f.", 3, "a. b", "c. d", "e. f.");
    EXPECT("a. b. c. d. e. f. g", 3, "a. b. c", "d. e", "f. g");
    EXPECT("a. b. c. d. e. f. g", 2, "a. b. c. d", "e. f. g");
    EXPECT("a. b. c. d", 1, "a. b. c. d");
    EXPECT("a. b. c. d", 0, "a", "b", "c", "d");
}

static void test_line_ends_become_blanks(void **state)
{
    (void)state;
    EXPECT("One.\nTwo\nand a half.\n\nThree.\n", 3, "One", "Two and a half", " Three.");
    EXPECT("  \n One. \xC2\xA0\x1C", 3, "One.");
    EXPECT("One.\r\nTwo.", 3, "One.\r Two."); /* only '\n' is replaced */
}

static void test_nothing_gives_no_step(void **state)
{
    (void)state;
    expect("", 3, (const char *const[]){ NULL });
    expect(" \n\t ", 3, (const char *const[]){ NULL });
    EXPECT(".", 3, ".");
    EXPECT(". ", 3, "."); /* stripped before it is cut */
    EXPECT(". . x", 3, "", "", "x"); /* an inner piece may be empty, as in Python */
}

/* How many items lie within the first pieces. */
static void test_pieces_within_items(void **state)
{
    static const size_t within[3][8] = { { 0, 1, 2, 3, 4, 5, 6, 7 }, { 0, 0, 0, 1, 1, 2, 2, 3 }, { 0, 0, 0, 0, 0, 0, 0, 1 } };
    static const size_t groups[] = { 0, 3, 1 };
    tn_steps steps;
    (void)state;
    for (size_t i = 0; i < 3; i++) {
        assert_int_equal(tn_steps_split(&steps, "a. b. c. d. e. f. g", groups[i], NULL), TENEBRA_OK);
        assert_int_equal(steps.pieces, 7);
        for (size_t pieces = 0; pieces < 8; pieces++)
            assert_int_equal(tn_steps_within(&steps, pieces), within[i][pieces]);
        assert_int_equal(tn_steps_within(&steps, 100), steps.count);
        tn_steps_free(&steps);
    }
    assert_int_equal(tn_steps_split(&steps, "", 3, NULL), TENEBRA_OK);
    assert_int_equal(tn_steps_within(&steps, 2), 0);
    tn_steps_free(&steps);
}

static void test_strip_is_that_of_python(void **state)
{
    (void)state;
    static const struct {
        const char *text, *expected;
    } rows[] = {
        { " \t\n\v\f\r\x1C\x1D\x1E\x1F x \x85", "x \x85" }, /* an invalid byte is not white space */
        { "\xC2\x85\xC2\xA0\xE1\x9A\x80\xE2\x80\x80\xE2\x80\x8A\xE2\x80\xA8y\xE2\x80\xA9\xE2\x80\xAF\xE2\x81\x9F\xE3\x80\x80", "y" },
        { "\xE2\x80\x8Bz\xEF\xBB\xBF", "\xE2\x80\x8Bz\xEF\xBB\xBF" }, /* zero width: no white space there */
        { "\xC2\xA0", "" },
        { "", "" },
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        const char *text = rows[i].text;
        size_t length = strlen(text);
        tn_strip(&text, &length, true);
        assert_int_equal(length, strlen(rows[i].expected));
        assert_memory_equal(text, rows[i].expected, length);
    }
    const char *text = "  x ";
    size_t length = 4;
    tn_strip(&text, &length, false);
    assert_int_equal(length, 3);
    assert_memory_equal(text, "  x", 3);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_up_to_three_stay),        cmocka_unit_test(test_groups_take_the_remainder_first),
        cmocka_unit_test(test_line_ends_become_blanks), cmocka_unit_test(test_nothing_gives_no_step),
        cmocka_unit_test(test_strip_is_that_of_python), cmocka_unit_test(test_pieces_within_items),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
