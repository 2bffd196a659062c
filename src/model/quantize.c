#include "model/quantize.h"

#include "base/checked.h"
#include "base/file.h"
#include "base/output.h"
#include "model/model.h"

#include <errno.h>
#include <fnmatch.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { FILE_NAME = 64 };

/* One tensor of the new files. */
typedef struct planned {
    const tn_stored *stored;
    char name[TN_PLACE_NAME]; /* of the place, as adapters call it */
    tn_quantized tensor;
    size_t group;  /* order in the file: panels, then plain types, then rows of blocks, so that as many as possible are aligned */
    bool repeated; /* one for each layer or block; these come after tensors that exist once */
    size_t network, order; /* in the order in which the forward uses them */
    size_t file;
} planned;

typedef struct quantizer {
    const tn_quantize_options *options;
    const char *output;
    const tn_backbone *backbone;
    tn_model_config config;
    tn_decoder decoder;
    tn_networks networks;
    tn_store *store;
    tn_model *adapted; /* the same model with the adapter that is in its files; NULL: there is none */
    planned *list;
    size_t *uses; /* number of matrices that each rule of the recipe matches */
    size_t count, files, done, total; /* done, total: bytes that were read, and all */
    tenebra_error misfit; /* the first one */
    tn_notes notes;
} quantizer;

/* ------------------------------------------------------------- planning -- */

static tenebra_code open_adapter(quantizer *q, const char *path, tenebra_error *error)
{
    const tn_quantize_options *options = q->options;
    const tn_model_options how = { .base = options->base, .lora_alpha = options->lora_alpha, .no_text = true };
    if (q->networks.adapted == 0 && options->inner == TN_INNER_MERGED)
        return tn_fail(error, TENEBRA_ERROR_ARGUMENT, path, "contains no low-rank adapter that could be merged into its weights");
    if (q->networks.adapted == 0 && options->lora_alpha == 0)
        return TENEBRA_OK;
    if (q->networks.adapted > 0 && options->inner == TN_INNER_REFUSED)
        return tn_fail(error, TENEBRA_ERROR_UNSUPPORTED, path, "contains a low-rank adapter; 'tenebra convert' merges it into the weights, "
                       "or separates it from them");
    return tn_model_open(path, &how, &q->adapted, error);
}

static tenebra_code open_model(quantizer *q, const char *path, tenebra_error *error)
{
    size_t mismatches = 0;
    tn_model_files files;
    TN_TRY(tn_model_find(path, q->options->base, &files, error));
    TN_TRY(tn_model_open_store(files.directory.text, files.weights.text, &q->store, &q->backbone, &q->config, &q->notes, error));
    TN_TRY(tn_store_verify_files(q->store, error)); /* damaged weights would be packed, and sealed, as if they were valid */
    TN_TRY(tn_networks_open(&q->networks, q->backbone, &q->config, &q->decoder, error));
    TN_TRY(tn_networks_match(&q->networks, q->store, tn_match_keep_first, &q->misfit, &mismatches, error));
    if (mismatches > 0)
        return tn_fail(error, q->misfit.code, q->misfit.where, "%s (%zu tensors do not fit; 'tenebra inspect -m %s' lists them)",
                       q->misfit.sentence, mismatches, path);
    TN_TRY(open_adapter(q, path, error));
    q->list = calloc(tn_store_count(q->store) + 1, sizeof *q->list);
    if (q->list == NULL)
        return tn_fail(error, TENEBRA_ERROR_MEMORY, path, "no memory for a list of tensors");
    return TENEBRA_OK;
}

