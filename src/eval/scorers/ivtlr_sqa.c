/* IVT-LR (arXiv:2510.12603) on ScienceQA, as its published program extracts: a digit is the index, otherwise a letter
 * gives it. The first pattern that occurs anywhere decides, at its first place. */
#include "eval/score_text.h"

/* In order: Therefore,?\s*the\s+answer\s+is\s+X   the\s+answer\s+is\s+X   answer\s+is:?\s*X   (case ignored) */
enum { PATTERNS = 3 };

/* The end of the words of a pattern, where X follows; 0: they are not at `at`. */
static size_t match_words(tn_slice text, size_t at, size_t pattern)
{
    if (pattern == 2) {
        at = tn_match_words(text, at, "answer is");
        if (at > 0 && at < text.length && text.bytes[at] == ':')
            at++;
        return at > 0 ? tn_skip_spaces(text, at) : 0;
    }
    if (pattern == 0) {
        at = tn_match_word(text, at, "therefore");
        if (at == 0)
            return 0;
        if (at < text.length && text.bytes[at] == ',')
            at++;
        at = tn_skip_spaces(text, at);
    }
    return tn_match_words(text, at, "the answer is ");
}

static long digit_at(tn_slice text, size_t at)
{
    return tn_python_digit(tn_slice_char(text, at, NULL));
}

/* Counted from A by code point, so that the two special letters give numbers that no option has. */
static long letter_at(tn_slice text, size_t at)
{
    int32_t letter = tn_match_letter(text, at, NULL);
    return letter != 0 ? letter - 'A' : -1;
}

static long search(tn_slice text, size_t pattern, long (*value_at)(tn_slice text, size_t at))
{
    for (size_t at = 0; at < text.length; tn_slice_char(text, at, &at)) {
        size_t end = match_words(text, at, pattern);
        long value = end > 0 && end < text.length ? value_at(text, end) : -1;
        if (value >= 0)
            return value;
    }
    return TN_NO_CHOICE;
}

static tenebra_code judge(tn_verdict *verdict, const tn_scored *answer, size_t variant, tenebra_error *error)
{
    (void)variant;
    (void)error;
    bool read = answer->text.bytes != NULL;
    long choice = read ? TN_NO_CHOICE : answer->choice;
    for (size_t i = 0; i < 2 * PATTERNS && read && choice == TN_NO_CHOICE; i++)
        choice = search(answer->text, i % PATTERNS, i < PATTERNS ? digit_at : letter_at);
    tn_verdict_choose(verdict, answer, choice);
    verdict->found = choice != TN_NO_CHOICE;
    return TENEBRA_OK;
}

const tn_scorer tn_scorer_ivtlr_sqa = {
    .name = "ivtlr-sqa",
    .summary = "IVT-LR on ScienceQA: first index, else first letter, after \"the answer is\"",
    .by_choice = true,
    .judge = judge,
};
