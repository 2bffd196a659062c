/* Tokens that replace sampled ones: of an earlier answer, or invented. */
#include "app/app.h"

#include "base/json.h"

#include <stdlib.h>

enum { FILE_LIMIT = 64 << 20 };

static tenebra_code copy_tokens(const json_t *list, const char *path, int32_t **tokens, size_t *count, tenebra_error *error)
{
    size_t size = json_array_size(list);
    if (!json_is_array(list) || size == 0)
        return tn_fail(error, TENEBRA_ERROR_FORMAT, path, "must contain a list of token ids, or an object with one as \"tokens\"");
    int32_t *ids = calloc(size, sizeof *ids);
    if (ids == NULL)
        return tn_fail(error, TENEBRA_ERROR_MEMORY, path, "no memory for %zu tokens", size);
    for (size_t i = 0; i < size; i++) {
        const json_t *id = json_array_get(list, i);
        if (!json_is_integer(id) || json_integer_value(id) < 0 || json_integer_value(id) > INT32_MAX) {
            free(ids);
            return tn_fail(error, TENEBRA_ERROR_FORMAT, path, "token %zu is no id", i + 1);
        }
        ids[i] = (int32_t)json_integer_value(id);
    }
    *tokens = ids;
    *count = size;
    return TENEBRA_OK;
}

tenebra_code tn_app_read_tokens(const char *path, int32_t **tokens, size_t *count, tenebra_error *error)
{
    json_t *json;
    TN_TRY(tn_json_read(path, FILE_LIMIT, &json, error));
    tenebra_code code = copy_tokens(json_is_object(json) ? json_object_get(json, "tokens") : json, path, tokens, count, error);
    json_decref(json);
    return code;
}
