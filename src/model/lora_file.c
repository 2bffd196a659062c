/* Adapters as PEFT keeps them: adapter_config.json and adapter_model.safetensors. */
#include "base/checked.h"
#include "base/file.h"
#include "model/lora_parts.h"
#include "store/writer.h"

#include <errno.h>
#include <fcntl.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

enum { CONFIG_LIMIT = 1 << 20 };
static const char config_name[] = "adapter_config.json", tensors_name[] = "adapter_model.safetensors";

/* ------------------------------------------------------- configuration -- */

/* Settings that would change what the adapter computes, and that this program does not do: refused when they are
 * set to something. */
static const char *const refused[] = { "use_dora", "lora_bias", "fan_in_fan_out", "modules_to_save", "layer_replication",
                                       "target_parameters", "trainable_token_indices", "use_qalora", "alora_invocation_tokens",
                                       "arrow_config", "corda_config", "eva_config", "loftq_config", NULL };

static bool is_set(const json_t *value)
{
    return value != NULL && !json_is_null(value) && !json_is_false(value) &&
           !(json_is_array(value) && json_array_size(value) == 0) && !(json_is_object(value) && json_object_size(value) == 0);
}

static tenebra_code check_kind(const json_t *json, const char *file, tenebra_error *error)
{
    const char *type = "LORA", *bias = "none";
    TN_TRY(tn_json_string(json, "peft_type", &type, file, error));
    TN_TRY(tn_json_string(json, "bias", &bias, file, error));
    if (strcmp(type, "LORA") != 0)
        return tn_fail(error, TENEBRA_ERROR_UNSUPPORTED, file, "\"peft_type\" is \"%s\"; adapters here are of type LORA", type);
    if (strcmp(bias, "none") != 0)
        return tn_fail(error, TENEBRA_ERROR_UNSUPPORTED, file, "\"bias\" is \"%s\"; adapters here train no bias", bias);
    for (const char *const *key = refused; *key != NULL; key++)
        if (is_set(json_object_get(json, *key)))
            return tn_fail(error, TENEBRA_ERROR_UNSUPPORTED, file, "\"%s\" is set, which plain LoRA does not know", *key);
    const json_t *start = json_object_get(json, "init_lora_weights");
    if (json_is_string(start) && strcmp(json_string_value(start), "gaussian") != 0)
        return tn_fail(error, TENEBRA_ERROR_UNSUPPORTED, file, "\"init_lora_weights\" is \"%s\", which changes the weights "
                       "below the adapter, too", json_string_value(start));
    return TENEBRA_OK;
}

static tenebra_code read_patterns(const json_t *json, const char *key, const char *file, tn_lora_pattern **patterns,
                                  size_t *count, tenebra_error *error)
{
    json_t *object = json_object_get(json, key);
    const char *name;
    json_t *value;
    *count = 0;
    *patterns = calloc(json_object_size(object) + 1, sizeof **patterns);
    if (*patterns == NULL)
        return tn_fail(error, TENEBRA_ERROR_MEMORY, file, "no memory");
    json_object_foreach(object, name, value) {
        if (!json_is_number(value) || strlen(name) > TN_STORED_NAME_MAX)
            return tn_fail(error, TENEBRA_ERROR_FORMAT, file, "\"%s\" must give names numbers", key);
        (*patterns)[(*count)++] = (tn_lora_pattern){ name, json_number_value(value) };
    }
    return TENEBRA_OK;
}

/* What a file says, borrowed from the JSON. */
typedef struct reading {
    tn_adapter *adapter;
    const char *file;
    const tn_store *store;
    json_t *json;
    tn_lora_pattern *ranks, *alphas;
    size_t rank_count, alpha_count;
    bool *used; /* one a stored tensor */
} reading;

static tenebra_code read_config(reading *r, tenebra_error *error)
{
    tn_adapter *adapter = r->adapter;
    adapter->rank = 8; /* PEFT's own defaults */
    adapter->alpha = 8;
    TN_TRY(check_kind(r->json, r->file, error));
    TN_TRY(tn_json_size(r->json, "r", 1, 65536, &adapter->rank, r->file, error));
    TN_TRY(tn_json_number(r->json, "lora_alpha", -1e9, 1e9, &adapter->alpha, r->file, error));
    TN_TRY(tn_json_number(r->json, "lora_dropout", 0, 0.999999, &adapter->dropout, r->file, error));
    TN_TRY(tn_json_bool(r->json, "use_rslora", &adapter->rslora, r->file, error));
    TN_TRY(read_patterns(r->json, "rank_pattern", r->file, &r->ranks, &r->rank_count, error));
    TN_TRY(read_patterns(r->json, "alpha_pattern", r->file, &r->alphas, &r->alpha_count, error));
    json_t *targets = json_object_get(r->json, "target_modules");
    adapter->targets = is_set(targets) ? json_dumps(targets, JSON_ENCODE_ANY | JSON_COMPACT) : strdup("[]");
    return adapter->targets ? TENEBRA_OK : tn_fail(error, TENEBRA_ERROR_MEMORY, r->file, "no memory");
}

