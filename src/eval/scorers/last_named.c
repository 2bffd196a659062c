/* Ours, lenient: the option that the answer names last, by text or letter (or index, if labels are indices), whatever it says
 * about it. For answers that end with the option after reasoning on the same line, which `strict` does not accept as a
 * statement. The variant "ending" is for models that answer in words: the end of the answer is an option, or any other words,
 * which count as a wrong answer. */
#include "eval/score_content.h"

static const char *const variants[] = { "named", "ending", NULL };
enum { ENDING = 1 };

/* *behind: whether words follow the option. */
static tenebra_code find_last(const tn_content *content, tn_slice text, long *last, bool *behind, tenebra_error *error)
{
    bool inside = false; /* of a word */
    *behind = false;
    for (size_t at = 0, next; at < text.length; at = next) {
        int32_t c = tn_slice_char(text, at, &next);
        if (!inside && tn_python_is_word(c)) {
            size_t length, end = at;
            long choice, letter = tn_content_letter(content, text, at, &end);
            TN_TRY(tn_content_start(content, tn_slice_part(text, at, text.length), &choice, &length, error));
            *last = choice != TN_NO_CHOICE ? choice : letter != TN_NO_CHOICE ? letter : *last;
            *behind = choice == TN_NO_CHOICE && letter == TN_NO_CHOICE;
            next = choice != TN_NO_CHOICE && at + length > next ? at + length : next;
        }
        inside = tn_python_is_word(c);
    }
    return TENEBRA_OK;
}

static tenebra_code judge(tn_verdict *verdict, const tn_scored *answer, size_t variant, tenebra_error *error)
{
    tn_content content;
    long choice = TN_NO_CHOICE;
    bool behind;
    TN_TRY(tn_content_open(&content, answer, error));
    tenebra_code code = find_last(&content, tn_content_text(&content), &choice, &behind, error);
    tn_content_close(&content);
    tn_content_verdict(verdict, answer, variant == ENDING && behind ? TN_NO_CHOICE : choice, variant == ENDING && behind);
    return code;
}

const tn_scorer tn_scorer_last_named = {
    .name = "last_named",
    .summary = "ours, lenient: the option that is named last",
    .variants = variants,
    .for_words = "last_named:ending",
    .judge = judge,
};
