/* Reads adapters in PEFT's format: adapter_config.json and a file of tensors. */
#include "base/checked.h"
#include "base/file.h"
#include "model/lora_parts.h"
#include "store/writer.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* -------------------------------------------------------------- entries -- */

typedef enum entry_kind { MATRIX_A, MATRIX_B, MAGNITUDE, TOKENS, EMBEDDING, WHOLE } entry_kind;

/* A tensor of the file: its kind and its module. */
typedef struct entry {
    const tn_stored *stored;
    entry_kind kind;
    const char *module; /* [length] the module's name in the file: not terminated */
    size_t length;
    const char *leaf;   /* of WHOLE: "weight" or "bias" */
    char canonical[TN_PLACE_NAME]; /* the module's own name; if the model has no such module, that in the file */
    bool used;
} entry;

typedef struct reading {
    tn_adapter *adapter;
    const tn_store *store;
    bool inner;             /* the store is the model's, and there is no configuration */
    tn_lora_config config;
    entry *entries;
    size_t count;
    bool renamed;           /* the file uses other names than the canonical ones   */
    char embedding[TN_LORA_NAME_SIZE], head[TN_LORA_NAME_SIZE]; /* their modules   */
    bool *rank_used, *alpha_used, *target_used, *saved_used;    /* one per pattern */
    size_t missing;         /* targets without tensors                             */
    char example[TN_LORA_NAME_SIZE];
} reading;

/* Whether `rest` is empty, or ".NAME" with the name of an adapter. */
static bool is_adapter_name(const char *rest) { return rest[0] == '\0' || (rest[0] == '.' && strchr(rest + 1, '.') == NULL); }

/* Whether `rest` is "weight", or "NAME.weight". */
static bool is_weight_of(const char *rest)
{
    const char *dot = strchr(rest, '.');
    return strcmp(rest, "weight") == 0 || (dot != NULL && dot > rest && strcmp(dot, ".weight") == 0);
}

/* A tensor of the model itself: "MODULE.leaf", possibly with names that PEFT inserts between the two. */
static entry whole_of(const tn_stored *stored, const char *name)
{
    static const char base[] = ".base_layer", saved[] = ".modules_to_save.";
    const char *dot = strrchr(name, '.'), *copy = strstr(name, saved);
    entry e = { .stored = stored, .kind = WHOLE, .module = name, .leaf = dot != NULL ? dot + 1 : "" };
    e.length = dot != NULL ? (size_t)(dot - name) : 0;
    if (copy != NULL && copy < dot && strchr(copy + sizeof saved - 1, '.') == dot)
        e.length = (size_t)(copy - name);
    else if (e.length > sizeof base - 1 && strncmp(dot - (sizeof base - 1), base, sizeof base - 1) == 0)
        e.length -= sizeof base - 1;
    return e;
}

static entry entry_of(const tn_stored *stored)
{
    static const struct { const char *mark; entry_kind kind; } marks[] = {
        { ".lora_A.", MATRIX_A }, { ".lora_B.", MATRIX_B }, { ".lora_magnitude_vector", MAGNITUDE },
        { ".token_adapter.trainable_tokens_delta", TOKENS }, { ".trainable_tokens_delta", TOKENS },
        { ".lora_embedding_A", EMBEDDING }, { ".lora_embedding_B", EMBEDDING },
    };
    const char *name = tn_wrapped_name(stored->name);
    for (size_t i = 0; i < sizeof marks / sizeof *marks; i++) {
        const char *at = strstr(name, marks[i].mark), *rest = at != NULL ? at + strlen(marks[i].mark) : NULL;
        bool matrix = marks[i].kind == MATRIX_A || marks[i].kind == MATRIX_B;
        if (at != NULL && (matrix ? is_weight_of(rest) : is_adapter_name(rest) || (rest[0] == '.' && is_weight_of(rest + 1))))
            return (entry){ .stored = stored, .kind = marks[i].kind, .module = name, .length = (size_t)(at - name) };
    }
    return whole_of(stored, name);
}

bool tn_lora_is_part(const char *name)
{
    const tn_stored stored = { .name = name };
    return entry_of(&stored).kind < WHOLE;
}

