/* SCAFFOLD (arXiv:2402.12058) asks for an answer in double brackets: the last [[...]], as letter, text or index of an option. */
#include "eval/score_content.h"

#include <string.h>

/* The innermost text of the last pair. */
static bool find_last(tn_slice text, tn_slice *inside)
{
    for (size_t end = text.length; end >= 4; end--) {
        if (memcmp(text.bytes + end - 2, "]]", 2) != 0)
            continue;
        size_t begin = tn_slice_find_last(tn_slice_part(text, 0, end - 2), TN_SLICE("[["));
        if (begin > end - 2)
            return false; /* no opening pair before this one, so none before an earlier one */
        *inside = tn_slice_part(text, begin + 2, end - 2);
        return true;
    }
    return false;
}

static tenebra_code judge(tn_verdict *verdict, const tn_scored *answer, size_t variant, tenebra_error *error)
{
    (void)variant;
    tn_slice inside;
    tn_content content;
    long choice = TN_NO_CHOICE;
    bool found = find_last(answer->text, &inside);
    TN_TRY(tn_content_open(&content, answer, error));
    tenebra_code code = found ? tn_content_written(&content, inside, &choice, error) : TENEBRA_OK;
    tn_content_close(&content);
    tn_content_verdict(verdict, answer, choice, found);
    return code;
}

const tn_scorer tn_scorer_bracket = {
    .name = "bracket",
    .summary = "SCAFFOLD: the text in the last [[...]]",
    .judge = judge,
};
