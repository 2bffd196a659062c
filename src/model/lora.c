#include "model/lora_parts.h"

#include "base/checked.h"

#define PCRE2_CODE_UNIT_WIDTH 8
#include <math.h>
#include <pcre2.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { RANK_MAX = 65536 };

/* -------------------------------------------------------------- targets -- */

/* Whether the whole of `name` fits `pattern`, as Python's re.fullmatch. */
static tenebra_code fits_whole(const char *pattern, const char *name, bool *fits, tenebra_error *error)
{
    int problem;
    size_t at;
    *fits = false;
    pcre2_code *code = pcre2_compile((PCRE2_SPTR)pattern, PCRE2_ZERO_TERMINATED, PCRE2_ANCHORED | PCRE2_ENDANCHORED | PCRE2_UTF,
                                     &problem, &at, NULL);
    if (code == NULL) {
        char reason[128] = "";
        pcre2_get_error_message(problem, (PCRE2_UCHAR *)reason, sizeof reason);
        return tn_fail(error, TENEBRA_ERROR_ARGUMENT, "target_modules", "'%s' is no regular expression: %s at character %zu",
                       pattern, reason, at);
    }
    pcre2_match_context *context = pcre2_match_context_create(NULL);
    pcre2_match_data *data = pcre2_match_data_create_from_pattern(code, NULL);
    int found = PCRE2_ERROR_NOMEMORY;
    if (context != NULL && data != NULL) {
        pcre2_set_match_limit(context, 1000000); /* an expression that runs away ends */
        found = pcre2_match(code, (PCRE2_SPTR)name, strlen(name), 0, 0, data, context);
    }
    pcre2_match_data_free(data);
    pcre2_match_context_free(context);
    pcre2_code_free(code);
    *fits = found >= 0;
    if (found >= 0 || found == PCRE2_ERROR_NOMATCH)
        return TENEBRA_OK;
    return tn_fail(error, TENEBRA_ERROR_LIMIT, "target_modules", "the regular expression '%s' takes too long on %s", pattern,
                   name);
}

/* The whole name, or an end of it that starts behind a '.'. */
static bool is_end_of(const char *target, const char *name)
{
    size_t wanted = strlen(target), length = strlen(name);
    return wanted <= length && strcmp(name + length - wanted, target) == 0 &&
           (wanted == length || name[length - wanted - 1] == '.');
}

tenebra_code tn_lora_exception(const tn_lora_pattern *patterns, size_t count, const char *name, double otherwise,
                               double *value, tenebra_error *error)
{
    *value = otherwise;
    for (size_t i = 0; i < count; i++) {
        char whole[2 * TN_STORED_NAME_MAX];
        bool fits;
        if (snprintf(whole, sizeof whole, "(.*\\.)?(%s)", patterns[i].name) >= (int)sizeof whole)
            return tn_fail(error, TENEBRA_ERROR_LIMIT, "rank_pattern", "a pattern is too long");
        TN_TRY(fits_whole(whole, name, &fits, error));
        if (fits) {
            *value = patterns[i].value;
            return TENEBRA_OK;
        }
    }
    return TENEBRA_OK;
}

/* A regular expression may be written for any of the names that the backbone knows for a module. */
static tenebra_code fits_any_name(const tn_backbone *backbone, const char *pattern, const char *name, bool *fits,
                                  tenebra_error *error)
{
    TN_TRY(fits_whole(pattern, name, fits, error));
    for (const tn_rename *rename = backbone->renames; !*fits && rename->stored != NULL; rename++) {
        char other[2 * TN_STORED_NAME_MAX];
        size_t prefix = strlen(rename->canonical);
        if (strncmp(name, rename->canonical, prefix) != 0)
            continue;
        snprintf(other, sizeof other, "%s%s", rename->stored, name + prefix);
        TN_TRY(fits_whole(pattern, other, fits, error));
    }
    return TENEBRA_OK;
}

static tenebra_code is_target(const tn_backbone *backbone, const tn_lora_options *options, const char *name,
                              const tn_place *place, bool *target, tenebra_error *error)
{
    *target = false;
    if (options->without_vision && place->vision)
        return TENEBRA_OK;
    if (options->pattern != NULL && strcmp(options->pattern, "all-linear") == 0)
        *target = place->linear && !place->head;
    else if (options->pattern != NULL)
        TN_TRY(fits_any_name(backbone, options->pattern, name, target, error));
    for (size_t i = 0; i < options->target_count && !*target; i++)
        *target = is_end_of(options->targets[i], name);
    return TENEBRA_OK;
}

/* -------------------------------------------------------------- modules -- */

bool tn_lora_module_name(const tn_place *place, char *name)
{
    static const char end[] = ".weight";
    size_t length = strlen(place->name), tail = sizeof end - 1;
    if (!place->row->matrix || length <= tail || strcmp(place->name + length - tail, end) != 0)
        return false;
    memcpy(name, place->name, length - tail);
    name[length - tail] = '\0';
    return true;
}

