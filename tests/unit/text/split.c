#include "text/split.h"
#include "base/rng.h"
#include "text/unicode.h"
#include "unit/text/support.h"

/* Pieces with '|' between them. */
static tenebra_code join_piece(void *user, const char *piece, size_t length, tenebra_error *error)
{
    tn_text *joined = user;
    if (joined->length > 0)
        TN_TRY(tn_text_append(joined, "|", 1, error));
    return tn_text_append(joined, piece, length, error);
}

static tn_text split_with(const tn_splitter *splitter, const char *text, size_t length)
{
    tn_text joined = { 0 };
    tenebra_error error;
    if (tn_split(splitter, text, length, join_piece, &joined, &error) != TENEBRA_OK)
        fail_msg("%s: %s", error.where, error.sentence);
    return joined;
}

static tn_splitter *open_pattern(const char *pattern, bool general)
{
    tn_split_options options = { .general = general };
    tn_splitter *splitter;
    assert_int_equal(tn_splitter_open_pattern(pattern, strlen(pattern), &options, "test", &splitter, NULL), TENEBRA_OK);
    return splitter;
}

typedef struct splitting {
    const char *text, *pieces;
} splitting;

static const splitting splittings[] = {
    { "", "" },
    { "Hello, world!", "Hello|,| world|!" },
    { "it's IT'S we'll WE'VE I'm y'all", "it|'s| IT|'S| we|'ll| WE|'VE| I|'m| y|'all" },
    { "it'\xC5\xBF" "a", "it|'\xC5\xBF|a" },   /* long s folds to s */
    { "12345", "1|2|3|4|5" },
    { "a1b", "a|1|b" },
    { "  two  spaces ", " | two| | spaces| " },
    { "a \n \n  b", "a| \n \n| | b" },
    { "a\r\n\r\nb", "a|\r\n\r\n|b" },
    { "end?!\n\nnext", "end|?!\n\n|next" },
    { "tab\tword", "tab|\tword" },
    { "\ttab 1", "\ttab| |1" },
    { "x\xC2\xA0y", "x|\xC2\xA0y" },             /* no-break space takes the word */
    { "x \xC2\xA0 !", "x| \xC2\xA0| !" },
    { "x\xC2\x85" "!", "x|\xC2\x85|!" },         /* U+0085 is white space */
    { "x\xE1\xA0\x8E" "y", "x|\xE1\xA0\x8E" "y" },  /* U+180E is not */
    { "!\xE2\x80\x8B!", "!\xE2\x80\x8B!" },      /* nor U+200B */
    { "\xEF\xBB\xBF" "a", "\xEF\xBB\xBF" "a" },
    { "\xE4\xB8\xAD\xE6\x96\x87\xEF\xBC\x8C\xE5\xAD\x97", "\xE4\xB8\xAD\xE6\x96\x87|\xEF\xBC\x8C\xE5\xAD\x97" },
    { "\xF0\x9F\x98\x80\xF0\x9F\x98\x81 ok", "\xF0\x9F\x98\x80\xF0\x9F\x98\x81| ok" },
    { "e\xCC\x81t", "e|\xCC\x81t" },             /* a mark is not a letter, but continues the word */
    { "\xE2\x85\xA7\xC2\xBD", "\xE2\x85\xA7|\xC2\xBD" }, /* roman numeral, fraction */
    { "(A).{red}\n", "(A|).{|red|}\n" },
    { "\n", "\n" },
    { "   ", "   " },
    { "'", "'" },
    { "'re", "'re" },
    { "'r", "'r" },
};

static void qwen2_pieces(void **state)
{
    (void)state;
    tn_splitter *splitter = open_pattern(TN_PATTERN_QWEN2, false);
    for (size_t i = 0; i < sizeof splittings / sizeof splittings[0]; i++) {
        tn_text pieces = split_with(splitter, splittings[i].text, strlen(splittings[i].text));
        if (!equal_text(&pieces, splittings[i].pieces, strlen(splittings[i].pieces)))
            fail_msg("\"%s\" became \"%.*s\"", splittings[i].text, (int)pieces.length, pieces.data);
        tn_text_free(&pieces);
    }
    tn_splitter_close(splitter);
}