static tenebra_code plan_tensor(void *user, const tn_place *place, tenebra_error *error)
{
    quantizer *q = user;
    const tn_recipe *recipe = &q->options->recipe;
    size_t which = 0;
    const tn_stored *stored = tn_place_stored(&q->networks, place, q->store, &which);
    (void)error;
    if (stored == NULL || (place->row->role == TN_ROLE_HEAD && q->networks.tied)) /* a tied head is the embedding */
        return TENEBRA_OK;
    planned *item = &q->list[q->count++];
    tn_quantized *tensor = &item->tensor;
    tn_place_name(place, which, tensor->name);
    snprintf(item->name, sizeof item->name, "%s", place->name);
    tensor->from = tensor->form = stored->form;
    tensor->from_bytes = tensor->bytes = stored->bytes;
    tensor->matrix = tn_place_is_matrix(place);
    q->total += stored->bytes;
    item->stored = stored;
    item->repeated = place->row->group > 0;
    item->network = place->network->layout->kind;
    item->order = place->order;
    item->group = 1;
    if (!tensor->matrix)
        return TENEBRA_OK;
    if (!q->options->keep_types)
        tensor->note = tn_recipe_apply(recipe, place, place->rows, &tensor->form);
    const tn_matrix to = tn_form_matrix(&tensor->form, NULL);
    tensor->bytes = tn_matrix_bytes(&to);
    item->group = to.order == TN_PANELS ? 0 : tn_form_is_packed(&tensor->form) ? 2 : 1;
    for (size_t i = 0; i < recipe->rule_count; i++)
        q->uses[i] += fnmatch(recipe->rules[i].pattern, place->name, 0) == 0;
    return TENEBRA_OK;
}

static int compare_sizes(size_t a, size_t b)
{
    return (a > b) - (a < b);
}

/* Sorts: tensors that exist once, then layer by layer, in the order in which they are read. */
static int compare_places(const void *a, const void *b)
{
    const planned *left = a, *right = b;
    int order = compare_sizes(left->group, right->group);
    order = order != 0 ? order : compare_sizes(left->repeated, right->repeated);
    order = order != 0 ? order : compare_sizes(left->network, right->network);
    return order != 0 ? order : compare_sizes(left->order, right->order);
}

/* All tensors with their new forms, in the order of the files. */
static tenebra_code plan_tensors(quantizer *q, tenebra_error *error)
{
    const tn_recipe *recipe = &q->options->recipe;
    q->uses = calloc(recipe->rule_count + 1, sizeof *q->uses);
    if (q->uses == NULL)
        return tn_fail(error, TENEBRA_ERROR_MEMORY, "rules", "no memory");
    tn_networks_each(&q->networks, plan_tensor, q, NULL);
    for (size_t i = 0; i < recipe->rule_count; i++)
        if (q->uses[i] == 0)
            return tn_fail(error, TENEBRA_ERROR_ARGUMENT, recipe->rules[i].pattern,
                           "matches no matrix of the model; 'tenebra inspect --all' lists their names");
    qsort(q->list, q->count, sizeof *q->list, compare_places);
    return TENEBRA_OK;
}

/* Assigns tensors to files, one file after another. */
static void plan_files(quantizer *q)
{
    size_t used = 0;
    q->files = 1;
    for (size_t i = 0; i < q->count; i++) {
        size_t bytes = q->list[i].tensor.bytes;
        if (q->options->file_bytes > 0 && used > 0 && bytes > q->options->file_bytes - tn_min(used, q->options->file_bytes)) {
            q->files++;
            used = 0;
        }
        used += bytes;
        q->list[i].file = q->files - 1;
    }
}

/* -------------------------------------------------------------- writing -- */

static void file_name(const quantizer *q, size_t file, char name[FILE_NAME])
{
    if (q->files == 1)
        snprintf(name, FILE_NAME, TN_WRITER_WEIGHTS);
    else
        snprintf(name, FILE_NAME, "model-%05zu-of-%05zu" TN_WRITER_ENDING, file + 1, q->files);
}

static bool advance(void *user, size_t bytes)
{
    quantizer *q = user;
    q->done += bytes;
    return q->options->progress == NULL || q->options->progress(q->options->user, q->done, q->total);
}

static const tn_adapter *merged_by(const quantizer *q)
{
    return q->adapted != NULL && q->options->inner == TN_INNER_MERGED ? q->adapted->inner : NULL;
}

