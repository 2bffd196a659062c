#include "model/module.h"

#include "base/file.h"
#include "base/rng.h"
#include "store/seal.h"
#include "store/writer.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

static const char DESCRIPTION[] = "module.json";

enum { DESCRIPTION_LIMIT = 1 << 20, SIZE_LIMIT = 1 << 20, MEMBERS_LIMIT = 4096 };

static const char *const keys[] = { "method", "sizes", "numbers", TN_STORE_SEAL_KEY, NULL };

static tenebra_code add(tn_model *model, const char *method, const tn_layout *layout, const tn_module_shape *shape, tenebra_error *error)
{
    model->module_method = strdup(method);
    if (model->module_method == NULL)
        return tn_fail(error, TENEBRA_ERROR_MEMORY, method, "no memory");
    return tn_networks_add(&model->networks, layout, shape->sizes, shape->numbers, error);
}

const tn_network *tn_module_of(const tn_model *model, const char *method)
{
    bool own = model->module_method != NULL && strcmp(model->module_method, method) == 0;
    return own ? tn_networks_find(&model->networks, TN_NETWORK_MODULE) : NULL;
}

/* --------------------------------------------------------------- making -- */

typedef struct making {
    tn_real *matrices, *vectors; /* where the next tensor goes */
    size_t values;               /* of all matrices            */
    tn_rng rng;
} making;

static tenebra_code count_matrix(void *user, const tn_place *place, tenebra_error *error)
{
    making *m = user;
    (void)error;
    m->values += tn_place_is_matrix(place) ? place->rows * place->cols : 0;
    return TENEBRA_OK;
}

static tenebra_code fill_place(void *user, const tn_place *place, tenebra_error *error)
{
    making *m = user;
    size_t parts = place->row->parts, rows = place->rows / parts, count = place->rows * place->cols / parts;
    bool scale = place->row->role == TN_ROLE_SCALE;
    (void)error;
    for (size_t part = 0; part < parts; part++) {
        if (tn_place_is_matrix(place)) {
            ((tn_weight *)place->slot)[part].matrix =
                (tn_matrix){ sizeof(tn_real) == 8 ? TN_F64 : TN_F32, rows, place->cols, m->matrices, TN_ROWS };
            for (size_t i = 0; i < count; i++)
                *m->matrices++ = (tn_real)(tn_rng_normal(&m->rng) / sqrt((double)place->cols));
            continue;
        }
        ((tn_vector *)place->slot)[part] = (tn_vector){ count, m->vectors, NULL };
        for (size_t i = 0; i < count; i++)
            *m->vectors++ = scale;
    }
    return TENEBRA_OK;
}

tenebra_code tn_module_make(tn_model *model, const char *method, const tn_layout *layout, const tn_module_shape *shape, uint64_t seed,
                            tenebra_error *error)
{
    tn_module_shape whole = *shape;
    whole.sizes[TN_MODULE_HIDDEN] = model->config.decoder.hidden_size;
    TN_TRY(add(model, method, layout, &whole, error));
    tn_network *network = tn_networks_find(&model->networks, TN_NETWORK_MODULE);
    making m = { .vectors = network->vectors, .rng = tn_rng_seed(seed) };
    tn_network_each(network, count_matrix, &m, NULL);
    m.matrices = network->matrices = calloc(m.values + 1, sizeof *network->matrices);
    if (network->matrices == NULL)
        return tn_fail(error, TENEBRA_ERROR_MEMORY, method, "no memory for the %zu weights of its module", m.values);
    return tn_network_each(network, fill_place, &m, NULL);
}

/* -------------------------------------------------------------- reading -- */

