#include "train/config.h"

#include "base/json.h"

#include <stdlib.h>

static json_t *value_of(const tn_train_config *config, const tn_option *key)
{
    const void *source = (const char *)config + key->offset;
    const char *text;
    size_t length;
    const size_t *sides = source;
    switch (key->kind) {
    case TN_OPTION_TEXT:
        text = *(const char *const *)source;
        return text != NULL ? json_string(text) : json_null();
    case TN_OPTION_SWITCH:
        return json_boolean(*(const bool *)source);
    case TN_OPTION_CHOICE:
        text = tn_option_word(key, *(const size_t *)source, &length);
        return json_stringn(text, length);
    case TN_OPTION_SIDES:
        return sides[0] > 0 ? json_sprintf("%zux%zu", sides[0], sides[1]) : json_null();
    case TN_OPTION_SIZE:
        return json_integer((json_int_t) * (const size_t *)source);
    default:
        return json_real(*(const double *)source);
    }
}

json_t *tn_train_config_json(const tn_train_config *config)
{
    json_t *object = json_object(), *settings = json_object();
    bool fits = object != NULL && settings != NULL;
    for (const tn_option *key = tn_train_keys; key->name != NULL && fits; key++)
        fits = json_object_set_new(object, key->name, value_of(config, key)) == 0;
    for (size_t i = 0; i < config->setting_count && fits; i++)
        fits = json_object_set_new(settings, config->settings[i].name, json_string(config->settings[i].value)) == 0;
    if (fits)
        fits = json_object_set_new(object, "latents_off", json_boolean(config->latents_off)) == 0 &&
               json_object_set(object, "settings", settings) == 0;
    json_decref(settings);
    if (!fits) {
        json_decref(object);
        return NULL;
    }
    return object;
}

static tenebra_code compare_value(const json_t *now, const json_t *saved, const char *name, const char *where,
                                  tenebra_error *error)
{
    if (json_equal(json_object_get(now, name), json_object_get(saved, name)))
        return TENEBRA_OK;
    char *text = tn_json_show(json_object_get(saved, name));
    tn_fail(error, TENEBRA_ERROR_MISMATCH, where, "was made with '%s: %.200s', which differs from the recipe; "
            "put it back, or start another run", name, text ? text : "?");
    free(text);
    return TENEBRA_ERROR_MISMATCH;
}

tenebra_code tn_train_config_compare(const tn_train_config *config, const json_t *saved, const char *where,
                                     tenebra_error *error)
{
    json_t *now = tn_train_config_json(config);
    if (now == NULL)
        return tn_fail(error, TENEBRA_ERROR_MEMORY, where, "no memory for the configuration");
    tenebra_code code = TENEBRA_OK;
    for (const tn_option *key = tn_train_keys; key->name != NULL && code == TENEBRA_OK; key++)
        if (!key->free)
            code = compare_value(now, saved, key->name, where, error);
    if (code == TENEBRA_OK)
        code = compare_value(now, saved, "settings", where, error);
    if (code == TENEBRA_OK)
        code = compare_value(now, saved, "latents_off", where, error);
    json_decref(now);
    return code;
}
