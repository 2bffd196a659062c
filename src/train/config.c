#include "train/config.h"

#include "base/nearest.h"
#include "base/number.h"
#include "reason/asked.h"
#include "reason/method.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define KEYS_HINT " (tenebra train --keys lists all)"

/* ------------------------------------------------------------- finding -- */

static const tn_method *find_method(const char *name)
{
    for (size_t i = 0; tn_methods[i] != NULL; i++)
        if (tn_option_is_same_name(tn_methods[i]->name, name))
            return tn_methods[i];
    return NULL;
}

static tenebra_code unknown_key(const tn_yaml_entry *entry, const tn_method *method, const char *where, tenebra_error *error)
{
    tn_nearest nearest = tn_nearest_of(entry->key, strlen(entry->key));
    for (const tn_option *key = tn_train_keys; key->name != NULL; key++) {
        tn_nearest_try(&nearest, key->name);
        tn_nearest_try_list(&nearest, key->aliases != NULL ? key->aliases : "", ' ');
    }
    for (const tn_option *option = method ? method->options : NULL; option && option->name != NULL; option++)
        tn_nearest_try(&nearest, option->name);
    for (const tn_train_unused *unused = tn_train_unused_keys; unused->name != NULL; unused++)
        tn_nearest_try(&nearest, unused->name);
    return tn_fail(error, TENEBRA_ERROR_ARGUMENT, where, "there is no key '%s'%s" KEYS_HINT, entry->key, tn_nearest_hint(&nearest));
}

/* Other trainers' files may write whole numbers as 3.0 or 1e3. Returns such a number in decimal digits (in `digits`), and any
 * other text unchanged. */
static const char *as_digits(const char *text, char digits[32])
{
    char *end;
    double number = strtod(text, &end);
    if (end == text || *end != '\0' || strpbrk(text, ".eE") == NULL || !(number >= 0 && number < 9e18 && number == floor(number)))
        return text;
    snprintf(digits, 32, "%.0f", number);
    return digits;
}

/* `name`: the key as the file writes it. */
static tenebra_code set_value(void *record, const tn_option *key, const char *name, const char *text, const char *where,
                              tenebra_error *error)
{
    char digits[32];
    tenebra_error reason = { 0 };
    tenebra_code code = tn_option_read(key, key->kind == TN_OPTION_SIZE ? as_digits(text, digits) : text, record, &reason);
    return code == TENEBRA_OK ? TENEBRA_OK : tn_fail(error, code, where, "%s: %.400s", name, reason.sentence);
}

/* ------------------------------------------------------------- reading -- */

/* Where an entry comes from, for messages: "file, line 3", or the override itself. */
static void name_place(const char *path, const tn_yaml_entry *entry, char *where, size_t size)
{
    if (entry->line > 0)
        snprintf(where, size, "%.150s, line %zu", path, entry->line);
    else
        snprintf(where, size, "--set %.150s", entry->key);
}

static void add_note(tn_train_config *config, const char *key, const char *text)
{
    if (config->note_count < TN_TRAIN_NOTES_MAX) /* more than the number of such keys */
        config->notes[config->note_count++] = (tn_train_note){ key, text };
}

/* Collects all mistakes of a file in one error. A single mistake is reported unchanged; several are listed by their lines, those of
 * --set (line 0) last. */
enum { MISTAKES_KEPT = 12 }; /* more than fit into a sentence */

typedef struct mistakes {
    struct {
        size_t line;
        tenebra_error problem;
    } first[MISTAKES_KEPT + 1]; /* in the order of the lines; the last one is room */
    size_t count;
} mistakes;

/* Returns the code if the error is not a mistake in the file, so that reading must end; otherwise OK. */
static tenebra_code note_mistake(mistakes *m, size_t line, tenebra_code code, const tenebra_error *problem)
{
    if (code != TENEBRA_ERROR_ARGUMENT)
        return code;
    size_t place = m->count < MISTAKES_KEPT ? m->count : MISTAKES_KEPT;
    for (; place > 0 && m->first[place - 1].line - 1 > line - 1; place--) /* 0 - 1 is the largest number */
        m->first[place] = m->first[place - 1];
    m->first[place].line = line;
    m->first[place].problem = *problem;
    m->count++;
    return TENEBRA_OK;
}

