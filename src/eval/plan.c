#include "eval/plan.h"

#include "data/strings.h"
#include "reason/method.h"

#include <stdlib.h>
#include <string.h>

static tenebra_setting *find_setting(tn_eval_entry *entry, const char *option)
{
    for (size_t i = 0; i < entry->setting_count; i++)
        if (strcmp(entry->settings[i].name, option) == 0)
            return &entry->settings[i];
    return NULL;
}

const char *tn_eval_entry_value(const tn_eval_entry *entry, const char *option)
{
    const tn_option *row = tn_method_option(entry->method, option);
    for (size_t i = 0; i < entry->setting_count; i++)
        if (strcmp(entry->settings[i].name, option) == 0)
            return entry->settings[i].value;
    return row != NULL ? row->value : NULL;
}

tenebra_code tn_eval_entry_set(tn_eval_entry *entry, const char *option, const char *value, tenebra_error *error)
{
    const tn_option *row = tn_method_option(entry->method, option);
    if (row == NULL)
        return tn_method_lacks_option(tn_method_find(entry->method), option, error);
    TN_TRY(tn_option_check(row, value, error));
    char *copy = strdup(value);
    if (copy == NULL)
        return tn_fail_memory(error, "eval");
    if (row->means == TN_MEANS_LATENT_TEXT)
        entry->other = strcmp(value, TN_LATENT_TEXT_GIVEN) == 0;
    tenebra_setting *setting = find_setting(entry, option);
    if (setting != NULL) {
        free((void *)(uintptr_t)setting->value);
        setting->value = copy;
        return TENEBRA_OK;
    }
    char *name = strdup(option);
    if (name == NULL || entry->setting_count == TN_EVAL_SETTINGS_MAX) {
        free(name);
        free(copy);
        return name == NULL ? tn_fail_memory(error, "eval")
                            : tn_fail(error, TENEBRA_ERROR_LIMIT, entry->label, "has more than %d settings", TN_EVAL_SETTINGS_MAX);
    }
    entry->settings[entry->setting_count++] = (tenebra_setting){ name, copy };
    return TENEBRA_OK;
}

static void free_entry(tn_eval_entry *entry)
{
    for (size_t i = 0; i < entry->setting_count; i++) {
        free((void *)(uintptr_t)entry->settings[i].name);
        free((void *)(uintptr_t)entry->settings[i].value);
    }
    free(entry->label);
    free(entry->method);
}

/* Reads the parts ":OPTION=VALUE" of `text`, into which it writes zeros. */
static tenebra_code read_settings(tn_eval_entry *entry, char *text, tenebra_error *error)
{
    while (text != NULL) {
        char *next = strchr(text, ':'), *equals;
        if (next != NULL)
            *next++ = '\0';
        equals = strchr(text, '=');
        if (equals == NULL || equals == text)
            return tn_fail(error, TENEBRA_ERROR_ARGUMENT, entry->label, "'%s' is not of the form OPTION=VALUE", text);
        *equals = '\0';
        if (find_setting(entry, text) != NULL)
            return tn_fail(error, TENEBRA_ERROR_ARGUMENT, entry->label, "sets '%s' twice", text);
        TN_TRY(tn_eval_entry_set(entry, text, equals + 1, error));
        text = next;
    }
    return TENEBRA_OK;
}

static tenebra_code read_entry(tn_eval_entry *entry, const char *text, tenebra_error *error)
{
    const tn_method *method;
    entry->label = strdup(text);
    entry->method = strdup(text);
    if (entry->label == NULL || entry->method == NULL)
        return tn_fail_memory(error, "eval");
    char *settings = strchr(entry->method, ':');
    if (settings != NULL)
        *settings++ = '\0';
    TN_TRY(tn_method_choose(entry->method, &method, error));
    return read_settings(entry, settings, error);
}

tenebra_code tn_eval_plan_add(tn_eval_plan *plan, const char *text, tenebra_error *error)
{
    if (plan->entry_count == TN_EVAL_ENTRIES_MAX)
        return tn_fail(error, TENEBRA_ERROR_LIMIT, "method", "there are more than %d", TN_EVAL_ENTRIES_MAX);
    for (size_t i = 0; i < plan->entry_count; i++)
        if (strcmp(plan->entries[i].label, text) == 0)
            return tn_fail(error, TENEBRA_ERROR_ARGUMENT, "method", "'%s' occurs twice", text);
    TN_TRY(TN_GROW(plan->entries, plan->entry_count, "eval", error));
    tn_eval_entry *entry = &plan->entries[plan->entry_count];
    *entry = (tn_eval_entry){ 0 };
    tenebra_code code = read_entry(entry, text, error);
    if (code == TENEBRA_OK)
        plan->entry_count++;
    else
        free_entry(entry);
    return code;
}