/* -------------------------------------------------------------- tensors -- */

/* Names in files begin with what the training program wrapped the model in. */
static const char *without_wrapping(const char *name)
{
    static const char *const wrappings[] = { "module.", "base_causallm.", "base_model.model.", NULL };
    for (const char *const *w = wrappings; *w != NULL; w++)
        if (strncmp(name, *w, strlen(*w)) == 0)
            name += strlen(*w);
    return name;
}

/* Whether `stored` is "<module>.lora_<letter>.weight" or, with an adapter's name, "<module>.lora_<letter>.<name>.weight". */
static bool is_matrix_of(const char *stored, const char *module, char letter)
{
    char middle[16];
    size_t length = strlen(module);
    stored = without_wrapping(stored);
    if (strncmp(stored, module, length) != 0)
        return false;
    snprintf(middle, sizeof middle, ".lora_%c.", letter);
    stored += length;
    if (strncmp(stored, middle, strlen(middle)) != 0)
        return false;
    stored += strlen(middle);
    const char *dot = strchr(stored, '.');
    return strcmp(stored, "weight") == 0 || (dot != NULL && dot > stored && strcmp(dot, ".weight") == 0);
}

static tenebra_code find_matrix(const reading *r, const char *module, char letter, const tn_stored **found, tenebra_error *error)
{
    for (size_t i = 0; i < tn_store_count(r->store); i++) {
        const tn_stored *stored = tn_store_at(r->store, i);
        if (r->used[i] || !is_matrix_of(stored->name, module, letter))
            continue;
        if (*found != NULL)
            return tn_fail(error, TENEBRA_ERROR_MISMATCH, stored->name, "stands there twice, also as %s", (*found)->name);
        *found = stored;
        r->used[i] = true;
    }
    return TENEBRA_OK;
}

/* Looks under all names that the backbone knows for a module. */
static tenebra_code find_pair(const reading *r, const char *name, const tn_stored **a, const tn_stored **b, tenebra_error *error)
{
    *a = *b = NULL;
    TN_TRY(find_matrix(r, name, 'A', a, error));
    TN_TRY(find_matrix(r, name, 'B', b, error));
    for (const tn_rename *rename = r->adapter->model->backbone->renames; rename->stored != NULL; rename++) {
        char other[2 * TN_STORED_NAME_MAX];
        size_t prefix = strlen(rename->canonical);
        if (strncmp(name, rename->canonical, prefix) != 0)
            continue;
        snprintf(other, sizeof other, "%s%s", rename->stored, name + prefix);
        TN_TRY(find_matrix(r, other, 'A', a, error));
        TN_TRY(find_matrix(r, other, 'B', b, error));
    }
    return TENEBRA_OK;
}

static bool is_weight(const tn_stored *stored)
{
    const tn_store_type_traits *traits = tn_store_type_of(stored->type);
    return traits->is_weight && tn_dtype_of(traits->weight)->block == 1;
}

static tenebra_code fill_module(const reading *r, const tn_place *place, const char *name, const tn_stored *a,
                                const tn_stored *b, tenebra_error *error)
{
    double rank, alpha;
    if (a->rank != 2 || b->rank != 2 || !is_weight(a) || !is_weight(b) || a->shape[1] != place->cols ||
        b->shape[0] != place->rows || a->shape[0] != b->shape[1] || a->shape[0] == 0)
        return tn_fail(error, TENEBRA_ERROR_MISMATCH, a->name, "A [%zu, %zu] and B [%zu, %zu] do not fit the matrix [%zu, %zu]",
                       a->rank == 2 ? a->shape[0] : 0, a->rank == 2 ? a->shape[1] : 0, b->rank == 2 ? b->shape[0] : 0,
                       b->rank == 2 ? b->shape[1] : 0, place->rows, place->cols);
    TN_TRY(tn_lora_exception(r->ranks, r->rank_count, name, (double)r->adapter->rank, &rank, error));
    TN_TRY(tn_lora_exception(r->alphas, r->alpha_count, name, r->adapter->alpha, &alpha, error));
    if ((double)a->shape[0] != rank)
        return tn_fail(error, TENEBRA_ERROR_MISMATCH, a->name, "has rank %zu, %s says %g", a->shape[0], r->file, rank);
    TN_TRY(tn_adapter_add_module(r->adapter, place, name, a->shape[0], alpha, error));
    tn_adapter_module *module = &r->adapter->modules[r->adapter->module_count - 1];
    tn_dtype_of(tn_store_type_of(a->type)->weight)->unpack(a->data, a->elements, module->a);
    tn_dtype_of(tn_store_type_of(b->type)->weight)->unpack(b->data, b->elements, module->b);
    return TENEBRA_OK;
}

