#include "model/plan.h"

#include "base/checked.h"
#include "base/nearest.h"
#include "model/random.h"
#include "text/tokenizer.h"

#include <stdio.h>
#include <string.h>

static const tn_shape *find_shape(const char *name, tenebra_error *error)
{
    char names[256] = "";
    tn_nearest nearest = tn_nearest_of(name, strlen(name));
    for (const tn_shape *shape = tn_shapes; shape->name != NULL; shape++) {
        if (strcmp(shape->name, name) == 0)
            return shape;
        size_t used = strlen(names);
        snprintf(names + used, sizeof names - used, "%s%s", used ? ", " : "", shape->name);
        tn_nearest_try(&nearest, shape->name);
    }
    tn_fail(error, TENEBRA_ERROR_ARGUMENT, name, "is not a shape; there are: %s%s", names, tn_nearest_hint(&nearest));
    return NULL;
}

static tenebra_code set_integer(json_t *object, const char *key, size_t value, tenebra_error *error)
{
    if (json_object_set_new(object, key, json_integer((json_int_t)value)) != 0)
        return tn_fail(error, TENEBRA_ERROR_MEMORY, key, "no memory for a configuration");
    return TENEBRA_OK;
}

/* Makes the token ids and the vocabulary of a configuration those of a tokenizer. */
static tenebra_code fit_tokens(json_t *config, json_t *tokens, const tn_tokenizer *tokenizer,
                               const char *directory, tenebra_error *error)
{
    const char *key;
    json_t *text;
    json_object_foreach(tokens, key, text) {
        int32_t id = tn_tokenizer_find(tokenizer, json_string_value(text));
        if (id < 0)
            return tn_fail(error, TENEBRA_ERROR_MISMATCH, directory, "the tokenizer has no token \"%s\" for %s",
                           json_string_value(text), key);
        TN_TRY(set_integer(config, key, (size_t)id, error));
    }
    size_t rows = (size_t)json_integer_value(json_object_get(config, "vocab_size"));
    return set_integer(config, "vocab_size", tn_max(rows, tn_tokenizer_size(tokenizer)), error);
}

static tenebra_code read_tokens(json_t *config, json_t *tokens, const char *directory, tenebra_error *error)
{
    tenebra_error problem = { .code = TENEBRA_ERROR_MEMORY };
    tn_tokenizer *tokenizer = tn_tokenizer_open(directory, &problem);
    if (tokenizer == NULL) {
        if (error != NULL)
            *error = problem;
        return problem.code;
    }
    tenebra_code code = fit_tokens(config, tokens, tokenizer, directory, error);
    tn_tokenizer_close(tokenizer);
    return code;
}

static tenebra_code read_sizes(tn_plan *plan, const char *file, tenebra_error *error)
{
    const char *type = "";
    TN_TRY(tn_json_string(plan->config, "model_type", &type, file, error));
    plan->backbone = tn_backbone_find(type);
    if (plan->backbone == NULL)
        return tn_fail(error, TENEBRA_ERROR_UNSUPPORTED, file, "no backbone reads model_type \"%s\"", type);
    return plan->backbone->read_config(plan->config, file, &plan->sizes, error);
}

tenebra_code tn_plan_open(tn_plan *plan, const char *shape, const char *tokenizer, tenebra_error *error)
{
    memset(plan, 0, sizeof *plan);
    tenebra_error problem = { .code = TENEBRA_ERROR_MEMORY };
    const tn_shape *found = find_shape(shape, &problem);
    json_t *json = found != NULL ? tn_json_parse(found->text, found->length, shape, &problem) : NULL;
    if (json == NULL)
        return tn_fail(error, problem.code, problem.where, "%s", problem.sentence);
    plan->config = json_incref(json_object_get(json, "config"));
    tenebra_code code = TENEBRA_OK;
    if (tokenizer != NULL)
        code = read_tokens(plan->config, json_object_get(json, "tokens"), tokenizer, error);
    if (code == TENEBRA_OK)
        code = read_sizes(plan, shape, error);
    json_decref(json);
    if (code != TENEBRA_OK)
        tn_plan_close(plan);
    return code;
}

void tn_plan_close(tn_plan *plan)
{
    json_decref(plan->config);
    memset(plan, 0, sizeof *plan);
}

/* -------------------------------------------------------------- tensors -- */

static bool ends_with(const char *text, const char *end)
{
    size_t length = strlen(text), tail = strlen(end);
    return length >= tail && strcmp(text + length - tail, end) == 0;
}

static size_t size_of(const tn_plan *plan, tn_dim dim)
{
    return dim == TN_DIM_VOCABULARY ? plan->sizes.vocab_size : plan->sizes.dims[dim];
}

static tenebra_code plan_tensor(const tn_plan *plan, const tn_tensor_row *row, size_t number,
                                tn_planned *tensor, tenebra_error *error)
{
    const tn_model_config *sizes = &plan->sizes;
    memset(tensor, 0, sizeof *tensor);
    tn_tensor_name(row, number, tensor->name, sizeof tensor->name);
    tensor->row = row;
    tensor->matrix = row->matrix;
    tensor->scale = !row->matrix && !ends_with(row->name, ".bias");
    tensor->inputs = size_of(plan, row->cols);
    tensor->shape[0] = size_of(plan, row->rows) * row->parts;
    tensor->rank = row->matrix ? 2 : 1;
    tensor->shape[1] = tensor->inputs;
    if (row->cols == TN_DIM_PATCH) { /* published as a convolution over time, height and width */
        tensor->rank = 5;
        tensor->shape[1] = sizes->channels;
        tensor->shape[2] = sizes->temporal_patch_size;
        tensor->shape[3] = tensor->shape[4] = sizes->patch_size;
    }
    if (!tn_size_mul(tensor->shape[0], tensor->inputs, &tensor->elements) || tensor->elements == 0)
        return tn_fail(error, TENEBRA_ERROR_ARGUMENT, tensor->name, "cannot have %zu rows of %zu",
                       tensor->shape[0], tensor->inputs);
    return TENEBRA_OK;
}

static size_t copies_of(const tn_plan *plan, const tn_tensor_row *row)
{
    if (row->presence == TN_HEAD && plan->sizes.tie_word_embeddings)
        return 0;
    switch (row->scope) {
    case TN_SCOPE_LAYER: return plan->sizes.decoder.num_hidden_layers;
    case TN_SCOPE_BLOCK: return plan->sizes.vision.depth;
    case TN_SCOPE_MODEL: break;
    }
    return 1;
}

tenebra_code tn_plan_each(const tn_plan *plan, tn_plan_fn *visit, void *user, tenebra_error *error)
{
    for (const tn_tensor_row *row = plan->backbone->tensors; row->name != NULL; row++) {
        size_t copies = copies_of(plan, row);
        for (size_t number = 0; number < copies; number++) {
            tn_planned tensor;
            TN_TRY(plan_tensor(plan, row, number, &tensor, error));
            TN_TRY(visit(user, &tensor, error));
        }
    }
    return TENEBRA_OK;
}
