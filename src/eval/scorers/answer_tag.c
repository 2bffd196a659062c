/* Chain-of-Focus (arXiv:2505.15436): the text between <answer> and </answer>, as letter, text or index of an option.
 * Its evaluation uses the first pair whose text has no line break inside, the reward of its training the last pair. */
#include "eval/score_content.h"

#include <string.h>

enum { FIRST, LAST };
static const char *const variants[] = { "first", "last", NULL };

static bool find_pair(tn_slice text, size_t variant, tn_slice *inside)
{
    static const char open[] = "<answer>", close[] = "</answer>";
    bool found = false;
    for (size_t at = tn_slice_find(text, TN_SLICE(open), 0); at <= text.length;) {
        size_t begin = at + strlen(open), end = tn_slice_find(text, TN_SLICE(close), begin);
        if (end > text.length)
            break;
        tn_slice words = tn_slice_strip(tn_slice_part(text, begin, end));
        bool fits = variant == LAST || words.length == 0 || memchr(words.bytes, '\n', words.length) == NULL;
        if (fits) {
            *inside = words;
            found = true;
        }
        if (fits && variant == FIRST)
            break;
        at = tn_slice_find(text, TN_SLICE(open), fits ? end + strlen(close) : begin);
    }
    return found;
}

static tenebra_code judge(tn_verdict *verdict, const tn_scored *answer, size_t variant, tenebra_error *error)
{
    tn_slice inside;
    tn_content content;
    long choice = TN_NO_CHOICE;
    bool found = find_pair(answer->text, variant, &inside);
    TN_TRY(tn_content_open(&content, answer, error));
    tenebra_code code = found ? tn_content_written(&content, inside, &choice, error) : TENEBRA_OK;
    tn_content_close(&content);
    tn_content_verdict(verdict, answer, choice, found && inside.length > 0);
    return code;
}

const tn_scorer tn_scorer_answer_tag = {
    .name = "answer_tag",
    .summary = "Chain-of-Focus: the text in the first (evaluation) or last (reward) <answer> pair",
    .variants = variants,
    .judge = judge,
};