/* Classes whose name and members have not changed for a long time, so both tables agree about them. */
static const int32_t pool[] = { '\'', 's',    'S',    't',    'r',    'e',    'V',    'l',    'd',     'm',
                                ' ',  ' ',    '\t',   '\n',   '\r',   0x85,   0xA0,   0x2028, 0x3000,  '1',
                                '9',  0x661,  0xBD,   0x2167, '!',    '.',    '-',    '_',    0x301,   0x200B,
                                0xE9, 0x17F,  0x4E2D, 0xAC00, 0x416,  0x3B1,  0x5D0,  0xFEFF, 0x1F600, 0x2026 };

static size_t random_text(tn_rng *rng, char *text, size_t characters)
{
    size_t length = 0;
    for (size_t i = 0; i < characters; i++)
        length += tn_utf8_write(pool[tn_rng_below(rng, sizeof pool / sizeof pool[0])], text + length);
    return length;
}

/* Times that the code for `known` and PCRE2 with `pattern` disagree on random texts. */
static size_t disagreements(const char *known, const char *pattern)
{
    tn_splitter *own = open_pattern(known, false), *general = open_pattern(pattern, true);
    tn_rng rng = tn_rng_seed(5);
    size_t different = 0;
    for (int round = 0; round < 20000; round++) {
        char text[128];
        size_t length = random_text(&rng, text, 1 + tn_rng_below(&rng, 20));
        tn_text a = split_with(own, text, length), b = split_with(general, text, length);
        different += !equal_text(&a, b.data, b.length);
        tn_text_free(&a);
        tn_text_free(&b);
    }
    tn_splitter_close(own);
    tn_splitter_close(general);
    return different;
}

static void agrees_with_the_regular_expression(void **state)
{
    (void)state;
    assert_int_equal(disagreements(TN_PATTERN_QWEN2, TN_PATTERN_QWEN2), 0);
    assert_int_equal(disagreements(TN_PATTERN_GPT2, TN_PATTERN_GPT2), 0);
}

/* Negative control: other patterns (P18), among them the one of Qwen2 without its case folding. */
static void other_patterns_are_told_apart(void **state)
{
    (void)state;
    assert_true(disagreements(TN_PATTERN_QWEN2, TN_PATTERN_GPT2) > 0);
    assert_true(disagreements(TN_PATTERN_GPT2, TN_PATTERN_QWEN2) > 0);
    const char *strict = strchr(TN_PATTERN_QWEN2, ')') + 1; /* no contractions at all */
    assert_int_equal(*strict, '|');
    assert_true(disagreements(TN_PATTERN_QWEN2, strict + 1) > 0);
}

static void classes_are_those_of_unicode_16(void **state)
{
    (void)state;
    static const struct {
        int32_t code_point;
        tn_char_class kind;
    } cases[] = {
        { 'a', TN_LETTER },     { '0', TN_NUMBER },    { ' ', TN_SPACE },     { '!', TN_OTHER },
        { 0x85, TN_SPACE },     { 0x180E, TN_OTHER },  { 0x200B, TN_OTHER },  { 0xFEFF, TN_OTHER },
        { 0x1680, TN_SPACE },   { 0x3000, TN_SPACE },  { 0x1C, TN_OTHER },    { 0x301, TN_OTHER },
        { 0x2167, TN_NUMBER },  { 0x1C89, TN_LETTER }, { 0x1CCF0, TN_NUMBER }, /* new in 16 */
        { 0x2EBF0, TN_LETTER },                                                /* new in 15.1 */
        { 0x33479, TN_OTHER },                                                 /* new in 17 */
        { 0x10FFFF, TN_OTHER }, { -1, TN_OTHER },
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++)
        assert_int_equal(tn_unicode_class(cases[i].code_point), cases[i].kind);
    for (size_t i = 1; i < tn_unicode_range_count; i++)
        assert_true(tn_unicode_ranges[i].begin > tn_unicode_ranges[i - 1].end);
}

