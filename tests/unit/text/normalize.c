#include "text/normalize.h"
#include "base/rng.h"
#include "text/pattern.h"
#include "unit/text/support.h"

#include <utf8proc.h>

static tn_marked nfc_of(const char *text, size_t length, const char *marks)
{
    tn_marked out = { 0 };
    assert_int_equal(tn_normalize_nfc(&out, text, marks, length, NULL), TENEBRA_OK);
    assert_int_equal(out.text.length, out.marks.length);
    return out;
}

static tn_marked nfc(const char *text)
{
    char *marks = calloc(strlen(text) + 1, 1);
    tn_marked out = nfc_of(text, strlen(text), marks);
    free(marks);
    return out;
}

static void known_forms(void **state)
{
    (void)state;
    static const struct {
        const char *text, *form;
    } cases[] = {
        { "", "" },
        { "plain", "plain" },
        { "e\xCC\x81", "\xC3\xA9" },                                     /* e + acute            */
        { "\xE2\x84\xAB", "\xC3\x85" },                                  /* Angstrom sign        */
        { "e\xCC\xA3\xCC\x82", "\xE1\xBB\x87" },                         /* dot below, circumflex */
        { "e\xCC\x82\xCC\xA3", "\xE1\xBB\x87" },                         /* the other order      */
        { "\xE1\x84\x92\xE1\x85\xA1\xE1\x86\xAB", "\xED\x95\x9C" },      /* jamo                 */
        { "\xED\x95\x98\xE1\x86\xAB", "\xED\x95\x9C" },                  /* syllable + final     */
        { "\xE0\xA4\x95\xE0\xA4\xBC", "\xE0\xA4\x95\xE0\xA4\xBC" },      /* excluded composition */
        { "\xE2\x85\xA7\xEF\xAC\x81", "\xE2\x85\xA7\xEF\xAC\x81" },      /* compatibility stays  */
        { "\xF0\x9F\x98\x80\xEF\xB8\x8F", "\xF0\x9F\x98\x80\xEF\xB8\x8F" },
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        tn_marked out = nfc(cases[i].text);
        if (!equal_text(&out.text, cases[i].form, strlen(cases[i].form)))
            fail_msg("case %zu: %.*s", i, (int)out.text.length, out.text.data ? out.text.data : "");
        tn_marked_free(&out);
    }
}

static void nothing_is_normal(void **state)
{
    (void)state;
    tn_marked out = { 0 };
    assert_int_equal(tn_normalize_nfc(&out, NULL, NULL, 0, NULL), TENEBRA_OK);
    assert_int_equal(tn_marked_append_lossy(&out, NULL, NULL, 0, NULL), TENEBRA_OK);
    assert_int_equal(out.text.length, 0);
}

/* Characters of every role in normalisation. */
static const int32_t pool[] = { 'a',    'e',    '>',    ' ',    0x300,  0x301,  0x323,  0x327,  0x338,  0x344,
                                0xE9,   0x1EC7, 0x212B, 0x1100, 0x1161, 0x11A8, 0xAC00, 0xAC01, 0x915,  0x93C,
                                0x9BE,  0x9C7,  0xF71,  0xF73,  0x4E2D, 0xF900, 0x5D0,  0x5BC,  0x5B0,  0x1F600 };

static size_t random_text(tn_rng *rng, char *text, size_t characters)
{
    size_t length = 0;
    for (size_t i = 0; i < characters; i++)
        length += tn_utf8_write(pool[tn_rng_below(rng, sizeof pool / sizeof pool[0])], text + length);
    return length;
}

/* Cutting the text into chunks must not change the result. */
static void chunks_agree_with_the_whole(void **state)
{
    (void)state;
    tn_rng rng = tn_rng_seed(11);
    size_t changed = 0;
    for (int round = 0; round < 20000; round++) {
        char text[128], marks[128] = { 0 };
        size_t length = random_text(&rng, text, 1 + tn_rng_below(&rng, 16));
        tn_marked out = nfc_of(text, length, marks);
        utf8proc_uint8_t *whole;
        utf8proc_ssize_t expected = utf8proc_map((const utf8proc_uint8_t *)text, (utf8proc_ssize_t)length, &whole,
                                                 UTF8PROC_STABLE | UTF8PROC_COMPOSE);
        assert_true(expected >= 0);
        assert_true(equal_text(&out.text, (const char *)whole, (size_t)expected));
        changed += !equal_text(&out.text, text, length);
        free(whole);
        tn_marked_free(&out);
    }
    assert_true(changed > 5000); /* the texts do exercise the normaliser */
}