/* Finds the entry of this kind and marks it as used; *found is NULL if there is none. Errors: MISMATCH (there are two). */
static tenebra_code find_entry(const reading *r, const char *module, entry_kind kind, const char *leaf, entry **found,
                               tenebra_error *error)
{
    *found = NULL;
    for (size_t i = 0; i < r->count; i++) {
        entry *e = &r->entries[i];
        if (e->kind != kind || (kind == WHOLE && strcmp(e->leaf, leaf) != 0) || strcmp(e->canonical, module) != 0)
            continue;
        if (*found != NULL)
            return tn_fail(error, TENEBRA_ERROR_MISMATCH, e->stored->name, "is in the file twice, also as %s",
                           (*found)->stored->name);
        *found = e;
        e->used = true;
    }
    return TENEBRA_OK;
}

/* The module's name as the file spells it. */
static void own_name(const entry *e, char *name) { snprintf(name, TN_LORA_NAME_SIZE, "%.*s", (int)e->length, e->module); }

/* The name that the file would use for a module that it does not contain. */
static void name_in_file(const reading *r, const char *canonical, char *name)
{
    if (!r->renamed || !tn_lora_other_name(&r->adapter->model->networks, canonical, 0, name))
        snprintf(name, TN_LORA_NAME_SIZE, "%s", canonical);
}

/* -------------------------------------------------------------- modules -- */

static bool is_plain(const tn_stored *stored)
{
    return stored->form.is_weight && stored->form.order == TN_ROWS && tn_dtype_of(stored->form.type)->block == 1;
}

static tenebra_code fill_module(const reading *r, const tn_place *place, const char *name, const entry *of_a,
                                const entry *of_b, tenebra_error *error)
{
    const tn_lora_options *o = &r->config.options;
    const tn_stored *a = of_a->stored, *b = of_b->stored;
    double rank, alpha;
    char own[TN_LORA_NAME_SIZE];
    if (a->rank != 2 || b->rank != 2 || !is_plain(a) || !is_plain(b) || a->shape[1] != place->cols ||
        b->shape[0] != place->rows || a->shape[0] != b->shape[1] || a->shape[0] == 0)
        return tn_fail(error, TENEBRA_ERROR_MISMATCH, a->name, "A [%zu, %zu] and B [%zu, %zu] do not match the matrix [%zu, %zu]",
                       a->rank == 2 ? a->shape[0] : 0, a->rank == 2 ? a->shape[1] : 0, b->rank == 2 ? b->shape[0] : 0,
                       b->rank == 2 ? b->shape[1] : 0, place->rows, place->cols);
    own_name(of_a, own);
    TN_TRY(tn_lora_exception(o->rank_patterns, o->rank_pattern_count, own, (double)o->rank, &rank, r->rank_used, error));
    TN_TRY(tn_lora_exception(o->alpha_patterns, o->alpha_pattern_count, own, o->alpha, &alpha, r->alpha_used, error));
    if (!r->inner && (double)a->shape[0] != rank)
        return tn_fail(error, TENEBRA_ERROR_MISMATCH, a->name, "has rank %zu, adapter_config.json says %g", a->shape[0], rank);
    TN_TRY(tn_adapter_add_module(r->adapter, place, name, a->shape[0], alpha, error));
    tn_adapter_module *module = &r->adapter->modules[r->adapter->module_count - 1];
    tn_dtype_of(a->form.type)->unpack(a->data, a->elements, module->a);
    tn_dtype_of(b->form.type)->unpack(b->data, b->elements, module->b);
    return TENEBRA_OK;
}