/* --------------------------------------------------------- behaviours -- */

typedef struct behaving {
    const char *pattern, *text;
    bool literal;
    const char *pieces[5][2]; /* by behaviour; as it is, and inverted */
} behaving;

/* By pre_tokenizers.Split of Hugging Face tokenizers 0.23.3. */
static const behaving behavings[] = {
    { "\\d*", "ab12cXxY\xC3\xA9""3", false, /* also matches nothing, which also ends a piece */
      { { "a|b|12|c|X|x|Y|\xC3\xA9|3", "a|b|12|c|X|x|Y|\xC3\xA9|3" },
        { "a|b|c|X|x|Y|\xC3\xA9", "12|3" },
        { "a|b12|c|X|x|Y|\xC3\xA9""3", "a|b|12c|X|x|Y|\xC3\xA9|3" },
        { "a|b|12c|X|x|Y|\xC3\xA9|3", "a|b12|c|X|x|Y|\xC3\xA9""3" },
        { "a|b|12|c|X|x|Y|\xC3\xA9|3", "a|b|12|c|X|x|Y|\xC3\xA9|3" } } },
    { "x|(?=[A-Z])", "ab12cXxY\xC3\xA9""3", false,
      { { "ab12c|X|x|Y\xC3\xA9""3", "ab12c|X|x|Y\xC3\xA9""3" },
        { "ab12c|X|Y\xC3\xA9""3", "x" },
        { "ab12c|Xx|Y\xC3\xA9""3", "ab12c|X|xY\xC3\xA9""3" },
        { "ab12c|X|xY\xC3\xA9""3", "ab12c|Xx|Y\xC3\xA9""3" },
        { "ab12c|X|x|Y\xC3\xA9""3", "ab12c|X|x|Y\xC3\xA9""3" } } },
    { "", "aB1", true,
      { { "a|B|1", "a|B|1" }, { "a|B|1", "" }, { "a|B|1", "a|B|1" }, { "a|B|1", "a|B|1" }, { "a|B|1", "a|B|1" } } },
    { "-", "the-final--countdown-", true,
      { { "the|-|final|-|-|countdown|-", "the|-|final|-|-|countdown|-" },
        { "the|final|countdown", "-|-|-|-" },
        { "the-|final-|-|countdown-", "the|-final|-|-countdown|-" },
        { "the|-final|-|-countdown|-", "the-|final-|-|countdown-" },
        { "the|-|final|--|countdown|-", "the|-|final|--|countdown|-" } } },
    { "\\s+$|^a", "a b \na\n x\xE1\xA0\x8E \n", false, /* lines; U+180E is no white space */
      { { "a| b| |\n|a|\n x\xE1\xA0\x8E| \n", "a| b| |\n|a|\n x\xE1\xA0\x8E| \n" },
        { " b|\n|\n x\xE1\xA0\x8E", "a| |a| \n" }, { NULL, NULL }, { NULL, NULL }, { NULL, NULL } } },
    { "[^\\S\n]|(?i)B|(?<=a)c", "a b\nac \xC2\xA0" "Bb", false,
      { { "a| |b|\na|c| |\xC2\xA0|B|b", "a| |b|\na|c| |\xC2\xA0|B|b" },
        { "a|\na", " |b|c| |\xC2\xA0|B|b" }, { NULL, NULL }, { NULL, NULL }, { NULL, NULL } } },
    { ".", "a.b", true,
      { { "a|.|b", "a|.|b" }, { "a|b", "." }, { "a.|b", "a|.b" }, { "a|.b", "a.|b" }, { "a|.|b", "a|.|b" } } },
};

