/* Fuzz target: a recipe of a training run. What is accepted must be within the ranges of its keys, can be written as JSON, and
 * is equal to itself when it is read back as the configuration of a checkpoint. */
#include "train/config.h"

#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size);

static void require(bool truth)
{
    if (!truth)
        abort();
}

static void check_ranges(const tn_train_config *config)
{
    for (const tn_option *key = tn_train_keys; key->name != NULL; key++) {
        const void *at = (const char *)config + key->offset;
        if (key->kind == TN_OPTION_NUMBER)
            require(*(const double *)at >= key->minimum && *(const double *)at <= key->maximum);
        if (key->kind == TN_OPTION_SIZE)
            require((double)*(const size_t *)at >= key->minimum && (double)*(const size_t *)at <= key->maximum);
    }
    require(config->method != NULL && config->setting_count <= TN_TRAIN_SETTINGS_MAX && config->note_count <= TN_TRAIN_NOTES_MAX);
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size)
{
    tn_train_config config;
    tenebra_error error = { 0 };
    tenebra_code code = tn_train_config_parse(&config, bytes, size, "recipe", &error);
    if (code != TENEBRA_OK) {
        require(error.code == code && error.sentence[0] != '\0');
        require(config.yaml.count == 0);
        return 0;
    }
    check_ranges(&config);
    json_t *json = tn_train_config_json(&config);
    if (json != NULL) /* NULL: a text that is not UTF-8 */
        require(tn_train_config_compare(&config, json, "recipe", NULL) == TENEBRA_OK);
    json_decref(json);
    tn_train_config_free(&config);
    return 0;
}