static tenebra_code read_module(void *user, const tn_place *place, tenebra_error *error)
{
    const reading *r = user;
    char name[TN_STORED_NAME_MAX + 1];
    const tn_stored *a, *b;
    if (!tn_lora_module_name(place, name))
        return TENEBRA_OK;
    TN_TRY(find_pair(r, name, &a, &b, error));
    if (a == NULL && b == NULL)
        return TENEBRA_OK;
    if (a == NULL || b == NULL)
        return tn_fail(error, TENEBRA_ERROR_MISMATCH, a ? a->name : b->name, "stands alone: its lora_%c is missing",
                       a ? 'B' : 'A');
    return fill_module(r, place, name, a, b, error);
}

static tenebra_code read_tensors(reading *r, tenebra_error *error)
{
    r->used = calloc(tn_store_count(r->store) + 1, sizeof *r->used);
    if (r->used == NULL)
        return tn_fail(error, TENEBRA_ERROR_MEMORY, r->file, "no memory");
    TN_TRY(tn_model_each_place(r->adapter->model, read_module, r, error));
    for (size_t i = 0; i < tn_store_count(r->store); i++)
        if (!r->used[i])
            return tn_fail(error, TENEBRA_ERROR_MISMATCH, tn_store_at(r->store, i)->name,
                           "belongs to no matrix of the model %s", r->adapter->model->directory);
    if (r->adapter->module_count == 0)
        return tn_fail(error, TENEBRA_ERROR_MISMATCH, r->file, "the adapter changes no module of the model");
    return TENEBRA_OK;
}

static tenebra_code read_all(reading *r, const char *directory, tenebra_error *error)
{
    char *path = tn_path_join(directory, config_name);
    if (path == NULL)
        return tn_fail(error, TENEBRA_ERROR_MEMORY, directory, "no memory");
    tenebra_error problem = { 0 };
    r->json = tn_json_read(path, CONFIG_LIMIT, &problem);
    free(path);
    tn_store *store = NULL;
    path = tn_path_join(directory, tensors_name);
    if (problem.code == TENEBRA_OK && path != NULL)
        store = tn_store_open(path, &problem);
    free(path);
    if (store == NULL) {
        if (error != NULL)
            *error = problem;
        return problem.code != TENEBRA_OK ? problem.code : tn_fail(error, TENEBRA_ERROR_MEMORY, directory, "no memory");
    }
    r->store = store;
    tenebra_code code = tn_store_verify(store, error); /* adapters are small: all of one is read anyhow */
    if (code == TENEBRA_OK)
        code = read_config(r, error);
    if (code == TENEBRA_OK)
        code = read_tensors(r, error);
    if (code == TENEBRA_OK)
        code = tn_store_check(store, error);
    tn_store_close(store);
    return code;
}

tn_adapter *tn_adapter_open(tn_model *model, const char *directory, double strength, tenebra_error *error)
{
    tn_adapter *adapter = calloc(1, sizeof *adapter);
    if (adapter == NULL || !isfinite(strength)) {
        free(adapter);
        tn_fail(error, adapter ? TENEBRA_ERROR_ARGUMENT : TENEBRA_ERROR_MEMORY, directory,
                adapter ? "the strength of an adapter must be a number" : "no memory");
        return NULL;
    }
    adapter->model = model;
    adapter->strength = strength;
    reading r = { .adapter = adapter, .file = config_name };
    tenebra_code code = read_all(&r, directory, error);
    json_decref(r.json);
    free(r.ranks);
    free(r.alphas);
    free(r.used);
    if (code != TENEBRA_OK) {
        tn_adapter_close(adapter);
        return NULL;
    }
    tn_adapter_refresh(adapter);
    return adapter;
}

/* -------------------------------------------------------------- writing -- */

