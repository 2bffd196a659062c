/* The teacher as an object, and lessons from conversations. */
#include "reason/teach_parts.h"

#include "base/checked.h"

#include <stdlib.h>
#include <string.h>

/* -------------------------------------------------------------- opening -- */

static tenebra_code copy_settings(tn_teacher *teacher, const tn_teacher_options *options, tenebra_error *error)
{
    teacher->settings = calloc(options->setting_count + 1, sizeof *teacher->settings);
    if (teacher->settings == NULL)
        return tn_fail(error, TENEBRA_ERROR_MEMORY, "teacher", "no memory");
    for (size_t i = 0; i < options->setting_count; i++) {
        const tenebra_setting *from = &options->settings[i];
        if (from->name == NULL || from->value == NULL)
            return tn_fail(error, TENEBRA_ERROR_ARGUMENT, "settings", "number %zu has no name or no value", i + 1);
        teacher->settings[i] = (tenebra_setting){ strdup(from->name), strdup(from->value) };
        if (teacher->settings[i].name == NULL || teacher->settings[i].value == NULL)
            return tn_fail(error, TENEBRA_ERROR_MEMORY, "teacher", "no memory");
    }
    return TENEBRA_OK;
}

static tenebra_code open_parts(tn_teacher *teacher, const tn_teacher_options *options, tenebra_error *error)
{
    tn_session_options session = { .threads = options->threads };
    TN_TRY(copy_settings(teacher, options, error));
    teacher->session = tn_session_open(teacher->model, &session, error);
    if (teacher->session == NULL)
        return error ? error->code : TENEBRA_ERROR_MEMORY;
    teacher->request = (tenebra_request){ .method = options->method,
                                          .settings = teacher->settings,
                                          .setting_count = options->setting_count,
                                          .positions = options->positions,
                                          .sampling.seed = options->seed,
                                          .max_tokens = 1,
                                          .image = options->image,
                                          .ignore_orientation = options->ignore_orientation };
    TN_TRY(tn_reasoner_open(&teacher->reasoner, teacher->session, &teacher->request, NULL, error));
    if (teacher->reasoner.method->arrange_lesson == NULL)
        return tn_fail(error, TENEBRA_ERROR_ARGUMENT, "method", "the method '%s' cannot be trained",
                       teacher->reasoner.method->name);
    tn_teacher_seed(teacher, options->seed);
    return TENEBRA_OK;
}

tn_teacher *tn_teacher_open(const tn_model *model, const tn_teacher_options *options, tenebra_error *error)
{
    static const tn_teacher_options defaults = { 0 };
    tenebra_error local;
    error = error ? error : &local;
    tn_teacher *teacher = calloc(1, sizeof *teacher);
    if (teacher == NULL) {
        tn_fail(error, TENEBRA_ERROR_MEMORY, "teacher", "no memory");
        return NULL;
    }
    teacher->model = model;
    teacher->options = options ? *options : defaults;
    if (open_parts(teacher, &teacher->options, error) != TENEBRA_OK) {
        tn_teacher_close(teacher);
        return NULL;
    }
    return teacher;
}

void tn_teacher_close(tn_teacher *teacher)
{
    if (teacher == NULL)
        return;
    tn_reasoner_close(&teacher->reasoner);
    tn_session_close(teacher->session);
    for (size_t i = 0; teacher->settings != NULL && i < teacher->options.setting_count; i++) {
        free((void *)(uintptr_t)teacher->settings[i].name);
        free((void *)(uintptr_t)teacher->settings[i].value);
    }
    free(teacher->settings);
    free(teacher);
}

tn_pool *tn_teacher_pool(tn_teacher *teacher)
{
    return teacher->session->engine->pool;
}

void tn_teacher_watch_cancel(tn_teacher *teacher, const atomic_bool *cancel)
{
    teacher->session->engine->ops.cancel = cancel;
}

void tn_teacher_seed(tn_teacher *teacher, uint64_t seed)
{
    teacher->seed = seed;
}

/* ------------------------------------------------------------ preparing -- */

