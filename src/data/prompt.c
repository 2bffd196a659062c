/* The text of questions. Wordings are rows of a table; nothing here depends on a data set or a backbone. */
#include "base/nearest.h"
#include "data/sample.h"
#include "data/strings.h"

#include <stdlib.h>
#include <string.h>

#define THEREFORE { "Therefore, the answer is ", "" }
#define IN_PARENTHESES                                                                                                   \
    .front = "[Question]:{", .behind = "}", .options = "\n[Options]:\n", .mark = { "(", ").{" }, .option_end = "}",       \
    .option_join = "\n", .end = "\nAnswer:", .answer = THEREFORE

/* The authors' wordings differ between training and test: options in parentheses, a line end after "Answer:", the place
 * of the image. At test time the wording depends on the data set, not on the backbone: the letters of options are bare
 * for one of their data sets, and in parentheses for the other (arXiv:2510.12603, published code). */
const tn_prompt_preset tn_prompt_presets[] = {
    { .name = "ivtlr-train", .summary = "the IVT-LR authors' wording for training, for backbones with a vision tower",
      .front = "[Question]:{", .behind = "}", .options = "\n[Options]:\n", .mark = { "(", ").{" }, .option_end = "}",
      .option_join = "\n", .end = "\nAnswer:\n", .answer = THEREFORE, .counterpart = "ivtlr-fused-train" },
    { .name = "ivtlr-infer", .summary = "the authors' wording at test time; the default unless a data set defines another",
      .front = "[Question]:{", .behind = "}", .options = "\n[Options]:\n", .mark = { "", ".{" }, .option_end = "}",
      .option_join = "\n", .end = "\nAnswer:", .answer = THEREFORE },
    { .name = "ivtlr-fused-train", .summary = "the authors' wording for training, for backbones that represent images as tokens: no chat "
                                             "template, 64 picks",
      .front = "[Question]:{", .behind = "}", .options = "\n[Options]:\n", .mark = { "(", ").{" }, .option_end = "}",
      .option_join = "\n", .end = "", .answer = THEREFORE, .image_inside = true, .keep_left = true, .bare = true, .picks = 64,
      .fused = true, .counterpart = "ivtlr-train" },
    { .name = "ivtlr-infer-parens", .summary = "the authors' wording at test time with letters in parentheses", IN_PARENTHESES },
    { .name = "ivtlr-fused-infer", .summary = "the authors' wording at test time, for backbones that represent images as tokens: 64 picks",
      IN_PARENTHESES, .picks = 64, .fused = true, .counterpart = "ivtlr-infer-parens" },
    { .name = "words", .summary = "as ivtlr-infer; the answer is an option's words, nothing else",
      .front = "[Question]:{", .behind = "}", .options = "\n[Options]:\n", .mark = { "", ".{" }, .option_end = "}",
      .option_join = "\n", .end = "\nAnswer:", .answer = { " ", "" }, .in_words = true },
    { .name = "brief", .summary = "as words; steps are on one line, each after a space",
      .front = "[Question]:{", .behind = "}", .options = "\n[Options]:\n", .mark = { "", ".{" }, .option_end = "}",
      .option_join = "\n", .end = "\nAnswer:", .answer = { " ", "" }, .step = { " ", "" }, .in_words = true },
    { .name = "verbatim", .summary = "the question as it is, without the options; answers and steps as with brief",
      .front = "", .behind = "", .mark = { "", "" }, .option_end = "", .option_join = "", .end = "", .answer = { " ", "" },
      .step = { " ", "" }, .in_words = true },
    { .name = "plain", .summary = "context, question and lettered options, each on its own line",
      .front = "", .behind = "", .options = "\n", .mark = { "", ") " }, .option_end = "", .option_join = "\n",
      .end = "\nAnswer:", .answer = THEREFORE, .with_context = true },
    { 0 },
};

const tn_prompt_preset *tn_prompt_find(const char *name)
{
    for (const tn_prompt_preset *preset = tn_prompt_presets; preset->name != NULL; preset++)
        if (strcmp(preset->name, name) == 0)
            return preset;
    return NULL;
}

