/* Writes adapters in the form that PEFT loads. */
#include "base/checked.h"
#include "model/lora_parts.h"
#include "store/writer.h"

#include <errno.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

/* ---------------------------------------------------------------- names -- */

/* The name of a module in the file. */
static void name_in_file(const tn_adapter *adapter, const char *canonical, bool renamed, char *name)
{
    if (!renamed || !tn_lora_other_name(&adapter->model->networks, canonical, 0, name))
        snprintf(name, TN_LORA_NAME_SIZE, "%s", canonical);
}

static bool has_module(const tn_adapter *adapter, const char *name)
{
    for (size_t i = 0; i < adapter->module_count; i++)
        if (strcmp(adapter->modules[i].name, name) == 0)
            return true;
    return false;
}

typedef struct comparing {
    const tn_adapter *adapter;
    const json_t *targets;
    bool renamed, equal;
} comparing;

static tenebra_code compare_place(void *user, const tn_place *place, tenebra_error *error)
{
    comparing *job = user;
    char name[TN_LORA_NAME_SIZE], own[TN_LORA_NAME_SIZE];
    const json_t *target;
    size_t i;
    bool meant = false;
    (void)error;
    if (!tn_lora_module_name(place, name))
        return TENEBRA_OK;
    name_in_file(job->adapter, name, job->renamed, own);
    json_array_foreach(job->targets, i, target)
        meant |= json_is_string(target) && tn_lora_is_end(json_string_value(target), own);
    job->equal &= meant == has_module(job->adapter, name);
    return TENEBRA_OK;
}

/* "target_modules": as requested, if PEFT makes the same modules from it under the names of the file; otherwise all
 * module names. PEFT expects every module that it makes in its own file, and warns about missing ones. */
static json_t *targets_of(const tn_adapter *adapter, bool renamed)
{
    json_t *targets = json_loads(adapter->targets, JSON_DECODE_ANY, NULL);
    comparing job = { adapter, targets, renamed, json_is_array(targets) };
    tn_networks_each(&adapter->model->networks, compare_place, &job, NULL);
    if (job.equal)
        return targets;
    json_decref(targets);
    targets = json_array();
    for (size_t i = 0; i < adapter->module_count; i++) {
        char own[TN_LORA_NAME_SIZE];
        name_in_file(adapter, adapter->modules[i].name, renamed, own);
        json_array_append_new(targets, json_string(own));
    }
    return targets;
}

/* -------------------------------------------------------- configuration -- */

static json_t *config_of(const tn_adapter *adapter, const char *base, bool renamed)
{
    json_t *ranks = json_object(), *alphas = json_object();
    for (size_t i = 0; i < adapter->module_count; i++) {
        const tn_adapter_module *m = &adapter->modules[i];
        char own[TN_LORA_NAME_SIZE];
        name_in_file(adapter, m->name, renamed, own);
        if (m->rank != adapter->rank)
            json_object_set_new(ranks, own, json_integer((json_int_t)m->rank));
        if (m->alpha != adapter->alpha)
            json_object_set_new(alphas, own, json_real(m->alpha));
    }
    bool whole = adapter->alpha == floor(adapter->alpha);
    return json_pack("{s:s?, s:s, s:b, s:b, s:b, s:o, s:f, s:n, s:s, s:I, s:o, s:o, s:o, s:s, s:b, s:b}",
                     "base_model_name_or_path", base, "bias", "none", "fan_in_fan_out", 0, "inference_mode", 1,
                     "init_lora_weights", 1, "lora_alpha",
                     whole ? json_integer((json_int_t)adapter->alpha) : json_real(adapter->alpha), "lora_dropout",
                     adapter->dropout, "modules_to_save", "peft_type", "LORA", "r", (json_int_t)adapter->rank, "rank_pattern",
                     ranks, "alpha_pattern", alphas, "target_modules", targets_of(adapter, renamed), "task_type", "CAUSAL_LM",
                     "use_dora", 0, "use_rslora", adapter->rslora);
}

static tenebra_code write_config(const tn_adapter *adapter, const char *directory, const char *base, bool renamed,
                                 tenebra_error *error)
{
    json_t *json = config_of(adapter, base, renamed);
    tenebra_code code = tn_json_write_in(directory, "adapter_config.json", json, JSON_INDENT(2) | JSON_SORT_KEYS, error);
    json_decref(json);
    return code;
}

/* -------------------------------------------------------------- tensors -- */

/* Declares, or writes, A and B of each module. */
static tenebra_code put_matrices(const tn_adapter *adapter, tn_writer *writer, bool renamed, bool declare, tenebra_error *error)
{
    for (size_t i = 0; i < adapter->module_count; i++)
        for (int which = 0; which < 2; which++) {
            const tn_adapter_module *m = &adapter->modules[i];
            char own[TN_LORA_NAME_SIZE], name[TN_LORA_NAME_SIZE + 64];
            size_t shape[2] = { which ? m->outputs : m->rank, which ? m->rank : m->inputs };
            name_in_file(adapter, m->name, renamed, own);
            snprintf(name, sizeof name, "base_model.model.%s.lora_%c.weight", own, which ? 'B' : 'A');
            if (declare)
                TN_TRY(tn_writer_declare(writer, name, TN_STORE_F32, 2, shape, error));
            else
                TN_TRY(tn_writer_write(writer, which ? m->b : m->a, shape[0] * shape[1] * sizeof(float), error));
        }
    return TENEBRA_OK;
}

static tenebra_code put_all(const tn_adapter *adapter, tn_writer *writer, bool renamed, tenebra_error *error)
{
    TN_TRY(tn_writer_metadata(writer, "format", "pt", error));
    TN_TRY(put_matrices(adapter, writer, renamed, true, error));
    TN_TRY(put_matrices(adapter, writer, renamed, false, error));
    return tn_writer_finish(writer, error);
}

static tenebra_code write_tensors(const tn_adapter *adapter, const char *directory, bool renamed, tenebra_error *error)
{
    tn_writer *writer;
    TN_TRY(tn_writer_open_in(directory, TN_WRITER_ADAPTER, &writer, error));
    tenebra_code code = put_all(adapter, writer, renamed, error);
    tn_writer_close(writer);
    return code;
}

tenebra_code tn_adapter_write(const tn_adapter *adapter, const char *directory, const char *base, tn_lora_names names,
                              tenebra_error *error)
{
    bool renamed = names == TN_LORA_NAMES_NEW || (names == TN_LORA_NAMES_BASE && tn_model_has_new_names(adapter->model));
    bool plain = adapter->replacement_count == 0;
    for (size_t i = 0; i < adapter->module_count; i++)
        plain &= adapter->modules[i].magnitude == NULL;
    if (!plain)
        return tn_fail(error, TENEBRA_ERROR_UNSUPPORTED, directory, "magnitudes and replaced tensors are not written");
    if (mkdir(directory, 0777) != 0 && errno != EEXIST)
        return tn_fail(error, TENEBRA_ERROR_IO, directory, "cannot be made: %s", strerror(errno));
    TN_TRY(write_tensors(adapter, directory, renamed, error));
    return write_config(adapter, directory, base, renamed, error);
}
