#include "model/lora_parts.h"

#include "base/checked.h"

#include <math.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { RANK_MAX = 65536 };

/* ---------------------------------------------------------------- notes -- */

void tn_adapter_note(tn_adapter *adapter, const char *sentence, ...)
{
    size_t length = strlen(adapter->note), room = sizeof adapter->note - length;
    int front = length > 0 ? snprintf(adapter->note + length, room, "; ") : 0;
    if (front < 0 || (size_t)front >= room)
        return;
    va_list arguments;
    va_start(arguments, sentence);
    vsnprintf(adapter->note + length + front, room - (size_t)front, sentence, arguments);
    va_end(arguments);
    for (unsigned char *at = (unsigned char *)adapter->note; *at != '\0'; at++) /* names may come from hostile files */
        if (*at < 0x20 || *at == 0x7f)
            *at = '?';
        else if (at[0] == 0xc2 && at[1] >= 0x80 && at[1] < 0xa0) /* C1 controls */
            at[0] = at[1] = '?';
}

void tn_lora_list_add(char *text, size_t size, size_t *count, const char *item)
{
    size_t length = strlen(text);
    (*count)++;
    if (length + strlen(item) + sizeof ", ..." < size)
        snprintf(text + length, size - length, "%s%s", length > 0 ? ", " : "", item);
    else if (length < 4 || strcmp(text + length - 3, "...") != 0)
        snprintf(text + length, size - length, "%s...", length > 0 ? ", " : "");
}

/* -------------------------------------------------------------- modules -- */

tenebra_code tn_adapter_add_module(tn_adapter *adapter, const tn_place *place, const char *name, size_t rank, double alpha,
                                   tenebra_error *error)
{
    if (!tn_place_is_linear(place))
        return tn_fail(error, TENEBRA_ERROR_UNSUPPORTED, name, "is not a linear layer; low-rank adapters of other layers are not "
                       "supported");
    if (rank < 1 || rank > RANK_MAX || !isfinite(alpha))
        return tn_fail(error, TENEBRA_ERROR_ARGUMENT, name, "a rank of %zu and an alpha of %g are not possible", rank, alpha);
    TN_TRY(TN_GROW(adapter->modules, adapter->module_count, name, error));
    tn_adapter_module *module = &adapter->modules[adapter->module_count];
    double divisor = adapter->rslora ? sqrt((double)rank) : (double)rank;
    *module = (tn_adapter_module){ .name = strdup(name), .rank = rank, .inputs = place->cols, .outputs = place->rows,
                                   .alpha = alpha, .scale = adapter->strength * alpha / divisor,
                                   .parts = place->row->parts, .slot = place->slot,
                                   .vision = place->network->layout->kind == TN_NETWORK_IMAGES };
    adapter->module_count++;
    module->a = calloc(rank * module->inputs, sizeof *module->a);
    module->b = calloc(rank * module->outputs, sizeof *module->b);
    module->loras = calloc(module->parts, sizeof *module->loras);
    if (module->name == NULL || module->a == NULL || module->b == NULL || module->loras == NULL)
        return tn_fail(error, TENEBRA_ERROR_MEMORY, name, "no memory for an adapter of rank %zu", rank);
    return TENEBRA_OK;
}

void tn_adapter_refresh(tn_adapter *adapter)
{
    const tn_dtype type = sizeof(tn_real) == 8 ? TN_F64 : TN_F32;
    for (size_t i = 0; i < adapter->module_count; i++) {
        tn_adapter_module *m = &adapter->modules[i];
        size_t share = m->outputs / m->parts;
        for (size_t part = 0; part < m->parts; part++) {
            size_t offset = part * share * m->rank;
            tn_lora *lora = &m->loras[part];
            const tn_matrix a = { .type = type, .rows = m->rank, .cols = m->inputs, .data = m->a };
            const tn_matrix b = { .type = type, .rows = share, .cols = m->rank, .data = m->b + offset };
            tn_weight_bind(&lora->a, a, m->a_grad);
            tn_weight_bind(&lora->b, b, m->b_grad ? m->b_grad + offset : NULL);
            lora->scale = (tn_real)m->scale;
            lora->dropout = adapter->dropout;
            lora->pass = adapter->pass;
            lora->magnitude = m->magnitude ? m->magnitude + part * share : NULL;
        }
    }
}

/* --------------------------------------------------------------- making -- */

typedef struct making {
    tn_adapter *adapter;
    const tn_lora_options *options;
    tn_rng *rng;
    bool *used; /* one per target */
} making;