tenebra_code tn_eval_plan_set(tn_eval_plan *plan, const char *method, const char *option, const char *value,
                              tenebra_error *error)
{
    bool found = false;
    for (size_t i = 0; i < plan->entry_count; i++) {
        tn_eval_entry *entry = &plan->entries[i];
        if ((method != NULL && strcmp(entry->method, method) != 0) || tn_method_option(entry->method, option) == NULL)
            continue;
        found = true;
        if (find_setting(entry, option) == NULL)
            TN_TRY(tn_eval_entry_set(entry, option, value, error));
    }
    if (found)
        return TENEBRA_OK;
    if (method == NULL)
        return tn_fail(error, TENEBRA_ERROR_ARGUMENT, option, "is not an option of the methods asked for; 'tenebra run --help' lists them");
    const tn_method *known;
    TN_TRY(tn_method_choose(method, &known, error));
    if (tn_method_option(method, option) == NULL)
        return tn_method_lacks_option(known, option, error);
    return tn_fail(error, TENEBRA_ERROR_ARGUMENT, option, "is set for the method %s, which is not among those asked for (--method)",
                   method);
}

void tn_eval_plan_free(tn_eval_plan *plan)
{
    for (size_t i = 0; i < plan->entry_count; i++)
        free_entry(&plan->entries[i]);
    free(plan->entries);
    plan->entries = NULL;
    plan->entry_count = 0;
}

/* ------------------------------------------------------------- questions -- */

/* Requires that every id in the list exists. */
static tenebra_code check_ids(const tn_eval_questions *questions, const char *list, tenebra_error *error)
{
    for (const char *at = list; *at != '\0'; at += strcspn(at, ","), at += *at == ',') {
        size_t length = strcspn(at, ",");
        bool found = false;
        for (size_t i = 0; i < questions->count && !found; i++)
            found = strlen(questions->samples[i]->id) == length && strncmp(questions->samples[i]->id, at, length) == 0;
        if (!found)
            return tn_fail(error, TENEBRA_ERROR_ARGUMENT, "ids", "there is no question '%.*s' among those of the split",
                           (int)(length < 200 ? length : 200), at);
    }
    return TENEBRA_OK;
}

static tenebra_code select_questions(tn_eval_questions *questions, const tn_eval_plan *plan, tenebra_error *error)
{
    size_t count = tn_data_count(questions->data);
    questions->samples = calloc(count + 1, sizeof *questions->samples);
    if (questions->samples == NULL)
        return tn_fail_memory(error, "eval");
    for (size_t i = 0; i < count; i++) {
        const tn_sample *sample = tn_data_sample(questions->data, i);
        if (tn_is_listed(plan->ids, sample->id))
            questions->samples[questions->count++] = sample;
    }
    if (plan->ids != NULL)
        TN_TRY(check_ids(questions, plan->ids, error));
    if (plan->limit > 0 && questions->count > plan->limit)
        questions->count = plan->limit;
    if (questions->count == 0)
        return tn_fail(error, TENEBRA_ERROR_ARGUMENT, plan->data, "the split '%s' has no questions%s",
                       plan->split != NULL ? plan->split : "test", tn_data_rows(questions->data) > tn_data_rows_with_image(questions->data)
                           ? "; --without-images also takes those without an image" : "; --split names another one ('tenebra data list')");
    return TENEBRA_OK;
}

/* An example that none of the methods shows is a mistake. */
static tenebra_code open_example(tn_eval_questions *questions, const tn_eval_plan *plan, tenebra_error *error)
{
    bool wanted = false;
    if (plan->example == NULL)
        return TENEBRA_OK;
    for (size_t i = 0; i < plan->entry_count; i++)
        wanted |= tn_method_find(plan->entries[i].method)->reply != TN_REPLY_NONE;
    if (!wanted)
        return tn_fail(error, TENEBRA_ERROR_ARGUMENT, "example", "none of the methods shows one");
    return tn_example_read(&questions->example, plan->example, questions->preset, error);
}

tenebra_code tn_eval_questions_open(tn_eval_questions *questions, const tn_eval_plan *plan, tenebra_error *error)
{
    *questions = (tn_eval_questions){ 0 };
    if (plan->preset != NULL)
        TN_TRY(tn_prompt_choose(plan->preset, &questions->preset, error));
    tn_data_options options = { .without_images = plan->without_images, .held_out = plan->held_out,
                                .part = plan->held_out > 0 ? TN_PART_HELD : TN_PART_OF_SPLIT };
    TN_TRY(tn_data_open(plan->data, plan->split ? plan->split : "test", &options, &questions->data, error));
    if (questions->preset == NULL)
        questions->preset = tn_data_prompt(questions->data);
    tenebra_code code = select_questions(questions, plan, error);
    if (code == TENEBRA_OK)
        code = open_example(questions, plan, error);
    if (code != TENEBRA_OK)
        tn_eval_questions_close(questions);
    return code;
}

void tn_eval_questions_close(tn_eval_questions *questions)
{
    free(questions->samples);
    tn_example_free(&questions->example);
    tn_data_close(questions->data);
    *questions = (tn_eval_questions){ 0 };
}
