/* Multimodal-CoT (arXiv:2302.00923) on ScienceQA: "The answer is (X)" exactly once. If not, the published program draws
 * an option at random; here nothing is found. */
#include "eval/score_text.h"

#include <string.h>

enum { OPTIONS_MAX = 5 };

static tenebra_code judge(tn_verdict *verdict, const tn_scored *answer, size_t variant, tenebra_error *error)
{
    (void)variant;
    (void)error;
    static const char words[] = "The answer is (";
    tn_slice text = answer->text;
    size_t length = strlen(words), matches = 0;
    long choice = TN_NO_CHOICE;
    for (size_t at = tn_slice_find(text, TN_SLICE(words), 0); at <= text.length;
         at = tn_slice_find(text, TN_SLICE(words), at + 1)) {
        const char *letter = text.bytes + at + length;
        bool matched = text.length - at >= length + 2 && letter[0] >= 'A' && letter[0] <= 'Z' && letter[1] == ')';
        choice = matched ? letter[0] - 'A' : choice;
        matches += matched;
    }
    choice = matches == 1 && choice < OPTIONS_MAX ? choice : TN_NO_CHOICE;
    tn_verdict_choose(verdict, answer, choice);
    verdict->found = choice != TN_NO_CHOICE;
    return TENEBRA_OK;
}

const tn_scorer tn_scorer_sqa_paren = {
    .name = "sqa_paren",
    .summary = "Multimodal-CoT on ScienceQA: \"The answer is (X)\" exactly once",
    .judge = judge,
};