/* Compares a module with the configuration: whether the file should have a pair for it. */
static tenebra_code check_target(reading *r, const tn_place *place, const char *name, const entry *pair, tenebra_error *error)
{
    const tn_lora_options *options = &r->config.options;
    char own[TN_LORA_NAME_SIZE];
    bool target;
    if (pair != NULL)
        own_name(pair, own);
    else
        name_in_file(r, name, own);
    for (size_t i = 0; i < options->targets.count; i++)
        r->target_used[i] |= tn_lora_is_end(options->targets.items[i], own) || tn_lora_is_end(options->targets.items[i], name);
    TN_TRY(tn_lora_is_target(options, place, own, &target, error));
    if (pair != NULL && !target)
        TN_TRY(tn_lora_is_target_by_any(&r->adapter->model->networks, options, place, name, &target, error));
    if (pair != NULL && !target && (options->targets.count > 0 || options->targets.pattern != NULL))
        return tn_fail(error, TENEBRA_ERROR_MISMATCH, pair->stored->name,
                "is in the file, but according to target_modules, exclude_modules, layers_to_transform and modules_to_save the "
                "module has no adapter");
    if (pair == NULL && target && r->missing++ == 0)
        snprintf(r->example, sizeof r->example, "%s", own);
    return TENEBRA_OK;
}

static tenebra_code read_pair(reading *r, const tn_place *place, const char *name, tenebra_error *error)
{
    entry *a, *b;
    TN_TRY(find_entry(r, name, MATRIX_A, NULL, &a, error));
    TN_TRY(find_entry(r, name, MATRIX_B, NULL, &b, error));
    TN_TRY(check_target(r, place, name, a != NULL ? a : b, error));
    if (a == NULL && b == NULL)
        return TENEBRA_OK;
    if (a == NULL || b == NULL)
        return tn_fail(error, TENEBRA_ERROR_MISMATCH, a ? a->stored->name : b->stored->name, "has no counterpart: %s is missing",
                       a ? "lora_B" : "lora_A");
    return fill_module(r, place, name, a, b, error);
}

/* --------------------------------------------------------- whole tensors -- */

/* Whether modules_to_save match, as in PEFT: by the end of the name of the module, or of a module that contains it. */
static bool is_saved(const reading *r, const entry *e)
{
    const tn_lora_list *saved = &r->config.options.saved;
    bool found = false;
    for (size_t i = 0; i < saved->count; i++) {
        size_t wanted = strlen(saved->items[i]);
        for (size_t end = wanted; end <= e->length; end++)
            if ((end == e->length || e->module[end] == '.') &&
                memcmp(e->module + end - wanted, saved->items[i], wanted) == 0) {
                r->saved_used[i] = found = true;
                break;
            }
    }
    return found;
}

static bool is_vocabulary(const tn_place *place)
{
    return place->row->role == TN_ROLE_EMBEDDING || place->row->role == TN_ROLE_HEAD;
}

/* If embedding and head are one matrix, the other one of the two, else NULL. */
static const char *twin_of(const reading *r, const tn_place *place)
{
    if (!is_vocabulary(place) || !r->adapter->model->networks.tied)
        return NULL;
    return place->row->role == TN_ROLE_EMBEDDING ? r->head : r->embedding;
}

/* Reads a complete tensor for the place. Copies of modules_to_save replace only their module. A tensor that is not named there
 * (PEFT saves embeddings in this way) overwrites the model's own, and therefore both of two tied ones. */
static tenebra_code read_whole(reading *r, const tn_place *place, const char *module, const char *leaf, tenebra_error *error)
{
    entry *e;
    const char *twin = twin_of(r, place);
    TN_TRY(find_entry(r, module, WHOLE, leaf, &e, error));
    if (e != NULL && !is_saved(r, e) && !is_vocabulary(place)) {
        e->used = false;
        return TENEBRA_OK;
    }
    if (e == NULL && twin != NULL) {
        TN_TRY(find_entry(r, twin, WHOLE, leaf, &e, error));
        e = e != NULL && (!is_saved(r, e) || r->config.tied) ? e : NULL;
    }
    return e != NULL ? tn_adapter_replace(r->adapter, place, e->stored, error) : TENEBRA_OK;
}