/* The pictures of the conversation become the lesson's, prepared for the encoder, and the prompt's cells refer to those. */
static tenebra_code take_pictures(tn_teacher *teacher, tn_lesson *lesson, tenebra_error *error)
{
    tn_reasoner *reasoner = &teacher->reasoner;
    const tn_model *model = teacher->model;
    TN_TRY(tn_lesson_set_pictures(lesson, reasoner->conversation.picture_count, error));
    for (size_t p = 0; p < reasoner->conversation.picture_count; p++) {
        tn_picture *picture = &reasoner->conversation.pictures[p];
        lesson->pictures[p] = picture->rows;
        TN_TRY(model->backbone->encoder->prepare(model->rule, &picture->pixels, &lesson->prepared[p], error));
        for (size_t i = 0; i < reasoner->conversation.prompt_count; i++)
            if (reasoner->conversation.prompt[i].kind == TN_ROW_CELL && reasoner->conversation.prompt[i].picture == &picture->rows)
                reasoner->conversation.prompt[i].picture = &lesson->pictures[p];
    }
    return TENEBRA_OK;
}

/* The text after the prompt, from the first `steps` steps of the source. */
static tenebra_code arrange(tn_teacher *teacher, tn_lesson *lesson, size_t steps, tenebra_error *error)
{
    tn_reasoner *reasoner = &teacher->reasoner;
    tn_lesson_source part = *lesson->source;
    part.step_count = steps;
    const tn_lesson_source *whole = lesson->source;
    lesson->source = &part;
    lesson->count = lesson->part_count = lesson->label_count = lesson->latent_steps = lesson->rows = 0;
    tenebra_code code = tn_lesson_add_rows(lesson, reasoner->conversation.prompt, NULL, reasoner->conversation.prompt_count, error);
    lesson->prompt = lesson->count;
    if (code == TENEBRA_OK)
        code = reasoner->method->arrange_lesson(reasoner, lesson, error);
    lesson->source = whole;
    return code;
}

/* Whole steps go from the end, those that latent steps stand for last of all. */
static tenebra_code arrange_within(tn_teacher *teacher, tn_lesson *lesson, tenebra_error *error)
{
    const tn_lesson_source *source = lesson->source;
    size_t limit = source->limit ? source->limit : teacher->model->config.decoder.max_position_embeddings;
    for (size_t steps = source->step_count;; steps--) {
        TN_TRY(arrange(teacher, lesson, steps, error));
        lesson->steps_dropped = source->step_count - steps;
        if (lesson->rows <= limit)
            return TENEBRA_OK;
        if (steps == 0)
            return tn_fail(error, TENEBRA_ERROR_LIMIT, "lesson", "has %zu rows without any step of its rationale; %zu are "
                           "the limit", lesson->rows, limit);
    }
}

static tenebra_code prepare(tn_teacher *teacher, tn_lesson *lesson, tenebra_error *error)
{
    const tn_lesson_source *source = lesson->source;
    if (source->message_count == 0 || source->answer == NULL || (source->step_count > 0 && source->steps == NULL))
        return tn_fail(error, TENEBRA_ERROR_ARGUMENT, "lesson", "has no messages, no answer or no steps");
    teacher->request.messages = source->messages;
    teacher->request.message_count = source->message_count;
    TN_TRY(tn_request_check(&teacher->request, error));
    TN_TRY(tn_reasoner_load_pictures(&teacher->reasoner, error));
    TN_TRY(tn_reasoner_render(&teacher->reasoner, error));
    TN_TRY(take_pictures(teacher, lesson, error));
    return arrange_within(teacher, lesson, error);
}

tenebra_code tn_teacher_prepare(tn_teacher *teacher, const tn_lesson_source *source, tn_lesson *lesson,
                                tenebra_error *error)
{
    memset(lesson, 0, sizeof *lesson);
    lesson->source = source;
    lesson->reasoner = &teacher->reasoner;
    size_t mark = tn_arena_mark(&teacher->session->kept);
    tenebra_code code = prepare(teacher, lesson, error);
    tn_arena_release(&teacher->session->kept, mark);
    teacher->request.messages = NULL;
    teacher->request.message_count = 0;
    teacher->reasoner.conversation.prompt = NULL;
    teacher->reasoner.conversation.picture_count = 0;
    lesson->source = NULL;
    lesson->reasoner = NULL;
    if (code != TENEBRA_OK)
        tn_lesson_free(lesson);
    return code;
}

/* ------------------------------------------------------------- teaching -- */

tenebra_code tn_teacher_teach(tn_teacher *teacher, const tn_lesson *const *lessons, size_t count, double scale,
                              tn_teach_result *result, tenebra_error *error)
{
    return tn_teacher_run(teacher, lessons, count, true, scale, result, error);
}

tenebra_code tn_teacher_measure(tn_teacher *teacher, const tn_lesson *const *lessons, size_t count,
                                tn_teach_result *result, tenebra_error *error)
{
    return tn_teacher_run(teacher, lessons, count, false, 1, result, error);
}