/* 200,000 marks in the worst order for a sort by neighbours. */
static void a_long_run_of_marks_is_ordered(void **state)
{
    (void)state;
    enum { PAIRS = 100000 };
    char *text = malloc(4 * PAIRS + 1), *marks = calloc(4 * PAIRS + 1, 1);
    size_t length = 0;
    text[length++] = 'x';
    for (int i = 0; i < PAIRS; i++) /* class 230, then class 220 */
        length += tn_utf8_write(0x301, text + length);
    for (int i = 0; i < PAIRS; i++)
        length += tn_utf8_write(0x316, text + length);
    tn_marked out = nfc_of(text, length, marks);
    assert_int_equal(out.text.length, length);
    for (int i = 0; i < PAIRS; i++) {
        assert_memory_equal(out.text.data + 1 + 2 * i, "\xCC\x96", 2);
        assert_memory_equal(out.text.data + 1 + 2 * (PAIRS + i), "\xCC\x81", 2);
    }
    tn_marked_free(&out);
    free(text);
    free(marks);
}

/* A character keeps its mark only when nothing from elsewhere went into it. */
static void marks_follow_their_characters(void **state)
{
    (void)state;
    tn_marked out = nfc_of("a>\xCC\xA7z", 5, "\1\1\0\0\2"); /* '>' + cedilla does not compose */
    assert_true(equal_text(&out.text, "a>\xCC\xA7z", 5));
    assert_memory_equal(out.marks.data, "\1\1\0\0\2", 5);
    tn_marked_free(&out);
    out = nfc_of("a>\xCC\xB8z", 5, "\1\1\0\0\2"); /* '>' + stroke is one character, U+226F */
    assert_true(equal_text(&out.text, "a\xE2\x89\xAFz", 5));
    assert_memory_equal(out.marks.data, "\1\0\0\0\2", 5);
    tn_marked_free(&out);
    out = nfc_of("e\xCC\x81", 3, "\2\2\2"); /* all of one source */
    assert_memory_equal(out.marks.data, "\2\2", 2);
    tn_marked_free(&out);
}

static void damaged_bytes_carry_no_mark(void **state)
{
    (void)state;
    tn_marked out = { 0 };
    assert_int_equal(tn_marked_append_lossy(&out, "a\xFF\xC3\xA9", "\1\1\1\2", 4, NULL), TENEBRA_OK);
    assert_true(equal_text(&out.text, "a\xEF\xBF\xBD\xC3\xA9", 6));
    assert_memory_equal(out.marks.data, "\1\0\0\0\0\0", 6); /* the last character has two sources */
    tn_marked_free(&out);
}

/* -------------------------------------------------------- lower case -- */

/* Every code point from 1 on, one after the other, without surrogates: the bytes' FNV-1a and the number of those that change are
 * those of tokenizers.normalizers.Lowercase().normalize_str of Hugging Face tokenizers 0.23.3. */
static void all_capitals_as_the_library_has_them(void **state)
{
    (void)state;
    uint64_t hash = 0xCBF29CE484222325u;
    size_t changed = 0;
    for (int32_t c = 1; c < 0x110000; c++) {
        char bytes[4];
        if (c >= 0xD800 && c < 0xE000)
            continue;
        size_t length = tn_utf8_write(c, bytes);
        tn_marked out = { 0 };
        assert_int_equal(tn_normalize_lower(&out, bytes, "\1\1\1\1", length, NULL), TENEBRA_OK);
        changed += !equal_text(&out.text, bytes, length);
        for (size_t i = 0; i < out.text.length; i++) {
            hash = (hash ^ (unsigned char)out.text.data[i]) * 0x100000001B3u;
            assert_int_equal(out.marks.data[i], 1);
        }
        tn_marked_free(&out);
    }
    assert_int_equal(changed, 1488);
    assert_true(hash == 0x3516FA77378C1CFEu);
}