static tenebra_code write_tensors(quantizer *q, size_t file, tn_writer *writer, tenebra_error *error)
{
    TN_TRY(tn_writer_metadata(writer, "format", "pt", error));
    for (size_t i = 0; i < q->count; i++)
        if (q->list[i].file == file)
            TN_TRY(tn_writer_declare_weight(writer, q->list[i].tensor.name, &q->list[i].tensor.form, error));
    for (size_t i = 0; i < q->count; i++) {
        planned *item = &q->list[i];
        const tn_convert_how how = { q->options->pool, merged_by(q), item->name, advance, q };
        if (item->file != file)
            continue;
        TN_TRY(tn_convert(item->stored, &item->tensor.form, writer, &how, &item->tensor.conversion, error));
        TN_TRY(tn_store_leave(q->store, item->stored, error));
    }
    TN_TRY(tn_store_check(q->store, error));
    return tn_writer_finish(writer, error);
}

static tenebra_code write_file(quantizer *q, size_t file, tenebra_error *error)
{
    char name[FILE_NAME];
    file_name(q, file, name);
    tn_writer *writer;
    TN_TRY(tn_writer_open_in(q->output, name, &writer, error));
    tenebra_code code = write_tensors(q, file, writer, error);
    tn_writer_close(writer);
    return code;
}

static json_t *index_json(const quantizer *q)
{
    json_t *map = json_object();
    size_t total = 0;
    for (size_t i = 0; i < q->count; i++) {
        char name[FILE_NAME];
        file_name(q, q->list[i].file, name);
        total += q->list[i].tensor.bytes;
        if (json_object_set_new(map, q->list[i].tensor.name, json_string(name)) != 0) {
            json_decref(map);
            return NULL;
        }
    }
    return json_pack("{s:{s:I}, s:o}", "metadata", "total_size", (json_int_t)total, "weight_map", map);
}

static tenebra_code write_index(const quantizer *q, tenebra_error *error)
{
    json_t *index = index_json(q);
    tenebra_code code = tn_json_write_in(q->output, TN_WRITER_INDEX, index, JSON_INDENT(2) | JSON_SORT_KEYS, error);
    json_decref(index);
    return code;
}

/* If the model's files replace config.json, the new files need one. */
static tenebra_code write_config(const quantizer *q, tenebra_error *error)
{
    const json_t *config = tn_store_config(q->store);
    return config == NULL ? TENEBRA_OK : tn_json_write_in(q->output, "config.json", config, JSON_INDENT(2), error);
}

/* A writer removes a file that it could not finish. */
static void remove_weights(const quantizer *q, size_t files)
{
    for (size_t file = 0; file <= files; file++) {
        char name[FILE_NAME];
        file_name(q, file, name);
        tn_path path;
        if (tn_path_print(&path, NULL, "%s/%s", q->output, file < files ? name : TN_WRITER_INDEX) == TENEBRA_OK)
            unlink(path.text);
    }
}

/* The adapter that was in the files, for the model without it. */
static tenebra_code write_adapter(const quantizer *q, tenebra_error *error)
{
    tn_path path;
    if (q->adapted == NULL || q->options->inner != TN_INNER_KEPT)
        return TENEBRA_OK;
    TN_TRY(tn_path_print(&path, error, "%s/" TN_INNER_DIRECTORY, q->output));
    return tn_adapter_write(q->adapted->inner, path.text, NULL, TN_LORA_NAMES_BASE, error);
}

static tenebra_code check_room(const quantizer *q, tenebra_error *error)
{
    size_t bytes = 0;
    for (size_t i = 0; i < q->count; i++)
        bytes += q->list[i].tensor.bytes;
    return tn_output_check_room(q->output, bytes, error);
}

static tenebra_code write_all(quantizer *q, tenebra_error *error)
{
    tenebra_code code = check_room(q, error);
    size_t written = 0;
    for (; written < q->files && code == TENEBRA_OK; written += code == TENEBRA_OK)
        code = write_file(q, written, error);
    if (code == TENEBRA_OK && q->files > 1)
        code = write_index(q, error);
    if (code == TENEBRA_OK)
        code = write_config(q, error);
    if (code == TENEBRA_OK)
        code = write_adapter(q, error);
    if (code != TENEBRA_OK)
        remove_weights(q, written);
    return code;
}

/* --------------------------------------------------------------- report -- */

