/* The public functions of include/tenebra.h. */
#include "reason/modules.h"
#include "reason/question.h"
#include "reason/reasoner.h"
#include "reason/trained.h"

#include <stdlib.h>
#include <string.h>

#ifndef TENEBRA_VERSION
#define TENEBRA_VERSION "unknown"
#endif

enum { TAKE_MAX = 1 << 16 /* bytes of a structure */ };

struct tenebra_session {
    tn_session *inner;
    tenebra_request request; /* the last request, with the structure of this version */
    tn_reasoner reasoner;
    atomic_bool busy, cancel;
};

const char *tenebra_version(void)
{
    return TENEBRA_VERSION;
}

/* Structures of callers may be shorter or longer than in this version. Copies one to *own [own_size], which is zeroed. */
static tenebra_code take(void *own, size_t own_size, const void *given, const char *name, tenebra_error *error)
{
    const unsigned char *bytes = given;
    size_t size;
    if (given == NULL)
        return tn_fail(error, TENEBRA_ERROR_ARGUMENT, name, "is missing");
    memcpy(&size, given, sizeof size);
    if (size < sizeof size || size > TAKE_MAX)
        return tn_fail(error, TENEBRA_ERROR_ARGUMENT, name, "has the size %zu; start it with TENEBRA_INIT", size);
    for (size_t i = own_size; i < size; i++)
        if (bytes[i] != 0)
            return tn_fail(error, TENEBRA_ERROR_UNSUPPORTED, name, "asks for something that this version of the library does not know");
    memcpy(own, given, size < own_size ? size : own_size);
    return TENEBRA_OK;
}

/* `result`: where a function puts its result. */
static tenebra_code check_result(const void *result, const char *name, tenebra_error *error)
{
    return result != NULL ? TENEBRA_OK : tn_fail(error, TENEBRA_ERROR_ARGUMENT, name, "there is no place for it: the first argument is "
                                                                                      "NULL");
}

static void close_trained(tn_trained *trained)
{
    tn_trained_free(trained);
    free(trained);
}

/* Adds unknown keys of training.json to the model's note. */
static void add_note(tn_model *model, const tn_notes *notes)
{
    char text[TN_MODEL_UNUSED];
    size_t length = strlen(model->note);
    if (notes->count > 0)
        snprintf(model->note + length, sizeof model->note - length, "%s%s", length > 0 ? "; " : "", tn_model_say_unused(notes, text));
}

tenebra_code tenebra_model_open(tenebra_model **model, const char *directory, const tenebra_model_options *options,
                                tenebra_error *error)
{
    tenebra_error local;
    tenebra_model_options given = { 0 };
    error = error != NULL ? error : &local;
    TN_TRY(check_result(model, "model", error));
    *model = NULL;
    if (directory == NULL)
        return tn_fail(error, TENEBRA_ERROR_ARGUMENT, "model", "no directory was given");
    if (options != NULL)
        TN_TRY(take(&given, sizeof given, options, "options of a model", error));
    if (given.adapters == NULL && given.adapter_count > 0)
        return tn_fail(error, TENEBRA_ERROR_ARGUMENT, "adapters", "are missing");
    const tn_model_options inner = { .kernels = given.kernels != NULL ? given.kernels : getenv("TENEBRA_KERNELS"),
                                     .chat_template = given.chat_template, .adapters = given.adapters,
                                     .adapter_count = given.adapter_count, .base = given.base, .lora_alpha = given.lora_alpha };
    tn_model_files files;
    TN_TRY(tn_model_find(directory, given.base, &files, error));
    tn_trained *trained = calloc(1, sizeof *trained);
    if (trained == NULL)
        return tn_fail(error, TENEBRA_ERROR_MEMORY, "model", "no memory");
    tenebra_code code = tn_trained_read(trained, files.directory.text, inner.adapters, inner.adapter_count, error);
    if (code == TENEBRA_OK)
        code = tn_model_open(directory, &inner, model, error);
    if (code != TENEBRA_OK) {
        close_trained(trained);
        return code;
    }
    (*model)->trained = trained;
    add_note(*model, &trained->notes);
    code = tn_modules_read(*model, inner.adapters, inner.adapter_count, error);
    if (code != TENEBRA_OK) {
        tenebra_model_close(*model);
        *model = NULL;
    }
    return code;
}

const char *tenebra_model_note(const tenebra_model *model)
{
    return model != NULL && model->note[0] != '\0' ? model->note : NULL;
}

void tenebra_model_close(tenebra_model *model)
{
    if (model == NULL)
        return;
    close_trained(model->trained);
    tn_model_close(model);
}

/* Fills a structure of the caller up to its size. */
static void give(void *given, const void *own, size_t own_size)
{
    size_t size;
    memcpy(&size, given, sizeof size);
    if (size > sizeof size)
        memcpy((char *)given + sizeof size, (const char *)own + sizeof size, (size < own_size ? size : own_size) - sizeof size);
}

