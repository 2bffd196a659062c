#include "reason/train_example.h"

#include "base/checked.h"
#include "reason/parts.h"

#include <stdlib.h>
#include <string.h>

/* Makes room for `more` items after `count`. */
static bool reserve(void **items, size_t *capacity, size_t count, size_t more, size_t size)
{
    size_t wanted, bytes;
    if (!tn_size_add(count, more, &wanted))
        return false;
    if (wanted <= *capacity)
        return true;
    wanted = tn_max(wanted, 2 * *capacity);
    void *larger = tn_size_mul(wanted, size, &bytes) ? realloc(*items, bytes) : NULL;
    if (larger == NULL)
        return false;
    *items = larger;
    *capacity = wanted;
    return true;
}

/* Text after text belongs to the same part; only latent steps separate parts. */
static tenebra_code add_part(tn_train_example *example, size_t rows, size_t latents, tenebra_error *error)
{
    tn_train_example_part *last = example->part_count > 0 ? &example->parts[example->part_count - 1] : NULL;
    if (last != NULL && (last->latents > 0) == (latents > 0)) {
        last->rows += rows;
        last->latents += latents;
        return TENEBRA_OK;
    }
    if (!reserve((void **)&example->parts, &example->part_capacity, example->part_count, 1, sizeof *example->parts))
        return tn_fail_memory(error, "example");
    example->parts[example->part_count++] = (tn_train_example_part){ rows, latents };
    return TENEBRA_OK;
}

tenebra_code tn_train_example_add_rows(tn_train_example *example, const tn_row *rows, const int32_t *labels, size_t count,
                                        tenebra_error *error)
{
    if (count == 0)
        return TENEBRA_OK;
    size_t capacity = example->capacity;
    if (!reserve((void **)&example->text, &capacity, example->count, count, sizeof *example->text) ||
        !reserve((void **)&example->labels, &example->capacity, example->count, count, sizeof *example->labels))
        return tn_fail_memory(error, "example");
    for (size_t i = 0; i < count; i++) {
        bool first = example->count == 0; /* there is no row before it that could predict it */
        int32_t label = labels && !first && labels[i] >= 0 ? labels[i] : -1;
        example->text[example->count] = rows[i];
        example->labels[example->count++] = label;
        example->label_count += label >= 0;
    }
    example->rows += count;
    return add_part(example, count, 0, error);
}

tenebra_code tn_train_example_add_ids(tn_train_example *example, const tn_model_config *config, const int32_t *ids, const int32_t *labels,
                               size_t count, tenebra_error *error)
{
    size_t pictures = example->count == 0 ? example->picture_count : 0;
    tn_row *rows = calloc(count + 1, sizeof *rows);
    const tn_image_rows **shown = calloc(pictures + 1, sizeof *shown);
    tenebra_code code = rows != NULL && shown != NULL ? TENEBRA_OK : tn_fail_memory(error, "example");
    for (size_t p = 0; code == TENEBRA_OK && p < pictures; p++)
        shown[p] = &example->pictures[p];
    if (code == TENEBRA_OK)
        code = tn_rows_of_ids(config, ids, count, shown, pictures, rows, error);
    if (code == TENEBRA_OK)
        code = tn_train_example_add_rows(example, rows, labels, count, error);
    free(rows);
    free(shown);
    return code;
}

/* The maximum number of rows that a pick stands for. While a method arranges the example, its images are those of the conversation. */
static size_t most_cells(const tn_train_example *example)
{
    const tn_conversation *c = example->reasoner != NULL ? &example->reasoner->conversation : NULL;
    size_t most = 1;
    for (size_t p = 0; c != NULL && p < c->picture_count; p++)
        most = tn_max(most, tn_look_ratio(&c->pictures[p].rows, &c->pictures[p].look));
    for (size_t p = 0; p < example->picture_count; p++)
        most = tn_max(most, tn_look_ratio(&example->pictures[p], tn_train_example_look(example, example->pictures, p)));
    return most;
}

tenebra_code tn_train_example_add_latents(tn_train_example *example, size_t steps, const tn_latent_settings *settings,
                                   tenebra_error *error)
{
    if (steps == 0)
        return TENEBRA_OK;
    if (settings->text != TN_TEXT_KEEP && settings->text != TN_TEXT_DROP)
        return tn_fail(error, TENEBRA_ERROR_UNSUPPORTED, "latents", "training keeps the hidden state or drops it; the "
                       "others are interventions of answering");
    TN_TRY(add_part(example, 0, steps, error));
    example->latent = *settings;
    example->latent_steps += steps;
    size_t picked = settings->reads ? 0 : settings->picks * most_cells(example);
    example->rows += steps * (picked + (settings->text == TN_TEXT_KEEP));
    return TENEBRA_OK;
}

tenebra_code tn_train_example_add_mark(tn_train_example *example, size_t which, tenebra_error *error)
{
    const tn_row row = tn_row_of_vector((tn_tensor){ 0 }, which);
    return tn_train_example_add_rows(example, &row, NULL, 1, error);
}

/* ----------------------------------------------------------------- text -- */

/* As in answering, the tail comes after latent steps that follow the prompt, and before everything else. */
static tenebra_code add_tail(tn_train_example *example, tenebra_error *error)
{
    const tn_conversation *c = &example->reasoner->conversation;
    bool ahead = example->tail_ahead;
    example->tail_ahead = false;
    return ahead ? tn_train_example_add_rows(example, c->tail, NULL, c->tail_count, error) : TENEBRA_OK;
}