static tenebra_code read_shape(const json_t *json, tn_module_shape *shape, tenebra_error *error)
{
    const json_t *sizes = json_object_get(json, "sizes"), *numbers = json_object_get(json, "numbers");
    if (!json_is_array(sizes) || json_array_size(sizes) != TN_LAYOUT_SIZES - TN_MODULE_HIDDEN || !json_is_array(numbers) ||
        json_array_size(numbers) != TN_LAYOUT_NUMBERS)
        return tn_fail(error, TENEBRA_ERROR_FORMAT, DESCRIPTION, "\"sizes\" must contain %d numbers and \"numbers\" %d",
                       TN_LAYOUT_SIZES - TN_MODULE_HIDDEN, TN_LAYOUT_NUMBERS);
    for (size_t i = TN_MODULE_HIDDEN; i < TN_LAYOUT_SIZES; i++) {
        const json_t *size = json_array_get(sizes, i - TN_MODULE_HIDDEN);
        if (!json_is_integer(size) || json_integer_value(size) < 0 || json_integer_value(size) > SIZE_LIMIT)
            return tn_fail(error, TENEBRA_ERROR_FORMAT, DESCRIPTION, "\"sizes\" must contain whole numbers from 0 to %d", SIZE_LIMIT);
        shape->sizes[i] = (size_t)json_integer_value(size);
    }
    for (size_t i = 0; i < TN_LAYOUT_NUMBERS; i++) {
        if (!json_is_number(json_array_get(numbers, i)))
            return tn_fail(error, TENEBRA_ERROR_FORMAT, DESCRIPTION, "\"numbers\" must contain numbers");
        shape->numbers[i] = json_number_value(json_array_get(numbers, i));
    }
    return TENEBRA_OK;
}

/* A damaged size must not cost minutes before missing tensors are noticed. */
static tenebra_code check_groups(const tn_layout *layout, const tn_module_shape *shape, tenebra_error *error)
{
    for (size_t group = 1; group < TN_LAYOUT_GROUPS; group++) {
        const tn_layout_group *g = &layout->groups[group];
        if (g->bytes > 0 && shape->sizes[g->count] > MEMBERS_LIMIT)
            return tn_fail(error, TENEBRA_ERROR_LIMIT, DESCRIPTION, "\"sizes\" says %zu blocks; at most %d are read",
                           shape->sizes[g->count], MEMBERS_LIMIT);
    }
    return TENEBRA_OK;
}

static tenebra_code read_tensors(tn_model *model, const char *directory, tenebra_error *error)
{
    tn_networks module = { .backbone = model->networks.backbone, .count = 1,
                           .list = { tn_networks_find(&model->networks, TN_NETWORK_MODULE) } };
    tenebra_error first = { 0 };
    size_t mismatches;
    tn_path path;
    TN_TRY(tn_path_print(&path, error, "%s/%s", directory, TN_WRITER_MODULE));
    TN_TRY(tn_store_open(path.text, &model->module_store, error));
    TN_TRY(tn_store_verify(model->module_store, error));
    TN_TRY(tn_networks_match(&module, model->module_store, tn_match_keep_first, &first, &mismatches, error));
    return mismatches == 0 ? TENEBRA_OK : tn_fail(error, first.code, first.where, "%s", first.sentence);
}

static tenebra_code read_described(tn_model *model, const json_t *json, const char *directory, tn_module_kind_fn *kind_of,
                                   tenebra_error *error)
{
    const char *method = "";
    tn_module_shape shape = { 0 };
    size_t hidden = model->config.decoder.hidden_size;
    TN_TRY(tn_json_string(json, "method", &method, DESCRIPTION, error));
    TN_TRY(read_shape(json, &shape, error));
    tn_notes_unknown(&model->notes, json, keys, DESCRIPTION, NULL);
    const tn_module_kind kind = kind_of(method);
    if (kind.layout == NULL)
        return tn_fail(error, TENEBRA_ERROR_UNSUPPORTED, DESCRIPTION, "is of the method '%.60s', which has no module in this program; move "
                                                                      "both files of the module away to use the model without "
                                                                      "it", method);
    if (shape.sizes[TN_MODULE_HIDDEN] != hidden)
        return tn_fail(error, TENEBRA_ERROR_MISMATCH, DESCRIPTION, "is for rows of %zu numbers, but the model has rows of %zu",
                       shape.sizes[TN_MODULE_HIDDEN], hidden);
    TN_TRY(check_groups(kind.layout, &shape, error));
    if (kind.check != NULL)
        TN_TRY(kind.check(&shape, DESCRIPTION, error));
    TN_TRY(add(model, method, kind.layout, &shape, error));
    return read_tensors(model, directory, error);
}