/* By the same library: a final sigma is like any other, and nothing is composed. */
static void small_letters_of_texts(void **state)
{
    (void)state;
    static const struct {
        const char *text, *small;
    } cases[] = {
        { "", "" },
        { "none here, 12", "none here, 12" },
        { "Follow THREE arrows", "follow three arrows" },
        { "\xCE\x9F\xCE\x94\xCE\x9F\xCE\xA3", "\xCE\xBF\xCE\xB4\xCE\xBF\xCF\x83" },
        { "\xC4\xB0stanbul", "i\xCC\x87stanbul" },
        { "STRASSE \xE1\xBA\x9E", "strasse \xC3\x9F" },
        { "A\xCC\x80", "a\xCC\x80" },
        { "\xC7\x85", "\xC7\x86" },
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        char marks[64] = { 0 };
        tn_marked out = { 0 };
        assert_int_equal(tn_normalize_lower(&out, cases[i].text, marks, strlen(cases[i].text), NULL), TENEBRA_OK);
        if (!equal_text(&out.text, cases[i].small, strlen(cases[i].small)))
            fail_msg("case %zu: %.*s", i, (int)out.text.length, out.text.data ? out.text.data : "");
        assert_int_equal(out.marks.length, out.text.length);
        tn_marked_free(&out);
    }
}

/* --------------------------------------------------------------- rules -- */

typedef struct ruling {
    tn_rule_kind kind;
    tn_unicode_form form;
    const char *pattern, *text; /* of REPLACE and PREPEND */
    bool left, right;
    const char *before, *after;
} ruling;

/* By the normalizers of Hugging Face tokenizers 0.23.3. */
static const ruling rulings[] = {
    { .kind = TN_RULE_UNICODE, .form = { false, false }, .before = "\xC3\xA9\xED\x95\x9C\xEF\xAC\x81", .after = "e\xCC\x81\xE1\x84\x92\xE1\x85\xA1\xE1\x86\xAB\xEF\xAC\x81" },
    { .kind = TN_RULE_UNICODE, .form = { false, true }, .before = "e\xCC\x81\xE2\x84\xAB\xEF\xAC\x81", .after = "\xC3\xA9\xC3\x85\xEF\xAC\x81" },
    { .kind = TN_RULE_UNICODE, .form = { true, false }, .before = "\xC3\xA9\xE1\xBA\x9B\xCC\xA3\xE2\x85\xA7", .after = "e\xCC\x81s\xCC\xA3\xCC\x87VIII" },
    { .kind = TN_RULE_UNICODE, .form = { true, true }, .before = "e\xCC\x81\xE1\xBA\x9B\xCC\xA3\xEF\xAC\x81\xC2\xBD", .after = "\xC3\xA9\xE1\xB9\xA9" "fi1\xE2\x81\x84" "2" },
    { .kind = TN_RULE_UNICODE, .form = { true, true }, .before = "\xEF\xB7\xBA", /* eighteen characters */
      .after = "\xD8\xB5\xD9\x84\xD9\x89 \xD8\xA7\xD9\x84\xD9\x84\xD9\x87 \xD8\xB9\xD9\x84\xD9\x8A\xD9\x87 \xD9\x88\xD8\xB3\xD9\x84\xD9\x85" },
    { .kind = TN_RULE_LOWER, .before = "ABC \xCE\xA3", .after = "abc \xCF\x83" },
    { .kind = TN_RULE_PREPEND, .text = "_", .before = "ab", .after = "_ab" },
    { .kind = TN_RULE_PREPEND, .text = "_", .before = "", .after = "" },
    { .kind = TN_RULE_REPLACE, .pattern = "a+", .text = "", .before = "ab aaa", .after = "b " },
    { .kind = TN_RULE_REPLACE, .pattern = "\\s+", .text = "\xC3\xA9", .before = " \xC2\xA0" "ab \xE2\x80\x8B", .after = "\xC3\xA9" "ab\xC3\xA9\xE2\x80\x8B" },
    { .kind = TN_RULE_STRIP, .left = true, .right = true, .before = " \xC2\xA0" "ab \xE2\x80\x8B \n", .after = "ab \xE2\x80\x8B" },
    { .kind = TN_RULE_STRIP, .left = true, .before = "\t a ", .after = "a " },
    { .kind = TN_RULE_STRIP, .right = true, .before = "\t a ", .after = "\t a" },
    { .kind = TN_RULE_STRIP, .left = true, .right = true, .before = " \n ", .after = "" },
};