/* The value of the first pattern that matches one of the module's names. */
static tenebra_code exception_of(const tn_networks *networks, const tn_lora_pattern *patterns, size_t count, const char *name,
                                 double otherwise, double *value, tenebra_error *error)
{
    char other[TN_LORA_NAME_SIZE];
    TN_TRY(tn_lora_exception(patterns, count, name, (double)NAN, value, NULL, error));
    for (size_t which = 0; isnan(*value) && tn_lora_other_name(networks, name, which, other); which++)
        TN_TRY(tn_lora_exception(patterns, count, other, (double)NAN, value, NULL, error));
    *value = isnan(*value) ? otherwise : *value;
    return TENEBRA_OK;
}

static void mark_targets(const making *job, const char *name)
{
    const tn_lora_list *targets = &job->options->targets;
    char other[TN_LORA_NAME_SIZE];
    for (size_t i = 0; i < targets->count; i++) {
        job->used[i] |= tn_lora_is_end(targets->items[i], name);
        for (size_t which = 0; tn_lora_other_name(&job->adapter->model->networks, name, which, other); which++)
            job->used[i] |= tn_lora_is_end(targets->items[i], other);
    }
}

static tenebra_code make_module(void *user, const tn_place *place, tenebra_error *error)
{
    const making *job = user;
    const tn_lora_options *options = job->options;
    const tn_networks *networks = &job->adapter->model->networks;
    char name[TN_LORA_NAME_SIZE];
    bool target;
    double rank, alpha;
    if (!tn_lora_module_name(place, name))
        return TENEBRA_OK;
    if (!options->without_vision || place->network->layout->kind != TN_NETWORK_IMAGES)
        mark_targets(job, name);
    TN_TRY(tn_lora_is_target_by_any(networks, options, place, name, &target, error));
    if (!target)
        return TENEBRA_OK;
    TN_TRY(exception_of(networks, options->rank_patterns, options->rank_pattern_count, name, (double)options->rank, &rank, error));
    TN_TRY(exception_of(networks, options->alpha_patterns, options->alpha_pattern_count, name, options->alpha, &alpha, error));
    if (!(rank >= 1 && rank <= RANK_MAX))
        return tn_fail(error, TENEBRA_ERROR_ARGUMENT, name, "a rank of %g is not possible", rank);
    TN_TRY(tn_adapter_add_module(job->adapter, place, name, (size_t)rank, alpha, error));
    tn_adapter_module *module = &job->adapter->modules[job->adapter->module_count - 1];
    double bound = 1 / sqrt((double)module->inputs);
    for (size_t i = 0; i < module->rank * module->inputs; i++)
        module->a[i] = (tn_real)((2 * tn_rng_uniform(job->rng) - 1) * bound);
    return TENEBRA_OK;
}

/* "target_modules" in the form of a configuration. */
static char *targets_of(const tn_lora_list *targets)
{
    json_t *json = targets->pattern ? json_string(targets->pattern) : json_array();
    for (size_t i = 0; targets->pattern == NULL && i < targets->count; i++)
        json_array_append_new(json, json_string(targets->items[i]));
    char *text = json ? json_dumps(json, JSON_ENCODE_ANY | JSON_COMPACT) : NULL;
    json_decref(json);
    return text;
}

static tenebra_code make_modules(making *job, tenebra_error *error)
{
    tn_adapter *adapter = job->adapter;
    const tn_lora_list *targets = &job->options->targets;
    const char *outside = job->options->without_vision ? " outside of the image encoder, which is not trained" : "";
    char unused[160] = "";
    size_t count = 0;
    adapter->targets = targets_of(targets);
    if (adapter->targets == NULL || job->used == NULL)
        return tn_fail(error, TENEBRA_ERROR_MEMORY, "lora", "no memory");
    TN_TRY(tn_networks_each(&adapter->model->networks, make_module, job, error));
    if (adapter->module_count == 0)
        return tn_fail(error, TENEBRA_ERROR_ARGUMENT, "target_modules", "%s matches no module of the model%s", adapter->targets,
                       outside);
    for (size_t i = 0; i < targets->count; i++)
        if (!job->used[i])
            tn_lora_list_add(unused, sizeof unused, &count, targets->items[i]);
    if (count > 0)
        tn_adapter_note(adapter, "target_modules matches nothing%s: %s", outside, unused);
    return TENEBRA_OK;
}