tenebra_code tn_module_read(tn_model *model, const char *directory, tn_module_kind_fn *kind_of, tenebra_error *error)
{
    tn_path path;
    tn_file file;
    json_t *json;
    bool sealed;
    TN_TRY(tn_path_print(&path, error, "%s/%s", directory, DESCRIPTION));
    if (!tn_path_is_file(path.text))
        return TENEBRA_OK;
    TN_TRY(tn_file_read(&file, path.text, DESCRIPTION_LIMIT, error));
    tenebra_code code = tn_json_parse(file.data, file.size, DESCRIPTION, &json, error);
    if (code == TENEBRA_OK)
        code = tn_store_seal_check_object(file.data, file.size, json, &sealed, DESCRIPTION, error);
    if (code == TENEBRA_OK)
        code = read_described(model, json, directory, kind_of, error);
    json_decref(json);
    tn_file_close(&file);
    return code;
}

/* -------------------------------------------------------------- writing -- */

typedef struct writing {
    const tn_parameters *parameters;
    tn_writer *writer;
    bool values; /* true: write the values; false: declare the tensors */
} writing;

static tenebra_code write_place(void *user, const tn_place *place, tenebra_error *error)
{
    const writing *w = user;
    const tn_parameter *trained = tn_parameters_find(w->parameters, place->name);
    size_t count = place->rows * place->cols;
    if (!w->values)
        return tn_writer_declare(w->writer, place->name, TN_STORE_F32, place->rank, place->shape, error);
    if (trained != NULL)
        return tn_writer_write(w->writer, trained->values, count * sizeof(tn_real), error);
    tn_real *values = calloc(count, sizeof *values);
    if (values == NULL)
        return tn_fail(error, TENEBRA_ERROR_MEMORY, place->name, "no memory for %zu values", count);
    tn_place_read(place, values);
    tenebra_code code = tn_writer_write(w->writer, values, count * sizeof *values, error);
    free(values);
    return code;
}

static tenebra_code write_tensors(tn_network *network, const tn_parameters *parameters, const char *directory, tenebra_error *error)
{
    writing w = { .parameters = parameters };
    TN_TRY(tn_writer_open_in(directory, TN_WRITER_MODULE, &w.writer, error));
    tenebra_code code = tn_network_each(network, write_place, &w, error);
    w.values = true;
    if (code == TENEBRA_OK)
        code = tn_network_each(network, write_place, &w, error);
    if (code == TENEBRA_OK)
        code = tn_writer_finish(w.writer, error);
    tn_writer_close(w.writer);
    return code;
}

tenebra_code tn_module_write(const tn_model *model, const tn_parameters *parameters, const char *directory, tenebra_error *error)
{
    tn_network *network = tn_networks_find(&model->networks, TN_NETWORK_MODULE);
    json_t *sizes = json_array(), *numbers = json_array();
    for (size_t i = TN_MODULE_HIDDEN; i < TN_LAYOUT_SIZES; i++)
        json_array_append_new(sizes, json_integer((json_int_t)network->sizes[i]));
    for (size_t i = 0; i < TN_LAYOUT_NUMBERS; i++)
        json_array_append_new(numbers, json_real(network->numbers[i]));
    json_t *json = json_pack("{s:s, s:o, s:o}", "method", model->module_method, "sizes", sizes, "numbers", numbers);
    tenebra_code code = tn_store_seal_write(directory, DESCRIPTION, json, error);
    json_decref(json);
    return code == TENEBRA_OK ? write_tensors(network, parameters, directory, error) : code;
}