void tenebra_model_defaults(const tenebra_model *model, tenebra_request *request)
{
    static const tenebra_request nothing = { 0 };
    if (request != NULL && model != NULL)
        give(request, model->trained != NULL ? &model->trained->request : &nothing, sizeof nothing);
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

tenebra_code tenebra_prompt_make(tenebra_prompt **prompt, const tenebra_model *model, const tenebra_question *question,
                                 tenebra_error *error)
{
    tenebra_question given = { 0 };
    TN_TRY(check_result(prompt, "prompt", error));
    *prompt = NULL;
    TN_TRY(take(&given, sizeof given, question, "question", error));
    tenebra_prompt *made = calloc(1, sizeof *made);
    if (made == NULL)
        return tn_fail(error, TENEBRA_ERROR_MEMORY, "prompt", "no memory");
    tenebra_code code = tn_question_write(&made->inner, &given, tn_trained_wording(model != NULL ? model->trained : NULL), error);
    if (code == TENEBRA_OK)
        *prompt = made;
    else
        tenebra_prompt_free(made);
    return code;
}

const tenebra_message *tenebra_prompt_messages(const tenebra_prompt *prompt, size_t *count)
{
    if (count != NULL)
        *count = prompt != NULL ? prompt->inner.turn_count : 0;
    return prompt != NULL ? prompt->inner.turns : NULL;
}

void tenebra_prompt_free(tenebra_prompt *prompt)
{
    if (prompt != NULL)
        tn_question_free(&prompt->inner);
    free(prompt);
}

/* ------------------------------------------------------------- methods -- */

static const tn_method *method_at(size_t index)
{
    for (size_t i = 0; i < index; i++)
        if (tn_methods[i] == NULL)
            return NULL;
    return tn_methods[index];
}

const char *tenebra_method_at(size_t index, const char **summary)
{
    const tn_method *method = method_at(index);
    if (method != NULL && summary != NULL)
        *summary = method->summary;
    return method != NULL ? method->name : NULL;
}

bool tenebra_method_option(size_t method, size_t index, tenebra_option *option)
{
    const tn_method *found = method_at(method);
    const tn_option *row = found != NULL ? found->options : NULL;
    size_t size = 0;
    if (option != NULL)
        memcpy(&size, option, sizeof size);
    while (row != NULL && row->name != NULL && index > 0) {
        row++;
        index--;
    }
    if (row == NULL || row->name == NULL || size < sizeof size)
        return false;
    const tenebra_option own = { .name = row->name, .argument = row->argument, .value = row->value,
                                 .help = row->help, .is_number = row->kind == TN_OPTION_SIZE, .minimum = row->minimum,
                                 .maximum = row->maximum };
    give(option, &own, sizeof own);
    return true;
}

tenebra_code tenebra_session_open(tenebra_session **session, const tenebra_model *model, const tenebra_session_options *options,
                                  tenebra_error *error)
{
    tenebra_error local;
    tenebra_session_options given = { 0 };
    error = error != NULL ? error : &local;
    TN_TRY(check_result(session, "session", error));
    *session = NULL;
    if (model == NULL)
        return tn_fail(error, TENEBRA_ERROR_ARGUMENT, "session", "no model was given");
    if (options != NULL)
        TN_TRY(take(&given, sizeof given, options, "options of a session", error));
    const char *type = given.cache_type != NULL ? given.cache_type : "f32";
    const tn_session_options inner = { .context = given.context, .threads = given.threads, .image_cache = given.image_cache,
                                       .no_image_cache = given.no_image_cache,
                                       .cache_type = strcmp(type, "bf16") == 0 ? TN_BF16 : TN_F32 };
    if (inner.cache_type == TN_F32 && strcmp(type, "f32") != 0)
        return tn_fail(error, TENEBRA_ERROR_ARGUMENT, "cache-type", "'%s' is neither f32 nor bf16", type);
    tenebra_session *opened = calloc(1, sizeof *opened);
    if (opened == NULL)
        return tn_fail(error, TENEBRA_ERROR_MEMORY, "session", "no memory");
    tenebra_code code = tn_session_open(model, &inner, &opened->inner, error);
    if (code == TENEBRA_OK)
        *session = opened;
    else
        free(opened);
    return code;
}

static tenebra_code answer(tenebra_session *session, const tenebra_request *request, const tenebra_trace **trace, tenebra_error *error)
{
    atomic_store(&session->cancel, false);
    tn_reasoner *reasoner = &session->reasoner;
    session->request = (tenebra_request){ 0 };
    TN_TRY(take(&session->request, sizeof session->request, request, "request", error));
    TN_TRY(tn_reasoner_open(reasoner, session->inner, &session->request, &session->cancel, error));
    tenebra_code code = tn_reasoner_answer(reasoner, error);
    tn_reasoner_close(reasoner);
    if (code == TENEBRA_OK && trace != NULL)
        *trace = &reasoner->trace;
    return code;
}

tenebra_code tenebra_session_ask(tenebra_session *session, const tenebra_request *request,
                                 const tenebra_trace **trace, tenebra_error *error)
{
    if (session == NULL)
        return tn_fail(error, TENEBRA_ERROR_ARGUMENT, "session", "no session was given");
    if (atomic_exchange(&session->busy, true)) /* by another thread, or by a callback of this request */
        return tn_fail(error, TENEBRA_ERROR_ARGUMENT, "session", "is answering another request; wait until it ends, or open another "
                       "session");
    tenebra_code code = answer(session, request, trace, error);
    atomic_store(&session->busy, false);
    return code;
}

void tenebra_session_cancel(tenebra_session *session)
{
    if (session != NULL)
        atomic_store(&session->cancel, true);
}

void tenebra_session_close(tenebra_session *session)
{
    if (session == NULL)
        return;
    tn_session_close(session->inner);
    free(session);
}
