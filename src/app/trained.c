#include "app/trained.h"

#include "base/file.h"
#include "base/json.h"
#include "data/sample.h"
#include "reason/method.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { DESCRIPTION_LIMIT = 16 << 20 };

static json_t *read_about(const char *directory)
{
    char *path = tn_path_join(directory, "training.json");
    json_t *about = path != NULL && tn_path_is_file(path) ? tn_json_read(path, DESCRIPTION_LIMIT, NULL) : NULL;
    free(path);
    return about;
}

static const char *text_of(const json_t *object, const char *key)
{
    const char *text = json_string_value(json_object_get(object, key));
    return text != NULL ? text : "";
}

/* How many latent steps the last stage had; false: nothing is known. */
static bool count_latents(const json_t *about, const json_t *config, size_t *count)
{
    json_int_t stage = json_integer_value(json_object_get(about, "stage"));
    json_int_t most = json_integer_value(json_object_get(config, "max_latent_stage"));
    json_int_t thoughts = json_integer_value(json_object_get(config, "c_thought"));
    if (stage < 0 || most < 0 || thoughts < 0 || most > 1024 || thoughts > 1024 || config == NULL)
        return false;
    *count = json_is_true(json_object_get(config, "latents_off")) ? 0 : (size_t)((stage < most ? stage : most) * thoughts);
    return true;
}

const char *tn_trained_setting(const tn_trained *trained, const char *name)
{
    for (size_t i = 0; i < trained->setting_count; i++)
        if (strcmp(trained->settings[i].name, name) == 0)
            return trained->settings[i].value;
    return NULL;
}

static void add_setting(tn_trained *trained, const char *name, const char *value)
{
    if (value != NULL && trained->setting_count < TN_METHOD_OPTIONS_MAX)
        trained->settings[trained->setting_count++] = (tenebra_setting){ name, value };
}

static void read_settings(tn_trained *trained, const json_t *config)
{
    json_t *settings = json_object_get(config, "settings"), *value;
    const char *name;
    size_t latents;
    if (count_latents(trained->about, config, &latents) && tn_method_has_option(trained->method, "n-latent") &&
        json_object_get(settings, "n-latent") == NULL) {
        snprintf(trained->latents, sizeof trained->latents, "%zu", latents);
        add_setting(trained, "n-latent", trained->latents);
    }
    json_object_foreach(settings, name, value)
        if (tn_method_has_option(trained->method, name))
            add_setting(trained, name, json_string_value(value));
    if (tn_trained_setting(trained, "cue") == NULL)
        add_setting(trained, "cue", ""); /* rationales were taught without words that ask for them */
}

void tn_trained_read(tn_trained *trained, const char *model, const tenebra_model_options *options)
{
    *trained = (tn_trained){ 0 };
    for (size_t i = options->adapter_count; i > 0 && trained->about == NULL; i--)
        trained->about = read_about(options->adapters[i - 1].directory);
    if (trained->about == NULL)
        trained->about = read_about(model);
    const json_t *config = json_object_get(trained->about, "config");
    const char *asked = json_string_value(json_object_get(config, "val_prompt"));
    const tn_prompt_preset *preset = tn_prompt_find(asked != NULL ? asked : text_of(config, "prompt"));
    const tn_method *method = tn_method_find(text_of(config, "method"));
    const char *positions = text_of(config, "positions");
    trained->preset = preset != NULL ? preset->name : NULL;
    trained->method = method != NULL ? method->name : NULL;
    if (strcmp(positions, "sequential") == 0 || strcmp(positions, "mrope") == 0)
        trained->positions = positions;
    if (method != NULL)
        read_settings(trained, config);
}

void tn_trained_free(tn_trained *trained)
{
    json_decref(trained->about);
    *trained = (tn_trained){ 0 };
}
