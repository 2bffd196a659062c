#include "model/plan.h"

#include "base/checked.h"
#include "base/nearest.h"
#include "model/random.h"
#include "text/tokenizer.h"

#include <stdio.h>
#include <string.h>

static tenebra_code find_shape(const char *name, const tn_shape **found, tenebra_error *error)
{
    char names[256] = "";
    tn_nearest nearest = tn_nearest_of(name, strlen(name));
    for (const tn_shape *shape = tn_shapes; shape->name != NULL; shape++) {
        if (strcmp(shape->name, name) == 0)
            return *found = shape, TENEBRA_OK;
        size_t used = strlen(names);
        snprintf(names + used, sizeof names - used, "%s%s", used ? ", " : "", shape->name);
        tn_nearest_try(&nearest, shape->name);
    }
    return tn_fail(error, TENEBRA_ERROR_ARGUMENT, name, "is not a shape; there are: %s%s", names, tn_nearest_hint(&nearest));
}

static tenebra_code set_integer(json_t *object, const char *key, size_t value, tenebra_error *error)
{
    if (json_object_set_new(object, key, json_integer((json_int_t)value)) != 0)
        return tn_fail(error, TENEBRA_ERROR_MEMORY, key, "no memory for a configuration");
    return TENEBRA_OK;
}

/* Sets the token ids and the vocabulary of a configuration to those of a tokenizer. */
static tenebra_code fit_tokens(json_t *config, json_t *tokens, const tn_tokenizer *tokenizer,
                               const char *directory, tenebra_error *error)
{
    const char *key;
    json_t *text;
    json_object_foreach(tokens, key, text) {
        int32_t id = tn_tokenizer_find(tokenizer, json_string_value(text));
        if (id < 0)
            return tn_fail(error, TENEBRA_ERROR_MISMATCH, directory, "the tokenizer has no token \"%s\" for %s; take one "
                           "with the control tokens of this kind of model", json_string_value(text), key);
        TN_TRY(set_integer(config, key, (size_t)id, error));
    }
    size_t rows = (size_t)json_integer_value(json_object_get(config, "vocab_size"));
    return set_integer(config, "vocab_size", tn_max(rows, tn_tokenizer_size(tokenizer)), error);
}

/* What depends on the tokenizer in `directory`, which may be NULL. */
static tenebra_code read_tokens(tn_plan *plan, json_t *tokens, const char *directory, tenebra_error *error)
{
    tn_tokenizer *tokenizer = NULL;
    tenebra_code code = TENEBRA_OK;
    if (directory != NULL)
        TN_TRY(tn_tokenizer_open(directory, &tokenizer, error));
    if (tokenizer != NULL)
        code = fit_tokens(plan->config, tokens, tokenizer, directory, error);
    if (code == TENEBRA_OK && plan->backbone->set_vocabulary != NULL)
        code = plan->backbone->set_vocabulary(plan->config, tokenizer, directory, error);
    tn_tokenizer_close(tokenizer);
    return code;
}

static tenebra_code find_backbone(tn_plan *plan, const char *file, tenebra_error *error)
{
    const char *type = "";
    TN_TRY(tn_json_string(plan->config, "model_type", &type, file, error));
    plan->backbone = tn_backbone_find(type);
    if (plan->backbone == NULL)
        return tn_fail(error, TENEBRA_ERROR_UNSUPPORTED, file, "no backbone reads model_type \"%s\"", type);
    return TENEBRA_OK;
}

static tenebra_code read_sizes(tn_plan *plan, const char *file, tenebra_error *error)
{
    TN_TRY(plan->backbone->read_config(plan->config, file, &plan->sizes, error));
    TN_TRY(tn_networks_open(&plan->networks, plan->backbone, &plan->sizes, &plan->decoder, error));
    plan->decoder.network.sizes[TN_SIZE_FREE] = plan->sizes.vocab_size;
    return TENEBRA_OK;
}

tenebra_code tn_plan_open(tn_plan *plan, const char *shape, const char *tokenizer, tenebra_error *error)
{
    memset(plan, 0, sizeof *plan);
    const tn_shape *found;
    json_t *json;
    TN_TRY(find_shape(shape, &found, error));
    TN_TRY(tn_json_parse(found->text, found->length, shape, &json, error));
    plan->config = json_incref(json_object_get(json, "config"));
    tenebra_code code = find_backbone(plan, shape, error);
    if (code == TENEBRA_OK)
        code = read_tokens(plan, json_object_get(json, "tokens"), tokenizer, error);
    if (code == TENEBRA_OK)
        code = read_sizes(plan, shape, error);
    json_decref(json);
    if (code != TENEBRA_OK)
        tn_plan_close(plan);
    return code;
}

void tn_plan_close(tn_plan *plan)
{
    tn_networks_close(&plan->networks);
    tn_model_config_free(&plan->sizes);
    json_decref(plan->config);
    memset(plan, 0, sizeof *plan);
}

/* -------------------------------------------------------------- tensors -- */

typedef struct visiting {
    const tn_plan *plan;
    tn_place_fn *visit;
    void *user;
} visiting;

static tenebra_code visit_place(void *user, const tn_place *place, tenebra_error *error)
{
    const visiting *all = user;
    size_t values;
    if (place->row->role == TN_ROLE_HEAD && all->plan->networks.tied)
        return TENEBRA_OK;
    if (!tn_size_mul(place->rows, place->cols, &values) || values == 0)
        return tn_fail(error, TENEBRA_ERROR_ARGUMENT, place->name, "cannot have %zu rows of %zu", place->rows, place->cols);
    return all->visit(all->user, place, error);
}

tenebra_code tn_plan_each(const tn_plan *plan, tn_place_fn *visit, void *user, tenebra_error *error)
{
    visiting all = { plan, visit, user };
    return tn_networks_each(&plan->networks, visit_place, &all, error);
}
