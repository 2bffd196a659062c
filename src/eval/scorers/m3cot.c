/* The judge of M3CoT (arXiv:2405.16473), as its authors publish it, with all branches, flaws included: any
 * parenthesised letter counts, option texts are found inside words, the article "a" is option A. The original stops
 * with an error at a seventh option; here it is G. */
#include "eval/score_text.h"

#include <string.h>

/* The text after the last "[Answer]", up to the next section. */
static tn_slice answer_section(tn_slice text)
{
    static const char mark[] = "[Answer]";
    size_t at = tn_slice_find_last(text, TN_SLICE(mark));
    if (at > text.length)
        return text;
    text = tn_slice_part(text, at + strlen(mark), text.length);
    static const char *const others[] = { "[Rationale]", "[Context]" };
    for (size_t i = 0; i < 2; i++) {
        size_t end = tn_slice_find(text, TN_SLICE(others[i]), 0);
        if (end <= text.length)
            text.length = end;
    }
    return text;
}

static bool is_letter(char c)
{
    return (c >= 'A' && c <= 'Z') || (c >= 'a' && c <= 'z');
}

/* The last "(X)"; X may be any letter. */
static long last_in_parentheses(tn_slice text)
{
    for (size_t at = text.length; at >= 3; at--) {
        const char *c = text.bytes + at - 3;
        if (c[0] == '(' && is_letter(c[1]) && c[2] == ')')
            return (c[1] & ~0x20) - 'A';
    }
    return TN_NO_CHOICE;
}

/* The last option, in the order of the options, whose text occurs, in any case. */
static tenebra_code last_by_text(long *choice, tn_slice text, const tn_sample *sample, tenebra_error *error)
{
    tn_text low = { 0 }, option = { 0 };
    tenebra_code code = tn_python_lower(&low, text, error);
    for (size_t i = sample->option_count; i > 0 && *choice == TN_NO_CHOICE && code == TENEBRA_OK; i--) {
        option.length = 0;
        code = tn_python_lower(&option, TN_SLICE(sample->options[i - 1]), error);
        tn_slice inside = { low.data, low.length }, words = { option.data, option.length };
        if (code == TENEBRA_OK && tn_slice_find(inside, words, 0) <= low.length)
            *choice = (long)i - 1;
    }
    tn_text_free(&low);
    tn_text_free(&option);
    return code;
}

static bool separates(tn_slice text, size_t at)
{
    return at >= text.length || (text.bytes[at] != '\0' && strchr(" \n.,!?", text.bytes[at]) != NULL);
}

/* The last option, in the order of the options, whose letter is a separate word; `first` is 'A' or 'a'. */
static long last_by_letter(tn_slice text, char first, size_t options)
{
    long last = TN_NO_CHOICE;
    for (size_t at = 0; at < text.length; at++) {
        long index = text.bytes[at] - first;
        bool alone = (at == 0 || separates(text, at - 1)) && separates(text, at + 1);
        if (alone && index >= 0 && index < (long)options && index < 26 && index > last)
            last = index;
    }
    return last;
}

static tenebra_code judge(tn_verdict *verdict, const tn_scored *answer, size_t variant, tenebra_error *error)
{
    (void)variant;
    tn_slice text = answer_section(answer->text);
    long choice = last_in_parentheses(text);
    if (choice == TN_NO_CHOICE)
        TN_TRY(last_by_text(&choice, text, answer->sample, error));
    if (choice == TN_NO_CHOICE)
        choice = last_by_letter(text, 'A', tn_option_count(answer));
    if (choice == TN_NO_CHOICE)
        choice = last_by_letter(text, 'a', tn_option_count(answer));
    tn_verdict_choose(verdict, answer, choice);
    verdict->found = choice != TN_NO_CHOICE;
    return TENEBRA_OK;
}

const tn_scorer tn_scorer_m3cot = {
    .name = "m3cot",
    .summary = "official judge of M3CoT: last (X), else option text, else a separate letter",
    .judge = judge,
};