static json_t *config_of(const tn_adapter *adapter, const char *base)
{
    json_t *ranks = json_object(), *alphas = json_object();
    for (size_t i = 0; i < adapter->module_count; i++) {
        const tn_adapter_module *m = &adapter->modules[i];
        if (m->rank != adapter->rank)
            json_object_set_new(ranks, m->name, json_integer((json_int_t)m->rank));
        if (m->alpha != adapter->alpha)
            json_object_set_new(alphas, m->name, json_real(m->alpha));
    }
    bool whole = adapter->alpha == floor(adapter->alpha);
    return json_pack("{s:s?, s:s, s:b, s:b, s:b, s:o, s:f, s:n, s:s, s:I, s:o, s:o, s:o, s:s, s:b, s:b}",
                     "base_model_name_or_path", base, "bias", "none", "fan_in_fan_out", 0, "inference_mode", 1,
                     "init_lora_weights", 1, "lora_alpha",
                     whole ? json_integer((json_int_t)adapter->alpha) : json_real(adapter->alpha), "lora_dropout",
                     adapter->dropout, "modules_to_save", "peft_type", "LORA", "r", (json_int_t)adapter->rank, "rank_pattern",
                     ranks, "alpha_pattern", alphas, "target_modules",
                     json_loads(adapter->targets, JSON_DECODE_ANY, NULL), "task_type", "CAUSAL_LM", "use_dora", 0,
                     "use_rslora", adapter->rslora);
}

/* Writes beside `path`, forces it to the disk, then puts it in place. */
static tenebra_code replace_file(const char *path, const char *text, tenebra_error *error)
{
    size_t length = strlen(text), room = strlen(path) + sizeof ".partial";
    char *partial = malloc(room);
    if (partial == NULL)
        return tn_fail(error, TENEBRA_ERROR_MEMORY, path, "no memory");
    snprintf(partial, room, "%s.partial", path);
    int file = open(partial, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0666);
    bool good = file >= 0;
    for (size_t done = 0; good && done < length;) {
        ssize_t wrote = write(file, text + done, length - done);
        good = wrote > 0;
        done += good ? (size_t)wrote : 0;
    }
    good = good && (fsync(file) == 0 || errno == EINVAL);
    int problem = good ? 0 : errno;
    if (file >= 0 && close(file) != 0 && good) {
        problem = errno;
        good = false;
    }
    good = good && rename(partial, path) == 0;
    tenebra_code code = TENEBRA_OK;
    if (!good) {
        code = tn_fail(error, TENEBRA_ERROR_IO, path, "cannot be written: %s", strerror(problem ? problem : errno));
        unlink(partial);
    }
    free(partial);
    return code;
}

static tenebra_code write_config(const tn_adapter *adapter, const char *directory, const char *base, tenebra_error *error)
{
    json_t *json = config_of(adapter, base);
    char *text = json ? json_dumps(json, JSON_INDENT(2) | JSON_SORT_KEYS) : NULL;
    char *path = tn_path_join(directory, config_name);
    tenebra_code code = text && path ? replace_file(path, text, error)
                                     : tn_fail(error, TENEBRA_ERROR_MEMORY, directory, "no memory");
    json_decref(json);
    free(text);
    free(path);
    return code;
}

/* Declares, or writes, A and B of each module. */
static tenebra_code put_matrices(const tn_adapter *adapter, tn_writer *writer, bool declare, tenebra_error *error)
{
    for (size_t i = 0; i < adapter->module_count; i++)
        for (int which = 0; which < 2; which++) {
            const tn_adapter_module *m = &adapter->modules[i];
            char name[TN_STORED_NAME_MAX + 64];
            size_t shape[2] = { which ? m->outputs : m->rank, which ? m->rank : m->inputs };
            snprintf(name, sizeof name, "base_model.model.%s.lora_%c.weight", m->name, which ? 'B' : 'A');
            if (declare)
                TN_TRY(tn_writer_declare(writer, name, TN_STORE_F32, 2, shape, error));
            else
                TN_TRY(tn_writer_write(writer, which ? m->b : m->a, shape[0] * shape[1] * sizeof(float), error));
        }
    return TENEBRA_OK;
}

static tenebra_code write_tensors(const tn_adapter *adapter, const char *directory, tenebra_error *error)
{
    char *path = tn_path_join(directory, tensors_name);
    tn_writer *writer = path ? tn_writer_open(path, error) : NULL;
    tenebra_code code = writer ? tn_writer_metadata(writer, "format", "pt", error)
                               : tn_fail(error, TENEBRA_ERROR_MEMORY, directory, "no memory");
    if (code == TENEBRA_OK)
        code = put_matrices(adapter, writer, true, error);
    if (code == TENEBRA_OK)
        code = put_matrices(adapter, writer, false, error);
    if (code == TENEBRA_OK)
        code = tn_writer_finish(writer, error);
    tn_writer_close(writer);
    free(path);
    return code;
}

tenebra_code tn_adapter_write(const tn_adapter *adapter, const char *directory, const char *base, tenebra_error *error)
{
    if (mkdir(directory, 0777) != 0 && errno != EEXIST)
        return tn_fail(error, TENEBRA_ERROR_IO, directory, "cannot be made: %s", strerror(errno));
    TN_TRY(write_tensors(adapter, directory, error));
    return write_config(adapter, directory, base, error);
}
