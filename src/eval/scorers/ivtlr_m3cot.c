/* IVT-LR (arXiv:2510.12603) on M3CoT, as its published program counts: correct if the correct letter is among all
 * letters found anywhere in the decoded sequence, prompt included. The sequence depends on whether decoding drops the
 * tokens of the chat template; if it does, the first letter of the answer always counts. */
#include "eval/score_text.h"

#include <stdlib.h>
#include <string.h>

enum { HEADERS_KEPT, HEADERS_DROPPED };
static const char *const variants[] = { "headers_kept", "headers_dropped", NULL };

/* The text around the user's turn. A prompt has 100 image tokens; one is sufficient for the search. */
static const char *const frames[][3] = {
    [HEADERS_KEPT] = { "<|im_start|>system\nYou are a helpful assistant.\n<|im_start|>user\n<|vision_start|><|image_pad|>"
                       "<|vision_end|>", "\n<|im_start|>assistant\n" },
    [HEADERS_DROPPED] = { "system\nYou are a helpful assistant.\nuser\n", "\nassistant\n" },
};

static tenebra_code append(tn_text *out, tn_slice text, tenebra_error *error)
{
    return text.length > 0 ? tn_text_append(out, text.bytes, text.length, error) : TENEBRA_OK;
}

static tenebra_code append_prompt(tn_text *out, const tn_scored *answer, tenebra_error *error)
{
    if (answer->prompt.bytes != NULL)
        return append(out, answer->prompt, error);
    tn_prompt prompt;
    TN_TRY(tn_prompt_write(&prompt, tn_prompt_find("ivtlr-infer"), answer->sample, error));
    tenebra_code code = append(out, (tn_slice){ prompt.text, prompt.length }, error);
    tn_prompt_free(&prompt);
    return code;
}

static tenebra_code append_sequence(tn_text *out, const tn_scored *answer, size_t variant, tenebra_error *error)
{
    TN_TRY(append(out, TN_SLICE(frames[variant][0]), error));
    TN_TRY(append_prompt(out, answer, error));
    TN_TRY(append(out, TN_SLICE(frames[variant][1]), error));
    return append(out, answer->text, error);
}

/* The end of the word "assistant" that follows "answer:" at `at`, both in any case; 0: it does not follow. */
static size_t match_assistant(tn_slice text, size_t at)
{
    size_t end = tn_match_word(text, tn_skip_spaces(text, at), "assistant");
    return end > 0 && (end >= text.length || !tn_python_is_word(tn_slice_char(text, end, NULL))) ? end : 0;
}

/* Deletes every such word with the white space before it: (?<=answer:)\s*(\n+\s*)?assistant\b */
static tenebra_code drop_assistants(tn_text *out, tn_slice text, tenebra_error *error)
{
    size_t kept = 0, next;
    for (size_t at = 0; at < text.length; at = next) {
        size_t colon = tn_match_word(text, at, "answer:"), end = colon > 0 ? match_assistant(text, colon) : 0;
        tn_slice_char(text, at, &next);
        if (end > 0) {
            TN_TRY(append(out, tn_slice_part(text, kept, colon), error));
            kept = next = end;
        }
    }
    return append(out, tn_slice_part(text, kept, text.length), error);
}

/* The letters of (?:the\s+answer\s+is|Answer:)\s*[\n\s]*([A-Z]), case ignored. */
static uint32_t collect_letters(tn_slice text)
{
    uint32_t letters = 0;
    for (size_t at = 0, next; at < text.length; at = next) {
        size_t end = tn_match_words(text, at, "the answer is");
        if (end == 0)
            end = tn_match_word(text, at, "answer:");
        tn_slice_char(text, at, &next);
        int32_t letter = end > 0 ? tn_match_letter(text, tn_skip_spaces(text, end), &end) : 0;
        if (letter != 0)
            next = end;
        if (letter >= 'A' && letter <= 'Z')
            letters |= 1u << (letter - 'A');
    }
    return letters;
}

static tenebra_code judge(tn_verdict *verdict, const tn_scored *answer, size_t variant, tenebra_error *error)
{
    tn_text sequence = { 0 }, cleaned = { 0 };
    tenebra_code code = append_sequence(&sequence, answer, variant, error);
    if (code == TENEBRA_OK)
        code = drop_assistants(&cleaned, (tn_slice){ sequence.data, sequence.length }, error);
    uint32_t letters = code == TENEBRA_OK ? collect_letters((tn_slice){ cleaned.data, cleaned.length }) : 0;
    tn_text_free(&sequence);
    tn_text_free(&cleaned);
    long right = tn_label_index(answer->sample->label);
    *verdict = (tn_verdict){ .found = letters != 0, .letters = letters, .choice = TN_NO_CHOICE };
    verdict->correct = right >= 0 && right < 26 && (letters >> right & 1u) != 0;
    for (long i = 0; i < 26; i++)
        if (letters == 1u << i)
            verdict->choice = i;
    return code;
}

const tn_scorer tn_scorer_ivtlr_m3cot = {
    .name = "ivtlr-m3cot",
    .summary = "IVT-LR on M3CoT: the correct letter among all after \"the answer is\" or \"Answer:\", prompt included",
    .variants = variants,
    .judge = judge,
};