static tenebra_code fill_report(const quantizer *q, tn_quantize_report *report, tenebra_error *error)
{
    double errors = 0, squares = 0;
    report->tensors = calloc(q->count + 1, sizeof *report->tensors);
    if (report->tensors == NULL)
        return tn_fail(error, TENEBRA_ERROR_MEMORY, "report", "no memory");
    report->count = q->count;
    report->files = q->files;
    report->notes = q->notes;
    report->vocabulary = q->decoder.embed.matrix.rows;
    if (q->adapted != NULL) {
        report->adapted = q->adapted->inner->module_count;
        report->rank = q->adapted->inner->rank;
        report->alpha = q->adapted->inner->alpha;
    }
    for (size_t i = 0; i < q->count; i++) {
        const tn_quantized *tensor = &q->list[i].tensor;
        report->tensors[i] = *tensor;
        report->elements += tensor->form.elements;
        report->from_bytes += tensor->from_bytes;
        report->bytes += tensor->bytes;
        if (!tensor->matrix)
            continue;
        errors += tensor->conversion.errors;
        squares += tensor->conversion.squares;
        report->twice += tensor->from.type != tensor->form.type && tn_dtype_of(tensor->from.type)->block > 1 &&
                         tn_dtype_of(tensor->form.type)->block > 1;
    }
    report->relative_rms = errors > 0 ? sqrt(errors / squares) : 0;
    return TENEBRA_OK;
}

void tn_quantize_report_free(tn_quantize_report *report)
{
    free(report->tensors);
    memset(report, 0, sizeof *report);
}

static json_t *tensor_json(const tn_quantized *tensor)
{
    json_t *shape = json_array();
    for (size_t i = 0; i < tensor->form.rank; i++)
        json_array_append_new(shape, json_integer((json_int_t)tensor->form.shape[i]));
    return json_pack("{s:s, s:o, s:s, s:s, s:s, s:I, s:f, s:f, s:f, s:f, s:s*}", "name", tensor->name, "shape", shape, "from",
                     tn_dtype_of(tensor->from.type)->name, "type", tn_dtype_of(tensor->form.type)->name, "order",
                     tn_order_name(tensor->form.order), "bytes", (json_int_t)tensor->bytes, "bits_per_weight",
                     8 * (double)tensor->bytes / (double)tn_max(tensor->form.elements, 1), "relative_rms_error",
                     tensor->conversion.relative_rms, "largest_error", tensor->conversion.largest, "cosine",
                     tensor->conversion.cosine, "note", tensor->note);
}

json_t *tn_quantize_report_json(const tn_quantize_report *report)
{
    json_t *tensors = json_array();
    for (size_t i = 0; i < report->count; i++)
        if (json_array_append_new(tensors, tensor_json(&report->tensors[i])) != 0) {
            json_decref(tensors);
            return NULL;
        }
    return json_pack("{s:I, s:I, s:I, s:f, s:f, s:I, s:I, s:o}", "parameters", (json_int_t)report->elements, "bytes",
                     (json_int_t)report->bytes, "from_bytes", (json_int_t)report->from_bytes, "bits_per_weight",
                     8 * (double)report->bytes / (double)tn_max(report->elements, 1), "relative_rms_error",
                     report->relative_rms, "files", (json_int_t)report->files, "quantised_twice", (json_int_t)report->twice,
                     "tensors", tensors);
}

tenebra_code tn_quantize_weights(const char *path, const char *output, const tn_quantize_options *options,
                                 tn_quantize_report *report, tenebra_error *error)
{
    quantizer q = { .options = options, .output = output };
    memset(report, 0, sizeof *report);
    tenebra_code code = open_model(&q, path, error);
    if (code == TENEBRA_OK)
        code = plan_tensors(&q, error);
    if (code == TENEBRA_OK) {
        plan_files(&q);
        code = write_all(&q, error);
    }
    if (code == TENEBRA_OK && (code = fill_report(&q, report, error)) != TENEBRA_OK)
        remove_weights(&q, q.files);
    tn_networks_close(&q.networks);
    tn_model_config_free(&q.config);
    tn_store_close(q.store);
    tn_model_close(q.adapted);
    free(q.list);
    free(q.uses);
    return code;
}