/* Appends "PLACE: SENTENCE" without the hint about all keys, if there is room for it and for the number of further mistakes. */
static bool tell_mistake(const tenebra_error *problem, const char *path, char *all, size_t size)
{
    enum { ROOM = 40 };
    size_t length = strlen(path), used = strlen(all);
    bool here = strncmp(problem->where, path, length) == 0 && strncmp(problem->where + length, ", ", 2) == 0;
    const char *hint = strstr(problem->sentence, KEYS_HINT);
    int shown = hint != NULL ? (int)(hint - problem->sentence) : (int)strlen(problem->sentence);
    char text[sizeof problem->sentence + sizeof problem->where + 8];
    size_t wanted = (size_t)snprintf(text, sizeof text, "%s%s: %.*s", used > 0 ? "; " : "", problem->where + (here ? length + 2 : 0),
                                     shown, problem->sentence);
    if (used + wanted + ROOM >= size)
        return false;
    memcpy(all + used, text, wanted + 1);
    return true;
}

static tenebra_code tell_mistakes(const mistakes *m, const char *path, tenebra_error *error)
{
    char more[40] = "", all[sizeof error->sentence] = "";
    size_t told = 0;
    if (m->count == 0)
        return TENEBRA_OK;
    if (m->count == 1)
        return tn_fail(error, m->first[0].problem.code, m->first[0].problem.where, "%s", m->first[0].problem.sentence);
    while (told < m->count && told < MISTAKES_KEPT && tell_mistake(&m->first[told].problem, path, all, sizeof all))
        told++;
    if (told < m->count)
        snprintf(more, sizeof more, "; and %zu more", m->count - told);
    return tn_fail(error, TENEBRA_ERROR_ARGUMENT, path[0] != '\0' ? path : "configuration", "%zu mistakes. %s%s", m->count, all, more);
}

/* Reads a key that is the name of a method or a switch: the value true selects it. *taken: whether the key was one of these. */
static tenebra_code take_switch(tn_train_config *config, const tn_yaml_entry *entry, const char *where, bool *taken,
                                tenebra_error *error)
{
    const tn_train_switch *row = tn_train_switches;
    while (row->name != NULL && strcmp(row->name, entry->key) != 0)
        row++;
    const tn_method *method = row->name == NULL ? find_method(entry->key) : NULL;
    bool on = false;
    *taken = row->name != NULL || method != NULL;
    if (!*taken)
        return TENEBRA_OK;
    if (!tn_switch_read(entry->value, &on))
        return tn_fail(error, TENEBRA_ERROR_ARGUMENT, where, "%s: '%.100s' is neither true nor false", entry->key, entry->value);
    if (!on)
        return TENEBRA_OK;
    config->latents_off |= row->name != NULL && row->latents_off;
    const char *chosen = method != NULL ? method->name : row->method;
    if (chosen != NULL && config->method != NULL && strcmp(config->method, chosen) != 0)
        return tn_fail(error, TENEBRA_ERROR_ARGUMENT, where, "'%s' is true, and so is the choice of the method '%s'",
                       entry->key, config->method);
    if (chosen != NULL)
        config->method = chosen;
    return TENEBRA_OK;
}

/* Reads a key without effect, which is refused only if its value requests something that is not offered. */
static tenebra_code take_unused(tn_train_config *config, const tn_train_unused *unused, const tn_yaml_entry *entry, const char *where,
                                tenebra_error *error)
{
    bool on, wanted = strcmp(unused->values != NULL ? unused->values : "", "true") == 0;
    const tn_option values = { .name = unused->name, .kind = TN_OPTION_CHOICE, .argument = unused->values };
    bool fits = unused->values == NULL || entry->null || tn_option_check(&values, entry->value, NULL) == TENEBRA_OK ||
                (tn_switch_read(entry->value, &on) && on == wanted && (wanted || strcmp(unused->values, "false") == 0));
    if (!fits)
        return tn_fail(error, TENEBRA_ERROR_ARGUMENT, where,
                "'%s: %.100s' requests something that is not offered: %s", entry->key, entry->value,
                       unused->note);
    add_note(config, unused->name, unused->note);
    return TENEBRA_OK;
}

/* Whether the key is another trainer's name for a data set, with a value that is not NAME:DIRECTORY. */
static bool is_foreign_set(const tn_option *key, const tn_yaml_entry *entry)
{
    bool set = key->offset == offsetof(tn_train_config, data) || key->offset == offsetof(tn_train_config, validation);
    return set && strcmp(key->name, entry->key) != 0 && strchr(entry->value, ':') == NULL;
}

/* Refuses a key that the file also sets under another name. --set overrides the file under any name. */
static tenebra_code said_before(const tn_yaml_entry *entry, const tn_yaml_entry *earlier, const char *where, tenebra_error *error)
{
    return tn_fail(error, TENEBRA_ERROR_ARGUMENT, where, "'%s' is another name of '%s' in line %zu: leave one of them out", entry->key,
                   earlier->key, earlier->line);
}