tenebra_code tn_adapter_add_module(tn_adapter *adapter, const tn_place *place, const char *name, size_t rank, double alpha,
                                   tenebra_error *error)
{
    if (!place->linear)
        return tn_fail(error, TENEBRA_ERROR_UNSUPPORTED, name, "is no linear layer; adapters of other layers do not exist here");
    if (rank < 1 || rank > RANK_MAX || !isfinite(alpha))
        return tn_fail(error, TENEBRA_ERROR_ARGUMENT, name, "a rank of %zu and an alpha of %g are not possible", rank, alpha);
    tn_adapter_module *modules = realloc(adapter->modules, (adapter->module_count + 1) * sizeof *modules);
    if (modules == NULL)
        return tn_fail(error, TENEBRA_ERROR_MEMORY, name, "no memory");
    adapter->modules = modules;
    tn_adapter_module *module = &modules[adapter->module_count];
    double divisor = adapter->rslora ? sqrt((double)rank) : (double)rank;
    *module = (tn_adapter_module){ .name = strdup(name), .rank = rank, .inputs = place->cols, .outputs = place->rows,
                                   .alpha = alpha, .scale = adapter->strength * alpha / divisor,
                                   .parts = place->row->parts, .slot = place->slot, .vision = place->vision };
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
            lora->a.matrix = (tn_matrix){ .type = type, .rows = m->rank, .cols = m->inputs, .data = m->a };
            lora->b.matrix = (tn_matrix){ .type = type, .rows = share, .cols = m->rank, .data = m->b + offset };
            lora->a.grad = m->a_grad;
            lora->b.grad = m->b_grad ? m->b_grad + offset : NULL;
            lora->scale = (tn_real)m->scale;
            lora->dropout = adapter->dropout;
            lora->pass = adapter->pass;
        }
    }
}

/* --------------------------------------------------------------- making -- */

typedef struct making {
    tn_adapter *adapter;
    const tn_lora_options *options;
    tn_rng *rng;
} making;

static tenebra_code make_module(void *user, const tn_place *place, tenebra_error *error)
{
    const making *job = user;
    const tn_lora_options *options = job->options;
    char name[TN_STORED_NAME_MAX + 1];
    bool target;
    double rank, alpha;
    if (!tn_lora_module_name(place, name))
        return TENEBRA_OK;
    TN_TRY(is_target(job->adapter->model->backbone, options, name, place, &target, error));
    if (!target)
        return TENEBRA_OK;
    TN_TRY(tn_lora_exception(options->rank_patterns, options->rank_pattern_count, name, (double)options->rank, &rank, error));
    TN_TRY(tn_lora_exception(options->alpha_patterns, options->alpha_pattern_count, name, options->alpha, &alpha, error));
    if (!(rank >= 1 && rank <= RANK_MAX))
        return tn_fail(error, TENEBRA_ERROR_ARGUMENT, name, "a rank of %g is not possible", rank);
    TN_TRY(tn_adapter_add_module(job->adapter, place, name, (size_t)rank, alpha, error));
    tn_adapter_module *module = &job->adapter->modules[job->adapter->module_count - 1];
    double bound = 1 / sqrt((double)module->inputs);
    for (size_t i = 0; i < module->rank * module->inputs; i++)
        module->a[i] = (tn_real)((2 * tn_rng_uniform(job->rng) - 1) * bound);
    return TENEBRA_OK;
}

/* "target_modules" as a configuration says it. */
static char *targets_of(const tn_lora_options *options)
{
    json_t *json = options->pattern ? json_string(options->pattern) : json_array();
    for (size_t i = 0; options->pattern == NULL && i < options->target_count; i++)
        json_array_append_new(json, json_string(options->targets[i]));
    char *text = json ? json_dumps(json, JSON_ENCODE_ANY | JSON_COMPACT) : NULL;
    json_decref(json);
    return text;
}

tn_adapter *tn_adapter_make(tn_model *model, const tn_lora_options *options, tn_rng *rng, tenebra_error *error)
{
    if (options->rank < 1 || options->rank > RANK_MAX || !(options->dropout >= 0 && options->dropout < 1) ||
        !isfinite(options->alpha)) {
        tn_fail(error, TENEBRA_ERROR_ARGUMENT, "lora", "a rank of %zu, an alpha of %g and a dropout of %g are not possible",
                options->rank, options->alpha, options->dropout);
        return NULL;
    }
    tn_adapter *adapter = calloc(1, sizeof *adapter);
    if (adapter == NULL) {
        tn_fail(error, TENEBRA_ERROR_MEMORY, "lora", "no memory");
        return NULL;
    }
    *adapter = (tn_adapter){ .model = model, .dropout = options->dropout, .strength = 1, .rslora = options->rslora,
                             .rank = options->rank, .alpha = options->alpha, .targets = targets_of(options) };
    making job = { adapter, options, rng };
    tenebra_code code = adapter->targets ? tn_model_each_place(model, make_module, &job, error)
                                         : tn_fail(error, TENEBRA_ERROR_MEMORY, "lora", "no memory");
    if (code == TENEBRA_OK && adapter->module_count == 0)
        code = tn_fail(error, TENEBRA_ERROR_ARGUMENT, "target_modules", "%s fits no module of the model", adapter->targets);
    if (code != TENEBRA_OK) {
        tn_adapter_close(adapter);
        return NULL;
    }
    tn_adapter_refresh(adapter);
    return adapter;
}

/* ------------------------------------------------------------ attaching -- */

void tn_adapter_attach(tn_adapter *adapter)
{
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

bool tn_adapter_merge(const tn_adapter *adapter, const char *name, size_t begin, size_t count, tn_real *values)
{
    size_t length = strlen(name), tail = strlen(".weight");
    for (size_t i = 0; i < adapter->module_count; i++) {
        const tn_adapter_module *m = &adapter->modules[i];
        if (length != strlen(m->name) + tail || strncmp(name, m->name, length - tail) != 0 ||
            strcmp(name + length - tail, ".weight") != 0)
            continue;
        for (size_t row = 0; row < count && begin + row < m->outputs; row++)
            for (size_t column = 0; column < m->inputs; column++) {
                double sum = 0;
                for (size_t r = 0; r < m->rank; r++)
                    sum += (double)m->b[(begin + row) * m->rank + r] * (double)m->a[r * m->inputs + column];
                values[row * m->inputs + column] += (tn_real)(m->scale * sum);
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
        free(adapter->modules[i].loras);
    }
    free(adapter->modules);
    free(adapter->targets);
    free(adapter);
}
