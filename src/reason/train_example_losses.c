/* What losses of a method take of a training example besides its rows: its text as tokens, small pictures, and digests that tell equal
 * ones. */
#include "image/resize.h"
#include "reason/parts.h"
#include "reason/train_example.h"

#include <stdlib.h>
#include <string.h>

/* ----------------------------------------------------------------- text -- */

static tenebra_code encode(const tn_train_example *example, const tn_text_span *spans, size_t count, tn_ids *ids, tenebra_error *error)
{
    return tn_tokenizer_encode(example->reasoner->session->model->tokenizer, spans, count, ids, error);
}

/* All steps of the rationale, one in a line. */
static tenebra_code encode_rationale(const tn_train_example *example, tn_ids *ids, tenebra_error *error)
{
    const tn_train_example_source *source = example->source;
    tn_text_span *spans = calloc(2 * source->step_count, sizeof *spans);
    if (spans == NULL)
        return tn_fail_memory(error, "example");
    for (size_t i = 0; i < source->step_count; i++) {
        spans[2 * i] = (tn_text_span){ source->steps[i], strlen(source->steps[i]), false };
        spans[2 * i + 1] = (tn_text_span){ "\n", 1, false };
    }
    tenebra_code code = encode(example, spans, 2 * source->step_count, ids, error);
    free(spans);
    return code;
}

/* The tokens of the prompt after its last image: the question, and what the template adds to every question. */
static size_t question_of(const tn_train_example *example, int32_t *words)
{
    size_t count = 0;
    for (size_t i = tn_question_begins(example->text, example->prompt); i < example->prompt; i++)
        if (example->text[i].kind == TN_ROW_TOKEN)
            words[count++] = example->text[i].token;
    return count;
}

tenebra_code tn_train_example_keep_words(tn_train_example *example, tenebra_error *error)
{
    const tn_train_example_source *source = example->source;
    const tn_text_span answer = { source->answer, strlen(source->answer), false };
    bool explained = source->step_count > 0;
    tn_ids ids = { 0 };
    tn_hash hash;
    TN_TRY(explained ? encode_rationale(example, &ids, error) : encode(example, &answer, 1, &ids, error));
    free(example->words);
    example->words = calloc(example->prompt + ids.count + 1, sizeof *example->words);
    example->word_count = example->words == NULL || explained ? 0 : question_of(example, example->words);
    if (example->words != NULL && ids.count > 0)
        memcpy(example->words + example->word_count, ids.ids, ids.count * sizeof *example->words);
    example->word_count += ids.count;
    tn_ids_free(&ids);
    if (example->words == NULL)
        return tn_fail_memory(error, "example");
    tn_hash_start(&hash);
    tn_hash_add(&hash, example->words, example->word_count * sizeof *example->words);
    example->words_mark = example->word_count > 0 ? tn_hash_finish(&hash) : (tn_digest){ 0 };
    return TENEBRA_OK;
}

/* --------------------------------------------------------------- images -- */

tenebra_code tn_train_example_keep_pictures(tn_train_example *example, const tn_conversation *conversation, size_t side,
                                            tenebra_error *error)
{
    size_t count = conversation->picture_count;
    tn_hash hash;
    tn_hash_start(&hash);
    for (size_t i = 0; i < count; i++)
        tn_hash_add(&hash, &conversation->pictures[i].rows.content, sizeof conversation->pictures[i].rows.content);
    example->image_mark = count > 0 ? tn_hash_finish(&hash) : (tn_digest){ 0 };
    if (side == 0)
        return TENEBRA_OK;
    example->small = calloc(count + 1, sizeof *example->small);
    if (example->small == NULL)
        return tn_fail_memory(error, "example");
    for (size_t i = 0; i < count; i++)
        TN_TRY(tn_image_resize(&conversation->pictures[i].pixels, side, side, TN_RESAMPLE_BOX, &example->small[i], error));
    return TENEBRA_OK;
}
