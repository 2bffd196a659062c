/* ScienceQA (arXiv:2209.09513) as its authors score: the index in a result file; in a text, the letter after "The
 * answer is" if that occurs exactly once. If not, their program draws an option at random; here nothing is found. */
#include "eval/score_text.h"

#include <string.h>

/* The letters that options can have. */
enum { OPTIONS_MAX = 5 };

/* "The answer is X" and any character except the end of a line. */
static long find_letter(tn_slice text, size_t options)
{
    static const char words[] = "The answer is ";
    size_t length = strlen(words), matches = 0;
    long choice = TN_NO_CHOICE;
    for (size_t at = tn_slice_find(text, TN_SLICE(words), 0); at <= text.length;
         at = tn_slice_find(text, TN_SLICE(words), at + 1)) {
        const char *letter = text.bytes + at + length;
        bool matched = at + length + 1 < text.length && letter[0] >= 'A' && letter[0] <= 'Z' && letter[1] != '\n';
        choice = matched ? letter[0] - 'A' : choice;
        matches += matched;
    }
    return matches == 1 && choice < (long)options ? choice : TN_NO_CHOICE;
}

static tenebra_code judge(tn_verdict *verdict, const tn_scored *answer, size_t variant, tenebra_error *error)
{
    (void)variant;
    (void)error;
    size_t options = tn_option_count(answer);
    options = options > 0 && options < OPTIONS_MAX ? options : OPTIONS_MAX;
    long choice = answer->chosen ? answer->choice : find_letter(tn_slice_strip(answer->text), options);
    tn_verdict_choose(verdict, answer, choice);
    verdict->found = choice != TN_NO_CHOICE;
    return TENEBRA_OK;
}

const tn_scorer tn_scorer_sqa = {
    .name = "sqa",
    .summary = "official ScienceQA: the index given, or \"The answer is X.\" exactly once",
    .by_choice = true,
    .judge = judge,
};