/* The text after a rule; every byte has the mark 1. */
static tn_marked apply_rule(const ruling *at, tenebra_code *code)
{
    char text[8] = "", marks[64];
    snprintf(text, sizeof text, "%s", at->text != NULL ? at->text : "");
    memset(marks, 1, sizeof marks);
    tn_rule rule = { .kind = at->kind, .form = at->form, .text = text, .length = strlen(text), .left = at->left, .right = at->right };
    if (at->pattern != NULL)
        assert_int_equal(tn_pattern_open(at->pattern, strlen(at->pattern), false, "test", &rule.pattern, NULL), TENEBRA_OK);
    tn_marked out = { 0 };
    *code = tn_rule_apply(&rule, &out, at->before, marks, strlen(at->before), NULL);
    rule.text = NULL;
    tn_rule_free(&rule);
    return out;
}

static void rules_change_text(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof rulings / sizeof rulings[0]; i++) {
        tenebra_code code;
        tn_marked out = apply_rule(&rulings[i], &code);
        if (code != TENEBRA_OK || !equal_text(&out.text, rulings[i].after, strlen(rulings[i].after)))
            fail_msg("case %zu: %.*s", i, (int)out.text.length, out.text.data ? out.text.data : "");
        assert_int_equal(out.marks.length, out.text.length);
        for (size_t m = 0; m < out.marks.length; m++) /* only what a rule adds of its own has none */
            assert_int_equal(out.marks.data[m], rulings[i].kind == TN_RULE_PREPEND && m == 0 ? 0 : 1);
        tn_marked_free(&out);
    }
}

/* A control token is never made of text of both kinds. */
static void replaced_text_has_a_mark_only_inside_one_span(void **state)
{
    (void)state;
    tn_rule rule = { .kind = TN_RULE_REPLACE };
    char text[] = "<x>";
    rule.text = text;
    rule.length = 3;
    assert_int_equal(tn_pattern_open("ab", 2, true, "test", &rule.pattern, NULL), TENEBRA_OK);
    tn_marked out = { 0 };
    assert_int_equal(tn_rule_apply(&rule, &out, "ababab", "\1\1\0\0\1\2", 6, NULL), TENEBRA_OK);
    assert_true(equal_text(&out.text, "<x><x><x>", 9));
    assert_memory_equal(out.marks.data, "\1\1\1\0\0\0\0\0\0", 9);
    rule.text = NULL;
    tn_rule_free(&rule);
    tn_marked_free(&out);
}

static void growth_has_a_limit(void **state)
{
    (void)state;
    assert_int_equal(tn_rule_check_growth(0, TN_RULE_ROOM, NULL), TENEBRA_OK);
    assert_int_equal(tn_rule_check_growth(1000, TN_RULE_ROOM + 64000, NULL), TENEBRA_OK);
    assert_int_equal(tn_rule_check_growth(1000, TN_RULE_ROOM + 65000, NULL), TENEBRA_ERROR_LIMIT);
    char *longer = malloc(5000), marks[64] = { 0 };
    memset(longer, 'x', 5000);
    tn_rule rule = { .kind = TN_RULE_REPLACE, .text = longer, .length = 5000 };
    assert_int_equal(tn_pattern_open("a", 1, true, "test", &rule.pattern, NULL), TENEBRA_OK);
    tn_marked out = { 0 };
    assert_int_equal(tn_rule_apply(&rule, &out, "aaaaaaaaaa", marks, 10, NULL), TENEBRA_OK);
    assert_int_equal(tn_rule_apply(&rule, &out, "aaaaaaaaaaaaaaaaaaaa", marks, 20, NULL), TENEBRA_ERROR_LIMIT);
    tn_rule_free(&rule);
    tn_marked_free(&out);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(known_forms),
        cmocka_unit_test(nothing_is_normal),
        cmocka_unit_test(chunks_agree_with_the_whole),
        cmocka_unit_test(a_long_run_of_marks_is_ordered),
        cmocka_unit_test(marks_follow_their_characters),
        cmocka_unit_test(damaged_bytes_carry_no_mark),
        cmocka_unit_test(all_capitals_as_the_library_has_them),
        cmocka_unit_test(small_letters_of_texts),
        cmocka_unit_test(rules_change_text),
        cmocka_unit_test(replaced_text_has_a_mark_only_inside_one_span),
        cmocka_unit_test(growth_has_a_limit),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