static tenebra_code take_setting(tn_train_config *config, const tn_method *method, const tn_yaml_entry *entry,
                                 const char *where, tenebra_error *error)
{
    const tn_option *option = method ? tn_option_find(method->options, entry->key) : NULL;
    for (const tn_train_unused *unused = tn_train_unused_keys; option == NULL && unused->name != NULL; unused++)
        if (strcmp(unused->name, entry->key) == 0)
            return take_unused(config, unused, entry, where, error);
    if (option == NULL)
        return unknown_key(entry, method, where, error);
    if (entry->null)
        return TENEBRA_OK;
    for (const tn_yaml_entry *earlier = config->yaml.entries; earlier < entry && entry->line > 0; earlier++)
        if (!earlier->null && tn_option_is_same_name(earlier->key, option->name))
            return said_before(entry, earlier, where, error);
    if (option->means == TN_MEANS_LATENT_STEPS)
        return tn_fail(error, TENEBRA_ERROR_ARGUMENT, where, "'%s' is for asking; in training the stages decide how many latent steps "
                       "there are (max_latent_stage, c_thought)", entry->key);
    tenebra_error reason = { 0 };
    if (tn_option_check(option, entry->value, &reason) != TENEBRA_OK)
        return tn_fail(error, TENEBRA_ERROR_ARGUMENT, where, "%s: %.400s", entry->key, reason.sentence);
    if (config->setting_count == TN_TRAIN_SETTINGS_MAX)
        return tn_fail(error, TENEBRA_ERROR_LIMIT, where, "more than %d options of a method", TN_TRAIN_SETTINGS_MAX);
    config->settings[config->setting_count++] = (tenebra_setting){ option->name, entry->value };
    return TENEBRA_OK;
}

static tenebra_code take_entry(tn_train_config *config, const tn_yaml_entry *entry, const char *where, bool *taken,
                               tenebra_error *error)
{
    const tn_option *key = tn_option_find(tn_train_keys, entry->key);
    *taken = key != NULL;
    if (key == NULL)
        return entry->null ? TENEBRA_OK : take_switch(config, entry, where, taken, error);
    if (entry->null)
        return TENEBRA_OK;
    if (is_foreign_set(key, entry)) {
        add_note(config, entry->key, tn_train_no_set);
        return TENEBRA_OK;
    }
    for (const tn_yaml_entry *earlier = config->yaml.entries; earlier < entry && entry->line > 0; earlier++)
        if (!earlier->null && tn_option_find(tn_train_keys, earlier->key) == key && !is_foreign_set(key, earlier))
            return said_before(entry, earlier, where, error);
    TN_TRY(set_value(config, key, entry->key, entry->value, where, error));
    config->tuning_given |= key->offset == offsetof(tn_train_config, tuning);
    config->freeze_vision_given |= key->offset == offsetof(tn_train_config, freeze_vision);
    return TENEBRA_OK;
}

/* The keys of the table and the switches are read first, because they decide which options of methods are keys. */
static tenebra_code take_entries(tn_train_config *config, const char *path, bool *left, mistakes *wrong, tenebra_error *error)
{
    char where[200];
    for (size_t i = 0; i < config->yaml.count; i++) {
        const tn_yaml_entry *entry = &config->yaml.entries[i];
        tenebra_error problem = { 0 };
        bool taken;
        name_place(path, entry, where, sizeof where);
        tenebra_code code = take_entry(config, entry, where, &taken, &problem);
        if (code != TENEBRA_OK && note_mistake(wrong, entry->line, code, &problem) != TENEBRA_OK)
            return tn_fail(error, code, problem.where, "%s", problem.sentence);
        left[i] = !taken;
    }
    return TENEBRA_OK;
}

/* Whether the file sets the key, under any of its names; with `options`, also whether --set does. */
static bool is_set(const tn_train_config *config, const char *name, bool options)
{
    const tn_option *key = tn_option_find(tn_train_keys, name);
    for (size_t i = 0; i < config->yaml.count; i++)
        if ((options || config->yaml.entries[i].line > 0) && !config->yaml.entries[i].null &&
            tn_option_find(tn_train_keys, config->yaml.entries[i].key) == key)
            return true;
    return false;
}