/* Rows of the embedding, which a tied head shares, or of the head. */
static tenebra_code read_tokens(reading *r, const tn_place *place, const char *module, tenebra_error *error)
{
    entry *e;
    const char *owner = module;
    tn_lora_tokens *tokens = NULL;
    TN_TRY(find_entry(r, module, TOKENS, NULL, &e, error));
    if (e == NULL && place->row->role == TN_ROLE_HEAD && r->adapter->model->networks.tied) {
        owner = r->embedding;
        TN_TRY(find_entry(r, owner, TOKENS, NULL, &e, error));
    }
    if (e == NULL)
        return TENEBRA_OK;
    for (size_t i = 0; i < r->config.token_count; i++) {
        tn_lora_tokens *each = &r->config.tokens[i];
        if (each->module != NULL ? tn_lora_is_end(each->module, owner) : owner == r->embedding || place->row->role == TN_ROLE_EMBEDDING)
            tokens = each;
    }
    if (tokens == NULL)
        return tn_fail(error, TENEBRA_ERROR_MISMATCH, e->stored->name, "\"trainable_token_indices\" does not say of which tokens");
    tokens->used = true;
    return tn_adapter_replace_rows(r->adapter, place, e->stored, tokens->ids, tokens->count, error);
}

/* ------------------------------------------------------------ all of it -- */

static tenebra_code read_place(void *user, const tn_place *place, tenebra_error *error)
{
    reading *r = user;
    char module[TN_LORA_NAME_SIZE];
    const char *dot = strrchr(place->name, '.');
    snprintf(module, sizeof module, "%.*s", dot ? (int)(dot - place->name) : 0, place->name);
    if (tn_place_is_matrix(place))
        TN_TRY(read_pair(r, place, module, error));
    TN_TRY(read_whole(r, place, module, dot ? dot + 1 : "", error));
    return is_vocabulary(place) ? read_tokens(r, place, module, error) : TENEBRA_OK;
}

static tenebra_code find_ends(void *user, const tn_place *place, tenebra_error *error)
{
    reading *r = user;
    (void)error;
    if (place->row->role == TN_ROLE_EMBEDDING)
        tn_lora_module_name(place, r->embedding);
    if (place->row->role == TN_ROLE_HEAD)
        tn_lora_module_name(place, r->head);
    return TENEBRA_OK;
}

static tenebra_code read_magnitudes(reading *r, tenebra_error *error)
{
    for (size_t i = 0; i < r->adapter->module_count && r->config.dora; i++) {
        tn_adapter_module *module = &r->adapter->modules[i];
        entry *e;
        TN_TRY(find_entry(r, module->name, MAGNITUDE, NULL, &e, error));
        if (e == NULL)
            return tn_fail(error, TENEBRA_ERROR_MISMATCH, module->name, "has no lora_magnitude_vector, though \"use_dora\" is set");
        TN_TRY(tn_adapter_add_magnitude(r->adapter, module, e->stored, error));
    }
    return TENEBRA_OK;
}

static tenebra_code check_used(const reading *r, tenebra_error *error)
{
    const tn_adapter *adapter = r->adapter;
    for (size_t i = 0; i < r->count; i++) {
        const entry *e = &r->entries[i];
        if (!e->used && e->kind == EMBEDDING)
            return tn_fail(error, TENEBRA_ERROR_UNSUPPORTED, e->stored->name,
                    "is a low-rank adapter of an embedding, which is not supported; modules_to_save and trainable_token_indices "
                    "are");
        if (!e->used)
            return tn_fail(error, TENEBRA_ERROR_MISMATCH, e->stored->name, "does not belong to a matrix of the model %s%s",
                           adapter->model->directory, e->kind == MAGNITUDE && !r->config.dora ? ": \"use_dora\" is not set" : "");
    }
    if (adapter->module_count == 0 && adapter->replacement_count == 0)
        return tn_fail(error, TENEBRA_ERROR_MISMATCH, "adapter_config.json", "the adapter changes no module of the model");
    for (size_t i = 0; i < adapter->model->adapter_count; i++)
        for (size_t k = 0; k < adapter->replacement_count; k++)
            if (tn_adapter_replaces(adapter->model->adapters[i], &adapter->replacements[k]))
                return tn_fail(error, TENEBRA_ERROR_UNSUPPORTED, "adapter", "two adapters replace the same tensor of the model");
    bool whole = adapter->replacement_count > 0 || r->config.dora;
    return !whole || adapter->strength == 1 ? TENEBRA_OK
           : tn_fail(error, TENEBRA_ERROR_ARGUMENT, "strength", "must be 1 for an adapter with %s, which cannot be scaled",
                     r->config.dora ? "magnitudes (use_dora)" : "whole tensors or rows");
}