tenebra_code tn_adapter_make(tn_model *model, const tn_lora_options *options, tn_rng *rng, tn_adapter **made, tenebra_error *error)
{
    *made = NULL;
    if (options->rank < 1 || options->rank > RANK_MAX || !(options->dropout >= 0 && options->dropout < 1) ||
        !isfinite(options->alpha))
        return tn_fail(error, TENEBRA_ERROR_ARGUMENT, "lora", "a rank of %zu, an alpha of %g and a dropout of %g are not possible",
                       options->rank, options->alpha, options->dropout);
    tn_adapter *adapter = calloc(1, sizeof *adapter);
    if (adapter == NULL)
        return tn_fail_memory(error, "lora");
    *adapter = (tn_adapter){ .model = model, .dropout = options->dropout, .strength = 1, .rslora = options->rslora,
                             .rank = options->rank, .alpha = options->alpha };
    making job = { adapter, options, rng, calloc(options->targets.count + 1, sizeof *job.used) };
    tenebra_code code = make_modules(&job, error);
    free(job.used);
    if (code != TENEBRA_OK) {
        tn_adapter_close(adapter);
        return code;
    }
    tn_adapter_refresh(adapter);
    *made = adapter;
    return TENEBRA_OK;
}

/* ------------------------------------------------------------ attaching -- */

void tn_adapter_attach(tn_adapter *adapter)
{
    if (!adapter->attached)
        tn_adapter_swap(adapter, true);
    for (size_t i = 0; i < adapter->module_count && !adapter->attached; i++)
        for (size_t part = 0; part < adapter->modules[i].parts; part++) {
            tn_weight *weight = &adapter->modules[i].slot[part];
            adapter->modules[i].loras[part].next = weight->lora;
            weight->lora = &adapter->modules[i].loras[part];
        }
    adapter->attached = true;
}

void tn_adapter_detach(tn_adapter *adapter)
{
    if (adapter->attached)
        tn_adapter_swap(adapter, false);
    for (size_t i = 0; i < adapter->module_count && adapter->attached; i++)
        for (size_t part = 0; part < adapter->modules[i].parts; part++) {
            tn_lora *mine = &adapter->modules[i].loras[part];
            tn_lora **link = &adapter->modules[i].slot[part].lora;
            while (*link != NULL && *link != mine)
                link = &(*link)->next;
            if (*link == mine)
                *link = mine->next;
        }
    adapter->attached = false;
}

/* Adds scale * b A to columns begin .. begin+count-1 of a row; each sum is in the order of the rank. */
enum { MERGED_TOGETHER = 256 };
static void merge_columns(const tn_adapter_module *m, const tn_real *b, size_t begin, size_t count, tn_real *values)
{
    double sums[MERGED_TOGETHER] = { 0 };
    for (size_t r = 0; r < m->rank; r++)
        for (size_t k = 0; k < count; k++)
            sums[k] += (double)b[r] * (double)m->a[r * m->inputs + begin + k];
    for (size_t k = 0; k < count; k++)
        values[begin + k] += (tn_real)(m->scale * sums[k]);
}

bool tn_adapter_merge(const tn_adapter *adapter, const char *name, size_t begin, size_t count, tn_real *values)
{
    size_t length = strlen(name), tail = strlen(".weight");
    for (size_t i = 0; i < adapter->module_count; i++) {
        const tn_adapter_module *m = &adapter->modules[i];
        if (length != strlen(m->name) + tail || strncmp(name, m->name, length - tail) != 0 ||
            strcmp(name + length - tail, ".weight") != 0)
            continue;
        for (size_t row = 0; row < count && begin + row < m->outputs; row++) {
            tn_real *line = values + row * m->inputs;
            for (size_t column = 0; column < m->inputs; column += MERGED_TOGETHER)
                merge_columns(m, m->b + (begin + row) * m->rank, column, tn_min(MERGED_TOGETHER, m->inputs - column), line);
            for (size_t column = 0; m->magnitude != NULL && column < m->inputs; column++)
                line[column] *= m->magnitude[begin + row];
        }
        return true;
    }
    return false;
}

void tn_adapter_close(tn_adapter *adapter)
{
    if (adapter == NULL)
        return;
    tn_adapter_detach(adapter);
    for (size_t i = 0; i < adapter->module_count; i++) {
        free(adapter->modules[i].name);
        free(adapter->modules[i].a);
        free(adapter->modules[i].b);
        free(adapter->modules[i].magnitude);
        free(adapter->modules[i].loras);
    }
    for (size_t i = 0; i < adapter->replacement_count; i++)
        free(adapter->replacements[i].memory);
    free(adapter->replacements);
    tn_store_close(adapter->store);
    free(adapter->modules);
    free(adapter->targets);
    free(adapter);
}