/* Pairs of keys of which the first has no effect if the file also sets the second. */
static void note_overruled(tn_train_config *config)
{
    const struct {
        const char *key, *other, *note;
        bool counts; /* the second key is in effect */
    } rows[] = {
        { "image_min_pixels", "image_size", "image_size overrides it", config->image.width > 0 },
        { "image_max_pixels", "image_size", "image_size overrides it", config->image.width > 0 },
        { "warmup_ratio", "warmup_steps", "warmup_steps overrides it", config->warmup_updates > 0 },
        { "model", "load_model_path", "load_model_path overrides it", config->load_model != NULL },
        { "save_path", "output", "output overrides it", config->output != NULL },
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++)
        if (rows[i].counts && is_set(config, rows[i].key, false) && is_set(config, rows[i].other, false))
            add_note(config, rows[i].key, rows[i].note);
}

/* Keys that other choices of the recipe leave without effect. A value that asks for what happens anyway is not noted. */
static void note_pointless(tn_train_config *config)
{
    static const char all[] = "all weights are trained (finetuning_type: full)",
                      unstaged[] = "the method has no latent steps, and so the training no stages",
                      given[] = "the weights are those of a model directory";
    bool full = config->tuning == TN_TUNE_FULL, staged = tn_method_option_that_means(config->method, TN_MEANS_LATENT_STEPS) != NULL;
    const struct {
        const char *key, *note;
        bool counts;
    } rows[] = {
        { "lora_rank", all, full },
        { "lora_alpha", all, full },
        { "lora_dropout", all, full },
        { "use_rslora", all, full },
        { "lora_target", all, full },
        { "lora_names", all, full },
        { "save_dtype", "adapters are written in f32", !full && config->save_type != 0 },
        { "c_thought", unstaged, !staged },
        { "epochs_per_stage", unstaged, !staged },
        { "max_latent_stage", unstaged, !staged },
        { "pad_latent_to_max", unstaged, !staged },
        { "uniform_prob", unstaged, !staged },
        { "init_std", given, config->shape == NULL && config->fresh == NULL },
        { "tokenizer", "the model directory has its own", config->shape == NULL },
        { "name", "it names a directory in save_path", config->save_path == NULL },
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++)
        if (rows[i].counts && is_set(config, rows[i].key, true))
            add_note(config, rows[i].key, rows[i].note);
}

/* Methods that are defined by the exact gradient of their loop are trained with it unless the recipe says otherwise. */
static void find_gradients(tn_train_config *config)
{
    bool hidden = is_set(config, "latent_grad_full", true), picks = is_set(config, "picks_grad_full", true);
    bool exact = tn_method_find(config->method)->exact_gradient;
    config->full_latent_grad = hidden ? config->full_latent_grad : exact;
    config->full_picks_grad = picks ? config->full_picks_grad : exact;
    config->exact_by_method = exact && !(hidden && picks);
}

static tenebra_code find_defaults(tn_train_config *config, tenebra_error *error)
{
    if (config->schedule == TN_SCHEDULE_COSINE + 1) /* constant_with_warmup is the same as constant */
        config->schedule = TN_SCHEDULE_CONSTANT;
    if (!config->tuning_given)
        config->tuning = config->shape != NULL ? TN_TUNE_FULL : TN_TUNE_LORA;
    if (!config->freeze_vision_given)
        config->freeze_vision = config->shape == NULL;
    const char *useless = config->fresh != NULL ? "fresh" : config->trainable != NULL ? "trainable" : NULL;
    if (useless != NULL && config->tuning == TN_TUNE_LORA)
        return tn_fail(error, TENEBRA_ERROR_ARGUMENT, useless,
                "has no effect on an adapter; add 'finetuning_type: full', or leave it out");
    find_gradients(config);
    note_pointless(config);
    if (config->load_model != NULL)
        config->model = config->load_model;
    if (config->output != NULL || config->save_path == NULL)
        return TENEBRA_OK;
    const char *name = config->name != NULL ? config->name : "run";
    size_t size = strlen(config->save_path) + strlen(name) + 2;
    config->joined_output = malloc(size);
    if (config->joined_output == NULL)
        return tn_fail(error, TENEBRA_ERROR_MEMORY, "output", "no memory");
    snprintf(config->joined_output, size, "%s/%s", config->save_path, name);
    config->output = config->joined_output;
    return TENEBRA_OK;
}

/* A model that is trained on rationales does not need a cue that asks for them, so the cue is empty unless it is given. */
static void add_empty_cue(tn_train_config *config, const tn_method *method)
{
    const tn_option *cue = tn_option_that_means(method->options, TN_MEANS_CUE);
    for (size_t i = 0; i < config->setting_count && cue != NULL; i++)
        if (strcmp(config->settings[i].name, cue->name) == 0)
            return;
    if (cue != NULL && config->setting_count < TN_TRAIN_SETTINGS_MAX)
        config->settings[config->setting_count++] = (tenebra_setting){ cue->name, "" };
}