/* ---------------------------------------------------------------- notes -- */

static void note_unused(const reading *r, const char *key, const bool *used, const tn_lora_pattern *patterns,
                        const char *const *names, size_t count)
{
    char text[160] = "";
    size_t unused = 0;
    for (size_t i = 0; i < count; i++)
        if (!used[i])
            tn_lora_list_add(text, sizeof text, &unused, patterns != NULL ? patterns[i].name : names[i]);
    if (unused > 0)
        tn_adapter_note(r->adapter, "%s matches nothing: %s", key, text);
}

/* Whether another list, whose rows the file has, names the same tokens: PEFT saves rows of a tied head once. */
static bool is_shared(const reading *r, const tn_lora_tokens *tokens)
{
    for (size_t i = 0; i < r->config.token_count && r->adapter->model->networks.tied; i++) {
        const tn_lora_tokens *other = &r->config.tokens[i];
        if (other->used && other->count == tokens->count && memcmp(other->ids, tokens->ids, tokens->count * sizeof *tokens->ids) == 0)
            return true;
    }
    return false;
}

static void note_tokens(const reading *r)
{
    for (size_t i = 0; i < r->config.token_count; i++) {
        const tn_lora_tokens *tokens = &r->config.tokens[i];
        if (!tokens->used && tokens->count > 0 && !is_shared(r, tokens))
            tn_adapter_note(r->adapter, "trainable_token_indices lists %zu token%s of %.60s, whose rows the file does not contain: they "
                            "stay as they are", tokens->count, tokens->count == 1 ? "" : "s",
                            tokens->module != NULL ? tokens->module : r->embedding);
    }
}

static void note_all(const reading *r)
{
    const tn_lora_options *options = &r->config.options;
    note_unused(r, "target_modules", r->target_used, NULL, options->targets.items, options->targets.count);
    note_unused(r, "modules_to_save", r->saved_used, NULL, options->saved.items, options->saved.count);
    note_unused(r, "rank_pattern", r->rank_used, options->rank_patterns, NULL, options->rank_pattern_count);
    note_unused(r, "alpha_pattern", r->alpha_used, options->alpha_patterns, NULL, options->alpha_pattern_count);
    if (r->missing > 0)
        tn_adapter_note(r->adapter, "target_modules matches %zu modules that the file does not contain, such as %s: they stay as they "
                        "are", r->missing, r->example);
    note_tokens(r);
}

/* -------------------------------------------------------------- opening -- */

static tenebra_code list_entries(reading *r, tenebra_error *error)
{
    const tn_lora_options *options = &r->config.options;
    size_t flags = options->rank_pattern_count + options->alpha_pattern_count + options->targets.count + options->saved.count;
    r->entries = calloc(tn_store_count(r->store) + 1, sizeof *r->entries);
    r->rank_used = calloc(flags + 1, sizeof *r->rank_used);
    if (r->entries == NULL || r->rank_used == NULL)
        return tn_fail(error, TENEBRA_ERROR_MEMORY, "adapter", "no memory for a list of %zu tensors", tn_store_count(r->store));
    r->alpha_used = r->rank_used + options->rank_pattern_count;
    r->target_used = r->alpha_used + options->alpha_pattern_count;
    r->saved_used = r->target_used + options->targets.count;
    for (size_t i = 0; i < tn_store_count(r->store); i++) {
        entry *e = &r->entries[r->count];
        size_t which = 0;
        *e = entry_of(tn_store_at(r->store, i));
        if (r->inner && e->kind == WHOLE)
            continue;
        r->count++;
        r->config.dora |= r->inner && e->kind == MAGNITUDE;
        if (!tn_networks_rename(&r->adapter->model->networks, e->module, e->length, 0, e->canonical, &which))
            snprintf(e->canonical, sizeof e->canonical, "%.*s", (int)e->length, e->module);
        r->renamed |= which == 1;
    }
    return TENEBRA_OK;
}

