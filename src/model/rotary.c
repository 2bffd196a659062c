#include "model/rotary.h"

#include <string.h>

const char *const tn_rope_keys[] = { "rope_type", "type", "rope_theta", "mrope_section", NULL };

static tenebra_code check_type(const json_t *object, const char *key, const char *name, const char *file,
                               const char *const *types, tenebra_error *error)
{
    const char *type = types[0];
    char part[TN_JSON_PART];
    TN_TRY(tn_json_string(object, key, &type, tn_json_part(part, file, name), error));
    const char *const *known = types;
    while (*known != NULL && strcmp(*known, type) != 0)
        known++;
    if (*known != NULL)
        return TENEBRA_OK;
    return tn_fail(error, TENEBRA_ERROR_UNSUPPORTED, file, "\"%s.%s\" is \"%.60s\": this rotary embedding is not "
                   "supported, only %s%s%s", name, key, type, types[0], types[1] != NULL ? " and " : "",
                   types[1] != NULL ? types[1] : "");
}

tenebra_code tn_rope_read(const json_t *part, const char *file, const char *const *types,
                          const json_t **parameters, double *theta, tenebra_error *error)
{
    static const char *const names[] = { "rope_scaling", "rope_parameters" };
    const char *name = names[0];
    char inner[TN_JSON_PART];
    *parameters = NULL;
    for (size_t i = 0; i < 2; i++) {
        const json_t *object = json_object_get(part, names[i]);
        if (object == NULL || json_is_null(object))
            continue;
        if (!json_is_object(object))
            return tn_fail(error, TENEBRA_ERROR_FORMAT, file, "\"%s\" must be an object", names[i]);
        TN_TRY(check_type(object, "rope_type", names[i], file, types, error));
        TN_TRY(check_type(object, "type", names[i], file, types, error));
        if (*parameters == NULL && json_object_size(object) > 0)
            *parameters = object, name = names[i];
    }
    TN_TRY(tn_json_number(part, "rope_theta", 1, 1e12, theta, file, error));
    return tn_json_number(*parameters, "rope_theta", 1, 1e12, theta, tn_json_part(inner, file, name), error);
}
