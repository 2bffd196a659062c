#include "reason/lesson.h"

#include "base/checked.h"
#include "reason/parts.h"

#include <stdlib.h>
#include <string.h>

/* Room for `more` items behind `count`. */
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

/* Text that follows text belongs to it; only latent steps cut. */
static tenebra_code add_part(tn_lesson *lesson, size_t rows, size_t latents, tenebra_error *error)
{
    tn_lesson_part *last = lesson->part_count > 0 ? &lesson->parts[lesson->part_count - 1] : NULL;
    if (last != NULL && (last->latents > 0) == (latents > 0)) {
        last->rows += rows;
        last->latents += latents;
        return TENEBRA_OK;
    }
    if (!reserve((void **)&lesson->parts, &lesson->part_capacity, lesson->part_count, 1, sizeof *lesson->parts))
        return tn_fail_memory(error, "lesson");
    lesson->parts[lesson->part_count++] = (tn_lesson_part){ rows, latents };
    return TENEBRA_OK;
}

tenebra_code tn_lesson_add_rows(tn_lesson *lesson, const tn_row *rows, const int32_t *labels, size_t count, tenebra_error *error)
{
    if (count == 0)
        return TENEBRA_OK;
    size_t capacity = lesson->capacity;
    if (!reserve((void **)&lesson->text, &capacity, lesson->count, count, sizeof *lesson->text) ||
        !reserve((void **)&lesson->labels, &lesson->capacity, lesson->count, count, sizeof *lesson->labels))
        return tn_fail_memory(error, "lesson");
    for (size_t i = 0; i < count; i++) {
        bool first = lesson->count == 0; /* nothing goes before it that could predict it */
        int32_t label = labels && !first && labels[i] >= 0 ? labels[i] : -1;
        lesson->text[lesson->count] = rows[i];
        lesson->labels[lesson->count++] = label;
        lesson->label_count += label >= 0;
    }
    lesson->rows += count;
    return add_part(lesson, count, 0, error);
}

tenebra_code tn_lesson_add_ids(tn_lesson *lesson, const tn_model_config *config, const int32_t *ids, const int32_t *labels,
                               size_t count, tenebra_error *error)
{
    size_t pictures = lesson->count == 0 ? lesson->picture_count : 0;
    tn_row *rows = calloc(count + 1, sizeof *rows);
    const tn_image_rows **shown = calloc(pictures + 1, sizeof *shown);
    tenebra_code code = rows != NULL && shown != NULL ? TENEBRA_OK : tn_fail_memory(error, "lesson");
    for (size_t p = 0; code == TENEBRA_OK && p < pictures; p++)
        shown[p] = &lesson->pictures[p];
    if (code == TENEBRA_OK)
        code = tn_rows_of_ids(config, ids, count, shown, pictures, rows, error);
    if (code == TENEBRA_OK)
        code = tn_lesson_add_rows(lesson, rows, labels, count, error);
    free(rows);
    free(shown);
    return code;
}

tenebra_code tn_lesson_add_latents(tn_lesson *lesson, size_t steps, const tn_latent_settings *settings,
                                   tenebra_error *error)
{
    if (steps == 0)
        return TENEBRA_OK;
    if (settings->text != TN_TEXT_KEEP && settings->text != TN_TEXT_DROP)
        return tn_fail(error, TENEBRA_ERROR_UNSUPPORTED, "latents", "training keeps the hidden state or drops it; the "
                       "others are interventions of answering");
    TN_TRY(add_part(lesson, 0, steps, error));
    lesson->latent = *settings;
    lesson->latent_steps += steps;
    lesson->rows += steps * (settings->picks + (settings->text == TN_TEXT_KEEP));
    return TENEBRA_OK;
}

/* ----------------------------------------------------------------- text -- */

static tenebra_code add_spans(tn_lesson *lesson, const tn_text_span *spans, size_t count, bool labelled,
                              tenebra_error *error)
{
    const tn_model *model = lesson->reasoner->session->model;
    tn_ids ids = { 0 };
    tenebra_code code = tn_tokenizer_encode(model->tokenizer, spans, count, &ids, error);
    if (code == TENEBRA_OK)
        code = tn_lesson_add_ids(lesson, &model->config, ids.ids, labelled ? ids.ids : NULL, ids.count, error);
    tn_ids_free(&ids);
    return code;
}

tenebra_code tn_lesson_add_text(tn_lesson *lesson, const char *text, bool labelled, tenebra_error *error)
{
    const tn_text_span span = { text, strlen(text), false };
    return add_spans(lesson, &span, 1, labelled, error);
}

tenebra_code tn_lesson_add_step(tn_lesson *lesson, size_t step, tenebra_error *error)
{
    const tn_lesson_source *source = lesson->source;
    const char *before = source->step[0] != NULL ? source->step[0] : "";
    const char *after = source->step[1] != NULL ? source->step[1] : "\n";
    const tn_text_span spans[] = { { before, strlen(before), false },
                                   { source->steps[step], strlen(source->steps[step]), false },
                                   { after, strlen(after), false } };
    return add_spans(lesson, spans, 3, true, error);
}

tenebra_code tn_lesson_add_steps(tn_lesson *lesson, size_t first, tenebra_error *error)
{
    for (size_t i = first; i < lesson->source->step_count; i++)
        TN_TRY(tn_lesson_add_step(lesson, i, error));
    return TENEBRA_OK;
}

tenebra_code tn_lesson_add_answer(tn_lesson *lesson, tenebra_error *error)
{
    const tn_model_config *config = &lesson->reasoner->session->model->config;
    TN_TRY(tn_lesson_add_text(lesson, lesson->source->answer, true, error));
    if (config->eos_count == 0)
        return tn_fail(error, TENEBRA_ERROR_MISMATCH, "config.json", "names no end token (\"eos_token_id\"), which answers "
                       "are trained to end with");
    return tn_lesson_add_ids(lesson, config, config->eos_tokens, config->eos_tokens, 1, error);
}

/* ------------------------------------------------------------- pictures -- */

static void free_pictures(tn_lesson *lesson)
{
    for (size_t i = 0; i < lesson->picture_count; i++)
        tn_prepared_free(&lesson->prepared[i]);
    free(lesson->prepared);
    free(lesson->pictures);
    lesson->prepared = NULL;
    lesson->pictures = NULL;
    lesson->picture_count = 0;
}

tenebra_code tn_lesson_set_pictures(tn_lesson *lesson, size_t count, tenebra_error *error)
{
    free_pictures(lesson);
    lesson->prepared = calloc(count + 1, sizeof *lesson->prepared);
    lesson->pictures = calloc(count + 1, sizeof *lesson->pictures);
    if (lesson->prepared == NULL || lesson->pictures == NULL)
        return tn_fail_memory(error, "lesson");
    lesson->picture_count = count;
    return TENEBRA_OK;
}

size_t tn_lesson_prepared(const tn_lesson *lesson)
{
    size_t count = 0;
    for (size_t i = 0; i < lesson->picture_count; i++)
        count += lesson->prepared[i].rows;
    return count;
}

void tn_lesson_free(tn_lesson *lesson)
{
    free_pictures(lesson);
    free(lesson->text);
    free(lesson->labels);
    free(lesson->parts);
    memset(lesson, 0, sizeof *lesson);
}