static tenebra_code open_tensors(tn_adapter *adapter, const char *directory, tenebra_error *error)
{
    tn_path path, old;
    TN_TRY(tn_path_print(&path, error, "%s/%s", directory, TN_WRITER_ADAPTER));
    TN_TRY(tn_path_print(&old, error, "%s/adapter_model.bin", directory));
    bool first = tn_path_is_file(path.text) || !tn_path_is_file(old.text); /* older versions of PEFT write the other */
    return tn_store_open(first ? path.text : old.text, &adapter->store, error);
}

/* Reads all tensors, after the configuration. */
static tenebra_code read_tensors(reading *r, tenebra_error *error)
{
    const tn_networks *networks = &r->adapter->model->networks;
    TN_TRY(list_entries(r, error));
    TN_TRY(tn_networks_each(networks, find_ends, r, error));
    TN_TRY(tn_networks_each(networks, read_place, r, error));
    TN_TRY(read_magnitudes(r, error));
    TN_TRY(check_used(r, error));
    return tn_store_check(r->store, error);
}

static tenebra_code read_directory(reading *r, const char *directory, tenebra_error *error)
{
    tn_adapter *adapter = r->adapter;
    if (!tn_path_is_directory(directory))
        return tn_adapter_missing(directory, error);
    tn_path path;
    TN_TRY(tn_path_print(&path, error, "%s/adapter_config.json", directory));
    TN_TRY(tn_lora_config_read(&r->config, path.text, adapter, error));
    TN_TRY(tn_lora_config_check_tying(&r->config, adapter->model->networks.tied, error));
    TN_TRY(open_tensors(adapter, directory, error));
    r->store = adapter->store;
    TN_TRY(tn_store_verify(adapter->store, error)); /* adapters are small and read completely in any case */
    TN_TRY(read_tensors(r, error));
    note_all(r);
    return TENEBRA_OK;
}

static tenebra_code read_inner(reading *r, double alpha, tenebra_error *error)
{
    tn_adapter *adapter = r->adapter;
    r->config.options.alpha = adapter->alpha = alpha;
    TN_TRY(read_tensors(r, error));
    adapter->rank = adapter->module_count > 0 ? adapter->modules[0].rank : 0;
    adapter->targets = strdup("[]"); /* written as the names of all modules */
    return adapter->targets != NULL ? TENEBRA_OK : tn_fail_memory(error, "adapter");
}

/* Reads the adapter in `directory`, or, if that is NULL, the one in the model's own files. */
static tenebra_code open_adapter(tn_model *model, const char *directory, double strength, double alpha, tn_adapter **opened,
                                 tenebra_error *error)
{
    tn_adapter *adapter = calloc(1, sizeof *adapter);
    if (adapter == NULL)
        return tn_fail_memory(error, "adapter");
    adapter->model = model;
    adapter->strength = strength;
    reading r = { .adapter = adapter, .store = model->store, .inner = directory == NULL };
    tenebra_code code = r.inner ? read_inner(&r, alpha, error) : read_directory(&r, directory, error);
    tn_lora_config_free(&r.config);
    free(r.entries);
    free(r.rank_used);
    if (code != TENEBRA_OK) {
        tn_adapter_close(adapter);
        return code;
    }
    if (adapter->replacement_count == 0) {
        tn_store_close(adapter->store);
        adapter->store = NULL;
    }
    tn_adapter_refresh(adapter);
    *opened = adapter;
    return TENEBRA_OK;
}

tenebra_code tn_adapter_open(tn_model *model, const char *directory, double strength, tn_adapter **opened, tenebra_error *error)
{
    *opened = NULL;
    if (!isfinite(strength))
        return tn_fail(error, TENEBRA_ERROR_ARGUMENT, directory, "the strength of an adapter must be a number");
    return open_adapter(model, directory, strength, 0, opened, error);
}

tenebra_code tn_adapter_open_inner(tn_model *model, double alpha, tn_adapter **opened, tenebra_error *error)
{
    *opened = NULL;
    return open_adapter(model, NULL, 1, alpha, opened, error);
}
