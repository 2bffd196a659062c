/* Opens and closes a training, and makes training examples from conversations. */
#include "reason/training_parts.h"

#include "base/checked.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* -------------------------------------------------------------- opening -- */

static tenebra_code copy_settings(tn_training *training, const tn_training_options *options, tenebra_error *error)
{
    training->settings = calloc(options->setting_count + 1, sizeof *training->settings);
    if (training->settings == NULL)
        return tn_fail(error, TENEBRA_ERROR_MEMORY, "training", "no memory");
    for (size_t i = 0; i < options->setting_count; i++) {
        const tenebra_setting *from = &options->settings[i];
        if (from->name == NULL || from->value == NULL)
            return tn_fail(error, TENEBRA_ERROR_ARGUMENT, "settings", "number %zu has no name or no value", i + 1);
        training->settings[i] = (tenebra_setting){ strdup(from->name), strdup(from->value) };
        if (training->settings[i].name == NULL || training->settings[i].value == NULL)
            return tn_fail(error, TENEBRA_ERROR_MEMORY, "training", "no memory");
    }
    return TENEBRA_OK;
}

static tenebra_code refuse_method(const tn_method *method, tenebra_error *error)
{
    char names[256] = "";
    for (size_t m = 0, used = 0; tn_methods[m] != NULL && used < sizeof names - 1; m++)
        if (tn_methods[m]->arrange_training != NULL)
            used += (size_t)snprintf(names + used, sizeof names - used, "%s%s", used > 0 ? ", " : "", tn_methods[m]->name);
    return tn_fail(error, TENEBRA_ERROR_ARGUMENT, "method", "the method '%s' cannot be trained; these can: %s", method->name, names);
}

static tenebra_code open_parts(tn_training *training, const tn_training_options *options, tenebra_error *error)
{
    tn_session_options session = { .threads = options->threads };
    TN_TRY(copy_settings(training, options, error));
    TN_TRY(tn_session_open(training->model, &session, &training->session, error));
    training->request = (tenebra_request){ .method = options->method,
                                          .settings = training->settings,
                                          .setting_count = options->setting_count,
                                          .positions = options->positions,
                                          .sampling.seed = options->seed,
                                          .max_tokens = 1,
                                          .image = options->image,
                                          .ignore_orientation = options->ignore_orientation };
    TN_TRY(tn_reasoner_open(&training->reasoner, training->session, &training->request, NULL, error));
    if (training->reasoner.method->arrange_training == NULL)
        return refuse_method(training->reasoner.method, error);
    tn_training_seed(training, options->seed);
    const tn_method *method = training->reasoner.method;
    return method->check_training != NULL ? method->check_training(&training->reasoner, error) : TENEBRA_OK;
}

tenebra_code tn_training_open(const tn_model *model, const tn_training_options *options, tn_training **opened, tenebra_error *error)
{
    static const tn_training_options defaults = { 0 };
    tenebra_error local;
    error = error ? error : &local;
    tn_training *training = calloc(1, sizeof *training);
    *opened = NULL;
    if (training == NULL)
        return tn_fail_memory(error, "training");
    training->model = model;
    training->options = options ? *options : defaults;
    tenebra_code code = open_parts(training, &training->options, error);
    if (code == TENEBRA_OK)
        *opened = training;
    else
        tn_training_close(training);
    return code;
}

void tn_training_close(tn_training *training)
{
    if (training == NULL)
        return;
    tn_reasoner_close(&training->reasoner);
    tn_session_close(training->session);
    for (size_t i = 0; training->settings != NULL && i < training->options.setting_count; i++) {
        free((void *)(uintptr_t)training->settings[i].name);
        free((void *)(uintptr_t)training->settings[i].value);
    }
    free(training->settings);
    free(training);
}

tn_pool *tn_training_pool(tn_training *training)
{
    return training->session->engine->pool;
}

void tn_training_watch_cancel(tn_training *training, const atomic_bool *cancel)
{
    training->session->engine->ops.cancel = cancel;
}

void tn_training_seed(tn_training *training, uint64_t seed)
{
    training->seed = seed;
}

/* ------------------------------------------------------------ preparing -- */

/* Moves the images of the conversation to the example, prepared for the encoder; its cells then refer to those. */
static tenebra_code take_pictures(tn_training *training, tn_train_example *example, tenebra_error *error)
{
    const tn_conversation *c = &training->reasoner.conversation;
    const tn_model *model = training->model;
    TN_TRY(tn_train_example_set_pictures(example, c->picture_count, error));
    size_t count = c->picture_count;
    for (size_t p = 0; p < count; p++) {
        const tn_picture *picture = &c->pictures[p];
        example->pictures[p] = picture->rows;
        TN_TRY(model->backbone->encoder->prepare(model->rule, &picture->pixels, &example->prepared[p], error));
        if (picture->look.rows > 0) {
            example->look_count = count;
            example->pictures[count + p] = picture->look;
            TN_TRY(model->backbone->encoder->prepare(model->rule, &picture->look_pixels, &example->prepared[count + p], error));
        }
        for (size_t i = 0; i < example->count; i++)
            if (example->text[i].kind == TN_ROW_CELL && example->text[i].picture == &picture->rows)
                example->text[i].picture = &example->pictures[p];
    }
    return TENEBRA_OK;
}