static void pieces_follow_the_behavior(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof behavings / sizeof behavings[0]; i++)
        for (size_t b = 0; b < 10; b++) {
            const behaving *at = &behavings[i];
            tn_split_options options = { .behavior = (tn_split_behavior)(b / 2), .invert = b % 2, .literal = at->literal };
            const char *expected = at->pieces[b / 2][b % 2];
            if (expected == NULL)
                continue;
            tn_splitter *splitter;
            assert_int_equal(tn_splitter_open_pattern(at->pattern, strlen(at->pattern), &options, "test", &splitter, NULL), TENEBRA_OK);
            tn_text pieces = split_with(splitter, at->text, strlen(at->text));
            if (!equal_text(&pieces, expected, strlen(expected)))
                fail_msg("\"%s\", behaviour %zu, inverted %zu: \"%.*s\"", at->pattern, b / 2, b % 2, (int)pieces.length, pieces.data);
            tn_text_free(&pieces);
            tn_splitter_close(splitter);
        }
}

/* By Digits and Punctuation of the same version. */
static void characters_of_a_kind(void **state)
{
    (void)state;
    static const char numbers[] = "a12\xC2\xB2\xC2\xBD \xE2\x85\xA7\xE4\xB8\x80x", stops[] = "a,.b$+ \xC2\xAB" "c\xC2\xBB\xE2\x80\xA6x";
    static const struct {
        tn_split_kind kind;
        tn_split_behavior behavior;
        const char *text, *pieces;
    } cases[] = {
        { TN_SPLIT_NUMBERS, TN_SPLIT_ISOLATED, numbers, "a|1|2|\xC2\xB2|\xC2\xBD| |\xE2\x85\xA7|\xE4\xB8\x80x" },
        { TN_SPLIT_NUMBERS, TN_SPLIT_CONTIGUOUS, numbers, "a|12\xC2\xB2\xC2\xBD| |\xE2\x85\xA7|\xE4\xB8\x80x" },
        { TN_SPLIT_PUNCTUATION, TN_SPLIT_ISOLATED, stops, "a|,|.|b|$|+| |\xC2\xAB|c|\xC2\xBB|\xE2\x80\xA6|x" },
        { TN_SPLIT_PUNCTUATION, TN_SPLIT_REMOVED, stops, "a|b| |c|x" },
        { TN_SPLIT_PUNCTUATION, TN_SPLIT_MERGED_WITH_PREVIOUS, stops, "a,|.|b$|+| \xC2\xAB|c\xC2\xBB|\xE2\x80\xA6|x" },
        { TN_SPLIT_PUNCTUATION, TN_SPLIT_MERGED_WITH_NEXT, stops, "a|,|.b|$|+ |\xC2\xAB" "c|\xC2\xBB|\xE2\x80\xA6x" },
        { TN_SPLIT_PUNCTUATION, TN_SPLIT_CONTIGUOUS, stops, "a|,.|b|$+| |\xC2\xAB|c|\xC2\xBB\xE2\x80\xA6|x" },
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        tn_splitter *splitter;
        assert_int_equal(tn_splitter_open(&splitter, NULL), TENEBRA_OK);
        assert_int_equal(tn_splitter_add_kind(splitter, cases[i].kind, cases[i].behavior, "test", NULL), TENEBRA_OK);
        tn_text pieces = split_with(splitter, cases[i].text, strlen(cases[i].text));
        if (!equal_text(&pieces, cases[i].pieces, strlen(cases[i].pieces)))
            fail_msg("case %zu: \"%.*s\"", i, (int)pieces.length, pieces.data);
        tn_text_free(&pieces);
        tn_splitter_close(splitter);
    }
}

/* Each step splits the pieces of the one before it. By the same version. */
static void steps_follow_each_other(void **state)
{
    (void)state;
    tn_split_options literal = { .literal = true };
    tn_splitter *splitter;
    assert_int_equal(tn_splitter_open(&splitter, NULL), TENEBRA_OK);
    tn_text pieces = split_with(splitter, "hello  world", 12);
    assert_true(equal_text(&pieces, "hello  world", 12));
    tn_text_free(&pieces);
    assert_int_equal(tn_splitter_add_pattern(splitter, " ", 1, &literal, "test", NULL), TENEBRA_OK);
    assert_int_equal(tn_splitter_add_space(splitter, "test", NULL), TENEBRA_OK);
    assert_int_equal(tn_splitter_add_pattern(splitter, TN_PATTERN_GPT2, strlen(TN_PATTERN_GPT2), NULL, "test", NULL), TENEBRA_OK);
    pieces = split_with(splitter, "hello  world\n x", 15);
    assert_true(equal_text(&pieces, " hello| | | world|\n| | x", 24));
    tn_text_free(&pieces);
    tenebra_error error;
    for (size_t i = 3; i < 16; i++)
        assert_int_equal(tn_splitter_add_space(splitter, "test", &error), TENEBRA_OK);
    assert_int_equal(tn_splitter_add_space(splitter, "test", &error), TENEBRA_ERROR_UNSUPPORTED);
    assert_int_equal(tn_splitter_add_pattern(splitter, "a", 1, NULL, "test", &error), TENEBRA_ERROR_UNSUPPORTED);
    tn_splitter_close(splitter);
}

