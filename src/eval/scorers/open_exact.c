/* Ours, for open questions: the answer equals one of the correct ones, apart from white space around it. For a question
 * with options it is the correct one's letter or text. */
#include "eval/score_words.h"

static tenebra_code strip(tn_text *out, tn_slice text, tenebra_error *error)
{
    text = tn_slice_strip(text);
    return tn_text_append(out, text.bytes, text.length, error);
}

static tenebra_code judge(tn_verdict *verdict, const tn_scored *answer, size_t variant, tenebra_error *error)
{
    (void)variant;
    return tn_words_judge(verdict, answer, answer->text, answer->text, strip, error);
}

const tn_scorer tn_scorer_open_exact = {
    .name = "exact",
    .summary = "ours, for open questions: exactly a correct answer",
    .judge = judge,
};