tenebra_code tn_prompt_choose(const char *name, const tn_prompt_preset **preset, tenebra_error *error)
{
    *preset = tn_prompt_find(name);
    if (*preset != NULL)
        return TENEBRA_OK;
    tn_nearest nearest = tn_nearest_of(name, strlen(name));
    for (const tn_prompt_preset *known = tn_prompt_presets; known->name != NULL; known++)
        tn_nearest_try(&nearest, known->name);
    return tn_fail(error, TENEBRA_ERROR_ARGUMENT, "preset", "there is no wording '%s'%s ('tenebra data list' lists them)", name,
                   tn_nearest_hint(&nearest));
}

const tn_prompt_preset *tn_prompt_standard(void)
{
    return tn_prompt_find("ivtlr-infer");
}

/* Writes, or only counts if `to` is NULL. */
typedef struct writer {
    char *to;
    size_t length;
} writer;

static void put_bytes(writer *out, const char *text, size_t length)
{
    if (out->to != NULL && length > 0)
        memcpy(out->to + out->length, text, length);
    out->length += length;
}

static void put(writer *out, const char *text)
{
    put_bytes(out, text, strlen(text));
}

static void put_stripped(writer *out, const char *text, bool left)
{
    size_t length = strlen(text);
    tn_strip(&text, &length, left);
    put_bytes(out, text, length);
}

static void put_options(writer *out, const tn_prompt_preset *preset, const tn_sample *sample)
{
    for (size_t i = 0; i < sample->option_count && preset->options != NULL; i++) {
        char letter = (char)('A' + i);
        put(out, i == 0 ? preset->options : preset->option_join);
        put(out, preset->mark[0]);
        put_bytes(out, &letter, 1);
        put(out, preset->mark[1]);
        put_stripped(out, sample->options[i], true);
        put(out, preset->option_end);
    }
}

/* Returns the position of the images. */
static size_t put_all(writer *out, const tn_prompt_preset *preset, const tn_sample *sample)
{
    if (preset->with_context && sample->context[0] != '\0') {
        put_stripped(out, sample->context, true);
        put(out, "\n");
    }
    put(out, preset->front);
    size_t image_at = preset->image_inside ? out->length : 0;
    put_stripped(out, sample->question, !(preset->keep_left && sample->image_count > 0));
    put(out, preset->behind);
    put_options(out, preset, sample);
    put(out, preset->end);
    return image_at;
}

tenebra_code tn_prompt_write(tn_prompt *prompt, const tn_prompt_preset *preset, const tn_sample *sample,
                             tenebra_error *error)
{
    *prompt = (tn_prompt){ 0 };
    writer size = { 0 };
    put_all(&size, preset, sample);
    writer out = { .to = malloc(size.length + 1) };
    if (out.to == NULL)
        return tn_fail(error, TENEBRA_ERROR_MEMORY, sample->id, "no memory for a prompt of %zu bytes", size.length);
    size_t image_at = put_all(&out, preset, sample);
    out.to[out.length] = '\0';
    *prompt = (tn_prompt){ .text = out.to, .length = out.length, .image_at = image_at };
    return TENEBRA_OK;
}

void tn_prompt_free(tn_prompt *prompt)
{
    free(prompt->text);
    *prompt = (tn_prompt){ 0 };
}

static void put_answer(writer *out, const tn_prompt_preset *preset, const tn_sample *sample)
{
    put(out, preset->answer[0]);
    if (preset->in_words && sample->answer < sample->option_count)
        put_stripped(out, sample->options[sample->answer], true);
    else
        put(out, sample->label);
    put(out, preset->answer[1]);
}

tenebra_code tn_prompt_answer(const tn_prompt_preset *preset, const tn_sample *sample, char **answer, tenebra_error *error)
{
    writer size = { 0 };
    put_answer(&size, preset, sample);
    writer out = { .to = *answer = malloc(size.length + 1) };
    if (out.to == NULL)
        return tn_fail(error, TENEBRA_ERROR_MEMORY, sample->id, "no memory for an answer of %zu bytes", size.length);
    put_answer(&out, preset, sample);
    out.to[out.length] = '\0';
    return TENEBRA_OK;
}
