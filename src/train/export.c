/* Writes the result in the formats that other programs read: a model directory in the layout of Hugging Face, or a PEFT
 * adapter. */
#include "train/parts.h"

#include "base/checked.h"
#include "base/file.h"
#include "base/output.h"
#include "store/seal.h"
#include "store/writer.h"
#include "train/files.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { PIECE = 1 << 16 };

/* Files that are copied with the weights of a model, if they exist. */
static const char *const companions[] = {
    "config.json", "generation_config.json", "processor_config.json", "preprocessor_config.json",
    "video_preprocessor_config.json", "tokenizer.json", "tokenizer_config.json",
    "chat_template.json", "chat_template.jinja", "special_tokens_map.json", "added_tokens.json", "vocab.json", "merges.txt",
    NULL
};

/* The directory of further chat templates, NAME.jinja, as transformers writes them. */
static const char templates[] = "additional_chat_templates", template_end[] = ".jinja";

static bool is_template(const char *name)
{
    const size_t front = sizeof templates - 1, end = sizeof template_end - 1, length = strlen(name);
    return length > front + 1 + end && strncmp(name, templates, front) == 0 && name[front] == '/' &&
           strcmp(name + length - end, template_end) == 0;
}

bool tn_export_is_own(const char *name)
{
    static const char *const written[] = { TN_WRITER_WEIGHTS, TN_WRITER_ADAPTER, TN_WRITER_MODULE, "adapter_config.json",
                                           "module.json", "training.json",
                                           NULL };
    const char *const *const lists[] = { companions, written };
    for (size_t list = 0; list < 2; list++)
        for (size_t i = 0; lists[list][i] != NULL; i++) {
            size_t length = strlen(lists[list][i]);
            if (strncmp(name, lists[list][i], length) == 0 &&
                (name[length] == '\0' || strncmp(name + length, ".partial", strlen(".partial")) == 0))
                return true;
        }
    return is_template(name);
}

static tenebra_code copy_templates(const tn_trainer *trainer, const char *directory, tenebra_error *error)
{
    tn_path from, to;
    TN_TRY(tn_path_print(&from, error, "%s/%s", trainer->model->directory, templates));
    TN_TRY(tn_path_print(&to, error, "%s/%s", directory, templates));
    return tn_files_copy_directory(from.text, to.text, template_end, error);
}

static tenebra_code copy_companions(const tn_trainer *trainer, const char *directory, tenebra_error *error)
{
    tenebra_code code = TENEBRA_OK;
    for (size_t i = 0; companions[i] != NULL && code == TENEBRA_OK; i++)
        code = tn_output_copy(trainer->model->directory, directory, companions[i], error);
    return code;
}

/* Writes training.json: how the weights were made, for readers and for programs that check it. */
static tenebra_code write_description(const tn_trainer *trainer, const char *directory, tenebra_error *error)
{
    json_t *config = tn_train_config_json(trainer->config);
    json_t *about = json_pack("{s:I, s:I, s:I, s:o}", "updates", (json_int_t)trainer->update, "epoch",
                              (json_int_t)trainer->last.epoch, "stage", (json_int_t)trainer->last.stage, "config", config);
    tenebra_code code = tn_store_seal_write(directory, "training.json", about, error);
    json_decref(about);
    return code;
}

/* ------------------------------------------------------------- weights -- */

static tenebra_code declare(const tn_trainer *trainer, tn_writer *writer, tn_dtype type, tenebra_error *error)
{
    const tn_store *store = trainer->model->store;
    TN_TRY(tn_writer_metadata(writer, "format", "pt", error));
    for (size_t i = 0; i < tn_store_count(store); i++) {
        const tn_stored *tensor = tn_store_at(store, i);
        tn_form form = tensor->form;
        if (tn_parameters_find(trainer->parameters, tensor->name) != NULL) {
            form.type = type;
            form.order = TN_ROWS;
        }
        TN_TRY(tn_writer_declare_weight(writer, tensor->name, &form, error));
    }
    return TENEBRA_OK;
}

static tenebra_code write_parameter(tn_writer *writer, const tn_parameter *parameter, tn_dtype type, tenebra_error *error)
{
    unsigned char packed[PIECE * sizeof(tn_real)];
    if (type == TN_F32)
        return tn_writer_write(writer, parameter->values, parameter->count * sizeof(tn_real), error);
    for (size_t begin = 0; begin < parameter->count; begin += PIECE) {
        size_t count = tn_min(PIECE, parameter->count - begin);
        tn_dtype_of(type)->pack(parameter->values + begin, count, packed);
        TN_TRY(tn_writer_write(writer, packed, tn_dtype_row_bytes(type, count), error));
    }
    return TENEBRA_OK;
}

static tenebra_code write_weights(const tn_trainer *trainer, const char *directory, tn_dtype type, tenebra_error *error)
{
    const tn_store *store = trainer->model->store;
    tn_writer *writer;
    TN_TRY(tn_writer_open_in(directory, TN_WRITER_WEIGHTS, &writer, error));
    tenebra_code code = declare(trainer, writer, type, error);
    for (size_t i = 0; i < tn_store_count(store) && code == TENEBRA_OK; i++) {
        const tn_stored *tensor = tn_store_at(store, i);
        const tn_parameter *parameter = tn_parameters_find(trainer->parameters, tensor->name);
        code = parameter != NULL ? write_parameter(writer, parameter, type, error)
                                 : tn_writer_write(writer, tensor->data, tensor->bytes, error);
    }
    if (code == TENEBRA_OK)
        code = tn_store_check(store, error);
    if (code == TENEBRA_OK)
        code = tn_writer_finish(writer, error);
    tn_writer_close(writer);
    return code;
}

static tenebra_code write_directory(const tn_trainer *trainer, const char *directory, tenebra_error *error)
{
    const tn_train_config *config = trainer->config;
    tn_dtype type = config->save_type == 1 ? TN_BF16 : TN_F32;
    TN_TRY(tn_files_make_directory(directory, error));
    if (trainer->adapter != NULL) {
        TN_TRY(tn_adapter_write(trainer->adapter, directory, config->model, (tn_lora_names)config->lora_names, error));
    } else {
        TN_TRY(copy_companions(trainer, directory, error));
        TN_TRY(copy_templates(trainer, directory, error));
        TN_TRY(tn_export_change(trainer, directory, type, error));
        TN_TRY(write_weights(trainer, directory, type, error));
    }
    if (trainer->model->module_method != NULL)
        TN_TRY(tn_module_write(trainer->model, trainer->parameters, directory, error));
    TN_TRY(write_description(trainer, directory, error));
    return tn_output_sync_directory(directory, error);
}

tenebra_code tn_trainer_export(tn_trainer *trainer, const char *name, tenebra_error *error)
{
    tenebra_error ignored;
    tn_path path, partial;
    TN_TRY(tn_path_print(&path, error, "%s/%s", trainer->config->output, name));
    TN_TRY(tn_path_print(&partial, error, "%s.partial", path.text));
    tenebra_code code = tn_files_remove_directory(partial.text, error);
    if (code == TENEBRA_OK)
        code = write_directory(trainer, partial.text, error);
    if (code == TENEBRA_OK)
        code = tn_files_swap_directory(partial.text, path.text, tn_export_is_own, error);
    if (code == TENEBRA_OK)
        tn_trainer_note(trainer, TN_TRAIN_SAVED, path.text);
    else
        tn_files_remove_directory(partial.text, &ignored);
    return code;
}
