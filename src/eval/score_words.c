#include "eval/score_words.h"

#include <stdio.h>
#include <string.h>

/* The answer, and the part of it that may count as the answer, in the form for comparison. */
typedef struct wording {
    tn_text text, part;
    tn_words_form_fn *form;
} wording;

static bool is_equal(const tn_text *a, const tn_text *b)
{
    return a->length > 0 && a->length == b->length && memcmp(a->data, b->data, a->length) == 0;
}

static tenebra_code compare(const wording *words, const char *right, bool *same, tenebra_error *error)
{
    tn_text other = { 0 };
    tenebra_code code = words->form(&other, TN_SLICE(right), error);
    *same = code == TENEBRA_OK && (is_equal(&words->text, &other) || is_equal(&words->part, &other));
    tn_text_free(&other);
    return code;
}

static tenebra_code judge_open(tn_verdict *verdict, const tn_sample *sample, const wording *words, tenebra_error *error)
{
    TN_TRY(compare(words, sample->label, &verdict->correct, error));
    for (size_t i = 0; i < sample->answer_count && !verdict->correct; i++)
        TN_TRY(compare(words, sample->answers[i], &verdict->correct, error));
    verdict->found = verdict->correct;
    return TENEBRA_OK;
}

/* A text takes precedence over a letter or an index. */
static tenebra_code judge_options(tn_verdict *verdict, const tn_scored *answer, const wording *words, tenebra_error *error)
{
    const tn_sample *sample = answer->sample;
    bool indices = tn_label_is_index(sample->label), text = false, name;
    for (size_t i = 0; i < sample->option_count && !text; i++) {
        char mark[24] = { (char)('A' + i), '\0' };
        if (indices)
            snprintf(mark, sizeof mark, "%zu", i);
        TN_TRY(compare(words, sample->options[i], &text, error));
        TN_TRY(compare(words, mark, &name, error));
        if (text || (name && verdict->choice == TN_NO_CHOICE))
            tn_verdict_choose(verdict, answer, (long)i);
    }
    return TENEBRA_OK;
}

tenebra_code tn_words_judge(tn_verdict *verdict, const tn_scored *answer, tn_slice text, tn_slice part, tn_words_form_fn *form,
                            tenebra_error *error)
{
    wording words = { .form = form };
    *verdict = (tn_verdict){ .choice = TN_NO_CHOICE };
    tenebra_code code = form(&words.text, text, error);
    if (code == TENEBRA_OK)
        code = form(&words.part, part, error);
    if (code == TENEBRA_OK)
        code = answer->sample->option_count == 0 ? judge_open(verdict, answer->sample, &words, error)
                                                 : judge_options(verdict, answer, &words, error);
    tn_text_free(&words.text);
    tn_text_free(&words.part);
    return code;
}