static tenebra_code add_spans(tn_train_example *example, const tn_text_span *spans, size_t count, bool labelled,
                              tenebra_error *error)
{
    TN_TRY(add_tail(example, error));
    const tn_model *model = example->reasoner->session->model;
    tn_ids ids = { 0 };
    tenebra_code code = tn_tokenizer_encode(model->tokenizer, spans, count, &ids, error);
    if (code == TENEBRA_OK)
        code = tn_train_example_add_ids(example, &model->config, ids.ids, labelled ? ids.ids : NULL, ids.count, error);
    tn_ids_free(&ids);
    return code;
}

tenebra_code tn_train_example_add_text(tn_train_example *example, const char *text, bool labelled, tenebra_error *error)
{
    const tn_text_span span = { text, strlen(text), false };
    return add_spans(example, &span, 1, labelled, error);
}

tenebra_code tn_train_example_add_step(tn_train_example *example, size_t step, tenebra_error *error)
{
    const tn_train_example_source *source = example->source;
    const char *before = source->step[0] != NULL ? source->step[0] : "";
    const char *after = source->step[1] != NULL ? source->step[1] : "\n";
    const tn_text_span spans[] = { { before, strlen(before), false },
                                   { source->steps[step], strlen(source->steps[step]), false },
                                   { after, strlen(after), false } };
    return add_spans(example, spans, 3, true, error);
}

tenebra_code tn_train_example_add_steps(tn_train_example *example, size_t first, tenebra_error *error)
{
    for (size_t i = first; i < example->source->step_count; i++)
        TN_TRY(tn_train_example_add_step(example, i, error));
    return TENEBRA_OK;
}

static tenebra_code find_end(const tn_train_example *example, int32_t *token, tenebra_error *error)
{
    const tn_model_config *config = &example->reasoner->session->model->config;
    if (config->eos_count == 0)
        return tn_fail(error, TENEBRA_ERROR_MISMATCH, "config.json", "names no end token (\"eos_token_id\"), which answers "
                       "are trained to end with");
    *token = config->eos_tokens[0];
    return TENEBRA_OK;
}

tenebra_code tn_train_example_add_end(tn_train_example *example, tenebra_error *error)
{
    int32_t end = -1;
    TN_TRY(find_end(example, &end, error));
    const tn_row row = tn_row_of_token(end);
    return tn_train_example_add_rows(example, &row, &end, 1, error);
}

tenebra_code tn_train_example_add_answer(tn_train_example *example, tenebra_error *error)
{
    TN_TRY(tn_train_example_add_text(example, example->source->answer, true, error));
    return tn_train_example_add_end(example, error);
}

/* The end token of a reply does not run in answering: the template writes the end of the reply, with the turn. */
tenebra_code tn_train_example_add_turn(tn_train_example *example, bool ends, tenebra_error *error)
{
    tn_reasoner *reasoner = example->reasoner;
    tn_row *rows;
    size_t count;
    int32_t end = -1;
    TN_TRY(add_tail(example, error));
    if (ends)
        TN_TRY(find_end(example, &end, error));
    reasoner->pass++;
    TN_TRY(tn_reasoner_render_turn(reasoner, &rows, &count, error));
    reasoner->conversation.shown = reasoner->conversation.picture_count;
    if (count == 0)
        return TENEBRA_OK;
    TN_TRY(tn_train_example_add_rows(example, rows, &end, 1, error));
    return tn_train_example_add_rows(example, rows + 1, NULL, count - 1, error);
}

/* ------------------------------------------------------------- images -- */

void tn_train_example_drop_looks(tn_train_example *example)
{
    for (size_t i = 0; example->prepared != NULL && i < example->picture_count; i++) {
        tn_prepared_free(&example->prepared[example->picture_count + i]);
        example->pictures[example->picture_count + i] = (tn_image_rows){ 0 };
    }
    example->look_count = 0;
}

static void free_pictures(tn_train_example *example)
{
    tn_train_example_drop_looks(example);
    for (size_t i = 0; i < example->picture_count; i++)
        tn_prepared_free(&example->prepared[i]);
    for (size_t i = 0; example->small != NULL && i < example->picture_count; i++)
        tn_image_free(&example->small[i]);
    free(example->small);
    free(example->prepared);
    free(example->pictures);
    example->small = NULL;
    example->prepared = NULL;
    example->pictures = NULL;
    example->picture_count = 0;
}

tenebra_code tn_train_example_set_pictures(tn_train_example *example, size_t count, tenebra_error *error)
{
    free_pictures(example);
    example->prepared = calloc(2 * count + 1, sizeof *example->prepared);
    example->pictures = calloc(2 * count + 1, sizeof *example->pictures);
    if (example->prepared == NULL || example->pictures == NULL)
        return tn_fail_memory(error, "example");
    example->picture_count = count;
    return TENEBRA_OK;
}

size_t tn_train_example_prepared(const tn_train_example *example, size_t looks)
{
    size_t count = 0, first = looks ? example->picture_count : 0;
    for (size_t i = 0; i < (looks ? example->look_count : example->picture_count); i++)
        count += example->prepared[first + i].rows;
    return count;
}

void tn_train_example_free(tn_train_example *example)
{
    free_pictures(example);
    free(example->words);
    free(example->text);
    free(example->labels);
    free(example->parts);
    memset(example, 0, sizeof *example);
}
