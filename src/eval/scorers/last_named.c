/* Ours, lenient: the option that the answer names last, by text or letter (or index, where labels are), whatever it says of it. For
 * answers that end with the option behind reasoning on the same line, which state nothing in the sense of `strict`. */
#include "eval/score_content.h"

static tenebra_code find_last(const tn_content *content, tn_slice text, long *last, tenebra_error *error)
{
    bool inside = false; /* of a word */
    for (size_t at = 0, next; at < text.length; at = next) {
        int32_t c = tn_slice_char(text, at, &next);
        if (!inside && tn_python_is_word(c)) {
            size_t length, end = at;
            long choice, letter = tn_content_letter(content, text, at, &end);
            TN_TRY(tn_content_start(content, tn_slice_part(text, at, text.length), &choice, &length, error));
            *last = choice != TN_NO_CHOICE ? choice : letter != TN_NO_CHOICE ? letter : *last;
            next = choice != TN_NO_CHOICE && at + length > next ? at + length : next;
        }
        inside = tn_python_is_word(c);
    }
    return TENEBRA_OK;
}

static tenebra_code judge(tn_verdict *verdict, const tn_scored *answer, size_t variant, tenebra_error *error)
{
    (void)variant;
    tn_content content;
    long choice = TN_NO_CHOICE;
    TN_TRY(tn_content_open(&content, answer, error));
    tenebra_code code = find_last(&content, tn_content_text(&content), &choice, error);
    tn_content_close(&content);
    tn_content_verdict(verdict, answer, choice, false);
    return code;
}

const tn_scorer tn_scorer_last_named = {
    .name = "last_named",
    .summary = "ours, lenient: the option that is named last",
    .judge = judge,
};
