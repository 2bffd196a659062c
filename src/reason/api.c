/* The public functions of include/tenebra.h. */
#include "reason/modules.h"
#include "reason/modules.h"
#include "reason/question.h"
#include "reason/reasoner.h"
#include "reason/trained.h"

#include <stdlib.h>
#include <string.h>

#ifndef TENEBRA_VERSION
#define TENEBRA_VERSION "unknown"
#endif

struct tenebra_session {
    tn_session *inner;
    tn_reasoner reasoner;
    atomic_bool cancel;
};

const char *tenebra_version(void)
{
    return TENEBRA_VERSION;
}

static void close_trained(tn_trained *trained)
{
    tn_trained_free(trained);
    free(trained);
}

/* Joins the keys that nothing knows in what training left to the model's note. */
static void add_note(tn_model *model, const tn_notes *notes)
{
    char text[TN_MODEL_UNUSED];
    size_t length = strlen(model->note);
    if (notes->count > 0)
        snprintf(model->note + length, sizeof model->note - length, "%s%s", length > 0 ? "; " : "", tn_model_say_unused(notes, text));
}

tenebra_model *tenebra_model_open(const char *directory, const tenebra_model_options *options, tenebra_error *error)
{
    tn_model_options inner = { 0 };
    if (options != NULL)
        inner = (tn_model_options){ .kernels = options->kernels, .chat_template = options->chat_template,
                                    .adapters = options->adapters, .adapter_count = options->adapter_count };
    if (inner.kernels == NULL)
        inner.kernels = getenv("TENEBRA_KERNELS");
    if (directory == NULL) {
        tn_fail(error, TENEBRA_ERROR_ARGUMENT, "model", "no directory was given");
        return NULL;
    }
    tn_trained *trained = calloc(1, sizeof *trained);
    if (trained == NULL) {
        tn_fail(error, TENEBRA_ERROR_MEMORY, "model", "no memory");
        return NULL;
    }
    bool good = tn_trained_read(trained, directory, inner.adapters, inner.adapter_count, error) == TENEBRA_OK;
    tenebra_model *model = good ? tn_model_open(directory, &inner, error) : NULL;
    if (model == NULL) {
        close_trained(trained);
        return NULL;
    }
    model->trained = trained;
    add_note(model, &trained->notes);
    if (tn_modules_read(model, inner.adapters, inner.adapter_count, error) == TENEBRA_OK)
        return model;
    tenebra_model_close(model);
    return NULL;
}

const char *tenebra_model_note(const tenebra_model *model)
{
    return model->note[0] != '\0' ? model->note : NULL;
}

void tenebra_model_close(tenebra_model *model)
{
    if (model == NULL)
        return;
    close_trained(model->trained);
    tn_model_close(model);
}

const tenebra_request *tenebra_model_defaults(const tenebra_model *model)
{
    static const tenebra_request nothing = { 0 };
    return model->trained != NULL ? &model->trained->request : &nothing;
}

/* ------------------------------------------------------------- prompts -- */

struct tenebra_prompt {
    tn_question inner;
};

const char *tenebra_preset_at(size_t index, const char **summary)
{
    for (size_t i = 0; i <= index; i++)
        if (tn_prompt_presets[i].name == NULL)
            return NULL;
    if (summary != NULL)
        *summary = tn_prompt_presets[index].summary;
    return tn_prompt_presets[index].name;
}

tenebra_prompt *tenebra_prompt_make(const tenebra_model *model, const tenebra_question *question, tenebra_error *error)
{
    tenebra_prompt *prompt = calloc(1, sizeof *prompt);
    if (prompt == NULL) {
        tn_fail(error, TENEBRA_ERROR_MEMORY, "prompt", "no memory");
        return NULL;
    }
    if (tn_question_write(&prompt->inner, question, tn_trained_wording(model != NULL ? model->trained : NULL), error) != TENEBRA_OK) {
        tenebra_prompt_free(prompt);
        return NULL;
    }
    return prompt;
}

const tenebra_message *tenebra_prompt_messages(const tenebra_prompt *prompt, size_t *count)
{
    *count = prompt->inner.turn_count;
    return prompt->inner.turns;
}

void tenebra_prompt_free(tenebra_prompt *prompt)
{
    if (prompt != NULL)
        tn_question_free(&prompt->inner);
    free(prompt);
}

/* ------------------------------------------------------------- methods -- */

const char *tenebra_method_at(size_t index, const char **summary, const tenebra_option **options)
{
    for (size_t i = 0; i < index; i++)
        if (tn_methods[i] == NULL)
            return NULL;
    const tn_method *method = tn_methods[index];
    if (method == NULL)
        return NULL;
    if (summary != NULL)
        *summary = method->summary;
    if (options != NULL)
        *options = method->options;
    return method->name;
}

tenebra_session *tenebra_session_open(const tenebra_model *model, const tenebra_session_options *options,
                                      tenebra_error *error)
{
    tn_session_options inner = { 0 };
    if (options != NULL)
        inner = (tn_session_options){ .context = options->context, .threads = options->threads,
                                      .image_cache = options->image_cache, .no_image_cache = options->no_image_cache };
    const char *type = options && options->cache_type ? options->cache_type : "f32";
    inner.cache_type = strcmp(type, "bf16") == 0 ? TN_BF16 : TN_F32;
    if (inner.cache_type == TN_F32 && strcmp(type, "f32") != 0) {
        tn_fail(error, TENEBRA_ERROR_ARGUMENT, "cache-type", "'%s' is neither f32 nor bf16", type);
        return NULL;
    }
    tenebra_session *session = calloc(1, sizeof *session);
    if (session == NULL) {
        tn_fail(error, TENEBRA_ERROR_MEMORY, "session", "no memory");
        return NULL;
    }
    session->inner = tn_session_open(model, &inner, error);
    if (session->inner == NULL) {
        free(session);
        return NULL;
    }
    return session;
}

tenebra_code tenebra_session_ask(tenebra_session *session, const tenebra_request *request,
                                 const tenebra_trace **trace, tenebra_error *error)
{
    atomic_store(&session->cancel, false);
    tn_reasoner *reasoner = &session->reasoner;
    TN_TRY(tn_reasoner_open(reasoner, session->inner, request, &session->cancel, error));
    tenebra_code code = tn_reasoner_answer(reasoner, error);
    tn_reasoner_close(reasoner);
    if (code == TENEBRA_OK && trace != NULL)
        *trace = &reasoner->trace;
    return code;
}

void tenebra_session_cancel(tenebra_session *session)
{
    atomic_store(&session->cancel, true);
}

void tenebra_session_close(tenebra_session *session)
{
    if (session == NULL)
        return;
    tn_session_close(session->inner);
    free(session);
}