/* The wording may say how many embeddings a latent step picks. */
static void add_wording_setting(tn_train_config *config)
{
    if (config->setting_count < TN_TRAIN_SETTINGS_MAX)
        config->setting_count += tn_wording_setting(tn_prompt_find(config->prompt), config->method, config->settings, config->setting_count,
                                                    config->picks, &config->settings[config->setting_count]);
}

/* The error about an unknown method, with the line that names it. */
static tenebra_code note_method(const tn_train_config *config, const char *path, mistakes *wrong, tenebra_error *error)
{
    char where[200] = "method";
    size_t line = 0;
    const tn_method *method;
    tenebra_error reason = { 0 }, problem = { 0 };
    tn_method_choose(config->method, &method, &reason);
    for (size_t i = 0; i < config->yaml.count; i++)
        if (strcmp(config->yaml.entries[i].key, "method") == 0) {
            name_place(path, &config->yaml.entries[i], where, sizeof where);
            line = config->yaml.entries[i].line;
        }
    tn_fail(&problem, TENEBRA_ERROR_ARGUMENT, where, "method: %.400s", reason.sentence);
    return note_mistake(wrong, line, problem.code, &problem) == TENEBRA_OK
               ? TENEBRA_OK : tn_fail(error, problem.code, problem.where, "%s", problem.sentence);
}

static bool is_option_of_any(const char *name)
{
    for (size_t i = 0; tn_methods[i] != NULL; i++)
        if (tn_option_find(tn_methods[i]->options, name) != NULL)
            return true;
    return false;
}

static tenebra_code interpret(tn_train_config *config, const char *path, bool *left, tenebra_error *error)
{
    char where[200];
    mistakes wrong = { 0 };
    TN_TRY(tn_options_set_defaults(tn_train_keys, config, error));
    TN_TRY(take_entries(config, path, left, &wrong, error));
    if (config->method == NULL)
        config->method = tn_train_default_method;
    const tn_method *method = find_method(config->method);
    if (method == NULL)
        TN_TRY(note_method(config, path, &wrong, error));
    else
        config->method = method->name;
    for (size_t i = 0; i < config->yaml.count; i++) {
        tenebra_error problem = { 0 };
        if (method == NULL && is_option_of_any(config->yaml.entries[i].key))
            continue;
        name_place(path, &config->yaml.entries[i], where, sizeof where);
        tenebra_code code = left[i] ? take_setting(config, method, &config->yaml.entries[i], where, &problem) : TENEBRA_OK;
        if (code != TENEBRA_OK && note_mistake(&wrong, config->yaml.entries[i].line, code, &problem) != TENEBRA_OK)
            return tn_fail(error, code, problem.where, "%s", problem.sentence);
    }
    TN_TRY(tell_mistakes(&wrong, path, error));
    add_empty_cue(config, method);
    add_wording_setting(config);
    note_overruled(config);
    return find_defaults(config, error);
}

/* Takes ownership of what was read, as config->yaml. */
static tenebra_code take_yaml(tn_train_config *config, const char *name, tenebra_code code, tenebra_error *error)
{
    bool *left = calloc(config->yaml.count + 1, sizeof *left);
    if (code == TENEBRA_OK && left == NULL)
        code = tn_fail(error, TENEBRA_ERROR_MEMORY, "configuration", "no memory");
    if (code == TENEBRA_OK)
        code = interpret(config, name, left, error);
    free(left);
    if (code != TENEBRA_OK)
        tn_train_config_free(config);
    return code;
}

tenebra_code tn_train_config_read(tn_train_config *config, const char *path, const char *const *overrides,
                                  size_t override_count, tenebra_error *error)
{
    *config = (tn_train_config){ 0 };
    tenebra_code code = path != NULL ? tn_yaml_read(&config->yaml, path, error) : TENEBRA_OK;
    for (size_t i = 0; i < override_count && code == TENEBRA_OK; i++)
        code = tn_yaml_set(&config->yaml, overrides[i], error);
    return take_yaml(config, path ? path : "", code, error);
}

tenebra_code tn_train_config_parse(tn_train_config *config, const void *text, size_t length, const char *name, tenebra_error *error)
{
    *config = (tn_train_config){ 0 };
    return take_yaml(config, name, tn_yaml_parse(&config->yaml, text, length, name, error), error);
}

void tn_train_config_free(tn_train_config *config)
{
    tn_yaml_free(&config->yaml);
    free(config->joined_output);
    *config = (tn_train_config){ 0 };
}