static void refuses_bad_patterns(void **state)
{
    (void)state;
    tenebra_error error;
    tn_splitter *none;
    assert_int_equal(tn_splitter_open_pattern("a(", 2, NULL, "test", &none, &error), TENEBRA_ERROR_FORMAT);
    assert_true(none == NULL && error.code == TENEBRA_ERROR_FORMAT);
    static const char *const others[] = { "\\C", "a\\w+", "[^\\W]", "x\\b", "\\h", "\\K", "\\1", "[[:punct:]]", "[a-z&&b]", "[a[b]]", "(?m:.)", "(?s).",
                                          "(?x)a", "(?<name>a)", "(?#c)" };
    for (size_t i = 0; i < sizeof others / sizeof *others; i++) {
        assert_int_equal(tn_splitter_open_pattern(others[i], strlen(others[i]), NULL, "test", &none, &error), TENEBRA_ERROR_UNSUPPORTED);
        assert_true(none == NULL);
        assert_non_null(strstr(error.sentence, "the pattern contains"));
    }
    char *endless = malloc(70000);
    memset(endless, 'a', 70000);
    assert_int_equal(tn_splitter_open_pattern(endless, 70000, NULL, "test", &none, &error), TENEBRA_ERROR_UNSUPPORTED);
    assert_true(none == NULL && error.code == TENEBRA_ERROR_UNSUPPORTED);
    free(endless);
}

static void gives_up_on_endless_backtracking(void **state)
{
    (void)state;
    tn_splitter *splitter = open_pattern("(a+)+$|(a|aa)+b", true);
    char text[64];
    memset(text, 'a', sizeof text);
    text[63] = 'c';
    tn_text pieces = { 0 };
    tenebra_error error;
    assert_int_equal(tn_split(splitter, text, sizeof text, join_piece, &pieces, &error), TENEBRA_ERROR_LIMIT);
    assert_non_null(strstr(error.sentence, "gives up"));
    tn_text_free(&pieces);
    tn_splitter_close(splitter);
}

static tenebra_code refuse_piece(void *user, const char *piece, size_t length, tenebra_error *error)
{
    (void)user, (void)piece, (void)length;
    return tn_fail(error, TENEBRA_ERROR_CANCELLED, "test", "stop");
}

static void errors_of_the_receiver_pass(void **state)
{
    (void)state;
    for (int general = 0; general < 2; general++) {
        tn_splitter *splitter = open_pattern(TN_PATTERN_QWEN2, general);
        assert_int_equal(tn_split(splitter, "a b", 3, refuse_piece, NULL, NULL), TENEBRA_ERROR_CANCELLED);
        tn_splitter_close(splitter);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(qwen2_pieces),
        cmocka_unit_test(agrees_with_the_regular_expression),
        cmocka_unit_test(other_patterns_are_told_apart),
        cmocka_unit_test(classes_are_those_of_unicode_16),
        cmocka_unit_test(pieces_follow_the_behavior),
        cmocka_unit_test(characters_of_a_kind),
        cmocka_unit_test(steps_follow_each_other),
        cmocka_unit_test(refuses_bad_patterns),
        cmocka_unit_test(gives_up_on_endless_backtracking),
        cmocka_unit_test(errors_of_the_receiver_pass),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
