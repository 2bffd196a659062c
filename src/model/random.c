#include "model/random.h"

#include "base/checked.h"
#include "base/output.h"
#include "model/model.h"
#include "model/noise.h"
#include "model/recipe.h"
#include "store/writer.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

/* The state of writing one model. */
typedef struct job {
    const tn_random_options *options;
    tn_writer *writer;
    tn_noise noise;
    size_t total;    /* bytes of weights                       */
    bool packed;     /* whether packed tensors are written now, or the others */
    size_t elements; /* counted so far                          */
} job;

/* The form of a tensor: matrices by the default recipe of the type, vectors in a plain type. */
static tn_form form_of(const tn_random_options *options, const tn_place *place)
{
    const tn_recipe recipe = tn_recipe_of(options->type, options->order);
    bool blocks = tn_dtype_of(options->type)->block > 1;
    tn_form form = { .is_weight = true, .type = blocks ? TN_F32 : options->type, .order = TN_ROWS, .rank = place->rank,
                     .elements = place->rows * place->cols };
    memcpy(form.shape, place->shape, sizeof place->shape);
    if (tn_place_is_matrix(place))
        tn_recipe_apply(&recipe, place, place->rows, &form);
    return form;
}

/* Packed matrices come first, so that they are aligned. */
static tenebra_code declare(void *user, const tn_place *place, tenebra_error *error)
{
    job *work = user;
    const tn_form form = form_of(work->options, place);
    return tn_form_is_packed(&form) == work->packed ? tn_writer_declare_weight(work->writer, place->name, &form, error)
                                                    : TENEBRA_OK;
}

static tenebra_code put_bytes(void *user, const void *bytes, size_t size, tenebra_error *error)
{
    job *work = user;
    const tn_random_options *options = work->options;
    TN_TRY(tn_writer_write(work->writer, bytes, size, error));
    size_t done = work->total - tn_writer_missing(work->writer);
    if (options->progress != NULL && !options->progress(options->user, done, work->total))
        return tn_fail(error, TENEBRA_ERROR_CANCELLED, options->shape, "writing was stopped");
    return TENEBRA_OK;
}

static tenebra_code write_tensor(void *user, const tn_place *place, tenebra_error *error)
{
    job *work = user;
    const tn_form form = form_of(work->options, place);
    return tn_form_is_packed(&form) == work->packed ? tn_noise_tensor(&work->noise, place, &form, put_bytes, work, error)
                                                    : TENEBRA_OK;
}

/* All tensors, the packed ones first. */
static tenebra_code each_tensor(const tn_plan *plan, tn_place_fn *visit, job *work, tenebra_error *error)
{
    work->packed = true;
    TN_TRY(tn_plan_each(plan, visit, work, error));
    work->packed = false;
    return tn_plan_each(plan, visit, work, error);
}

static const char CONFIG[] = "config.json", GENERATION[] = "generation_config.json",
                  PREPROCESSOR[] = "preprocessor_config.json", PROCESSOR[] = "processor_config.json";

static tenebra_code write_weights(const tn_plan *plan, const tn_random_options *options, const char *directory,
                                  tenebra_error *error)
{
    job work = { .options = options };
    TN_TRY(tn_writer_open_in(directory, TN_WRITER_WEIGHTS, &work.writer, error));
    tenebra_code code = tn_noise_open(&work.noise, options->seed, error);
    if (code == TENEBRA_OK)
        code = tn_writer_metadata(work.writer, "format", "pt", error); /* required by loaders of Hugging Face */
    if (code == TENEBRA_OK)
        code = each_tensor(plan, declare, &work, error);
    work.total = tn_writer_missing(work.writer);
    if (code == TENEBRA_OK)
        code = each_tensor(plan, write_tensor, &work, error);
    if (code == TENEBRA_OK)
        code = tn_writer_finish(work.writer, error);
    tn_noise_close(&work.noise);
    tn_writer_close(work.writer);
    return code;
}

static tenebra_code add_size(void *user, const tn_place *place, tenebra_error *error)
{
    job *work = user;
    const tn_form form = form_of(work->options, place);
    const tn_matrix matrix = tn_form_matrix(&form, NULL);
    if (!tn_matrix_fits(&matrix) || !tn_size_add(work->elements, form.elements, &work->elements) ||
        !tn_size_add(work->total, tn_matrix_bytes(&matrix), &work->total) || work->elements > SIZE_MAX / sizeof(double))
        return tn_fail(error, TENEBRA_ERROR_ARGUMENT, place->name, "a model of this size is not possible");
    return TENEBRA_OK;
}

tenebra_code tn_random_model_size(const tn_random_options *options, size_t *bytes, size_t *count,
                                  tenebra_error *error)
{
    tn_plan plan;
    TN_TRY(tn_plan_open(&plan, options->shape, options->tokenizer, error));
    job work = { .options = options };
    tenebra_code code = tn_plan_each(&plan, add_size, &work, error);
    tn_plan_close(&plan);
    if (code == TENEBRA_OK && bytes != NULL)
        *bytes = work.total;
    if (code == TENEBRA_OK && count != NULL)
        *count = work.elements;
    return code;
}

/* ---------------------------------------------------- the other files -- */

static const char *const tokenizer_files[] = { "tokenizer.json",       "tokenizer_config.json",   "vocab.json",
                                               "merges.txt",           "added_tokens.json",       "chat_template.json",
                                               "chat_template.jinja", "special_tokens_map.json" };
enum { TOKENIZER_FILES = sizeof tokenizer_files / sizeof *tokenizer_files };