/* Keeps what the method's losses take of the example. */
static tenebra_code keep_sides(tn_training *training, tn_train_example *example, tenebra_error *error)
{
    const tn_method *method = training->reasoner.method;
    const tn_network *module = tn_module_of(training->model, method->name);
    if (method->batch_losses == NULL)
        return TENEBRA_OK;
    size_t side = method->picture_side != NULL && module != NULL ? method->picture_side(module) : 0;
    TN_TRY(tn_train_example_keep_pictures(example, &training->reasoner.conversation, side, error));
    return tn_train_example_keep_words(example, error);
}

/* Adds the prompt, which has the messages of `script`, and the parts after it, with the first `steps` steps of the source. */
static tenebra_code arrange(tn_training *training, tn_train_example *example, const tn_script *script, size_t steps,
                            tenebra_error *error)
{
    tn_reasoner *reasoner = &training->reasoner;
    tn_conversation *c = &reasoner->conversation;
    c->picture_count = c->shown = c->given; /* without what further turns of another attempt added */
    c->dialogue = script->messages;
    c->dialogue_count = script->message_count;
    reasoner->pass = 0;
    tn_train_example_source part = *example->source;
    part.step_count = steps;
    const tn_train_example_source *whole = example->source;
    example->source = &part;
    example->count = example->part_count = example->label_count = example->latent_steps = example->rows = 0;
    tenebra_code code = tn_train_example_add_rows(example, c->prompt, NULL, c->prompt_count, error);
    example->prompt = example->count;
    example->tail_ahead = c->tail_count > 0;
    if (code == TENEBRA_OK)
        code = reasoner->method->arrange_training(reasoner, example, error);
    example->source = whole;
    return code;
}

/* Drops complete steps from the end until the example fits; those that latent steps replace are dropped last. */
static tenebra_code arrange_within(tn_training *training, tn_train_example *example, tenebra_error *error)
{
    const tn_train_example_source *source = example->source;
    const tn_conversation *c = &training->reasoner.conversation;
    const tn_script script = { .messages = c->dialogue, .message_count = c->dialogue_count };
    size_t limit = source->limit ? source->limit : training->model->config.decoder.max_position_embeddings;
    for (size_t steps = source->step_count;; steps--) {
        TN_TRY(arrange(training, example, &script, steps, error));
        example->steps_dropped = source->step_count - steps;
        if (example->rows <= limit)
            return TENEBRA_OK;
        if (steps == 0)
            return tn_fail(error, TENEBRA_ERROR_LIMIT, "example", "has %zu rows without any step of its rationale; %zu are "
                           "the limit", example->rows, limit);
    }
}

static tenebra_code prepare(tn_training *training, tn_train_example *example, tenebra_error *error)
{
    const tn_train_example_source *source = example->source;
    if (source->message_count == 0 || source->answer == NULL || (source->step_count > 0 && source->steps == NULL))
        return tn_fail(error, TENEBRA_ERROR_ARGUMENT, "example", "has no messages, no answer or no steps");
    training->request.messages = source->messages;
    training->request.message_count = source->message_count;
    TN_TRY(tn_request_check(&training->request, error));
    TN_TRY(tn_reasoner_load_pictures(&training->reasoner, error));
    training->reasoner.conversation.given = training->reasoner.conversation.picture_count;
    TN_TRY(tn_reasoner_render(&training->reasoner, error));
    TN_TRY(arrange_within(training, example, error));
    TN_TRY(take_pictures(training, example, error));
    if (example->latent_steps == 0)
        tn_train_example_drop_looks(example);
    return keep_sides(training, example, error);
}

tenebra_code tn_training_prepare(tn_training *training, const tn_train_example_source *source, tn_train_example *example,
                                tenebra_error *error)
{
    memset(example, 0, sizeof *example);
    example->source = source;
    example->reasoner = &training->reasoner;
    size_t mark = tn_arena_mark(&training->session->kept);
    tenebra_code code = prepare(training, example, error);
    tn_arena_release(&training->session->kept, mark);
    training->request.messages = NULL;
    training->request.message_count = 0;
    training->reasoner.conversation.prompt = training->reasoner.conversation.tail = NULL;
    training->reasoner.conversation.prompt_count = training->reasoner.conversation.tail_count = 0;
    training->reasoner.conversation.picture_count = training->reasoner.conversation.dialogue_count = 0;
    training->reasoner.pass = 0;
    example->source = NULL;
    example->reasoner = NULL;
    if (code != TENEBRA_OK)
        tn_train_example_free(example);
    return code;
}