static const char *torch_name(tn_dtype type)
{
    switch (type) {
    case TN_F16: return "float16";
    case TN_BF16: return "bfloat16";
    case TN_F64: return "float64";
    case TN_F32: return "float32";
    default: return "bfloat16"; /* the type in which other programs would load it after unpacking */
    }
}

/* The backbone's published preprocessor with the sizes of this shape. */
static tenebra_code save_preprocessor(const tn_plan *plan, const char *directory, tenebra_error *error)
{
    const tn_image_encoder *encoder = plan->backbone->encoder;
    const char *text = plan->backbone->preprocessor;
    json_t *preprocessor;
    TN_TRY(tn_json_parse(text, strlen(text), PREPROCESSOR, &preprocessor, error));
    if (encoder->write_rule != NULL && !encoder->write_rule(preprocessor, &plan->sizes.vision, NULL, NULL)) {
        json_decref(preprocessor);
        return tn_fail(error, TENEBRA_ERROR_MEMORY, PREPROCESSOR, "no memory for JSON");
    }
    tenebra_code code = tn_json_write_in(directory, PREPROCESSOR, preprocessor, JSON_INDENT(2), error);
    json_decref(preprocessor);
    return code;
}

/* For transformers, which would take the number of placeholders of an image from the published models. */
static tenebra_code save_processor(const tn_plan *plan, const char *directory, tenebra_error *error)
{
    const tn_backbone *backbone = plan->backbone;
    void *rule = NULL;
    bool trims;
    tn_fit fit;
    if (backbone->processor_class == NULL)
        return TENEBRA_OK;
    tenebra_code code = tn_model_read_processor(directory, backbone, &plan->sizes, &rule, &trims, NULL, error);
    if (code == TENEBRA_OK) {
        size_t rows = tn_model_rows_of_all(backbone, rule, &fit);
        json_t *json = json_pack("{s:s, s:I}", "processor_class", backbone->processor_class, "image_seq_length", (json_int_t)rows);
        code = tn_json_write_in(directory, PROCESSOR, json, JSON_INDENT(2), error);
        json_decref(json);
    }
    free(rule);
    return code;
}

static tenebra_code save_configs(const tn_plan *plan, const char *directory, tn_dtype type, tenebra_error *error)
{
    json_t *config = plan->config;
    if (json_object_set_new(config, "torch_dtype", json_string(torch_name(type))) != 0)
        return tn_fail(error, TENEBRA_ERROR_MEMORY, CONFIG, "no memory for JSON");
    TN_TRY(tn_json_write_in(directory, CONFIG, config, JSON_INDENT(2), error));
    json_t *generation = json_pack("{s:b, s:O*, s:O*}", "do_sample", 0, "bos_token_id",
                                   json_object_get(config, "bos_token_id"), "eos_token_id",
                                   json_object_get(config, "eos_token_id"));
    tenebra_code code = tn_json_write_in(directory, GENERATION, generation, JSON_INDENT(2), error);
    json_decref(generation);
    if (code == TENEBRA_OK)
        code = save_preprocessor(plan, directory, error);
    return code == TENEBRA_OK ? save_processor(plan, directory, error) : code;
}

static tenebra_code write_files(const tn_plan *plan, const char *directory, const tn_random_options *options,
                                tenebra_error *error)
{
    TN_TRY(save_configs(plan, directory, options->type, error));
    for (size_t i = 0; i < TOKENIZER_FILES && options->tokenizer != NULL; i++)
        TN_TRY(tn_output_copy(options->tokenizer, directory, tokenizer_files[i], error));
    return write_weights(plan, options, directory, error);
}

/* -------------------------------------------------------- the directory -- */

/* Creates the directory, or accepts an empty one. */
static tenebra_code claim_directory(const char *directory, bool *made, tenebra_error *error)
{
    *made = mkdir(directory, 0777) == 0;
    if (*made)
        return TENEBRA_OK;
    if (errno != EEXIST)
        return tn_fail(error, TENEBRA_ERROR_IO, directory, "cannot be created: %s", strerror(errno));
    DIR *list = opendir(directory);
    if (list == NULL)
        return tn_fail(error, TENEBRA_ERROR_IO, directory, "is not a directory that can be read: %s", strerror(errno));
    bool empty = true;
    for (const struct dirent *entry; (entry = readdir(list)) != NULL;)
        empty = empty && (strcmp(entry->d_name, ".") == 0 || strcmp(entry->d_name, "..") == 0);
    closedir(list);
    if (!empty)
        return tn_fail(error, TENEBRA_ERROR_ARGUMENT, directory, "is not empty; a new model requires an empty directory");
    return TENEBRA_OK;
}

/* Allocates no memory, because a failed allocation may be the reason for the call. The writer removes the weights
 * itself. */
static void remove_files(const char *directory, bool made)
{
    int place = open(directory, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (place >= 0) {
        unlinkat(place, CONFIG, 0);
        unlinkat(place, GENERATION, 0);
        unlinkat(place, PREPROCESSOR, 0);
        unlinkat(place, PROCESSOR, 0);
        for (size_t i = 0; i < TOKENIZER_FILES; i++)
            unlinkat(place, tokenizer_files[i], 0);
        close(place);
    }
    if (made)
        rmdir(directory);
}

tenebra_code tn_random_model_write(const char *directory, const tn_random_options *options,
                                   tenebra_error *error)
{
    tn_plan plan;
    TN_TRY(tn_plan_open(&plan, options->shape, options->tokenizer, error));
    bool made = false;
    tenebra_code code = claim_directory(directory, &made, error);
    if (code == TENEBRA_OK) {
        code = write_files(&plan, directory, options, error);
        if (code != TENEBRA_OK)
            remove_files(directory, made);
    }
    tn_plan_close(&plan);
    return code;
}
