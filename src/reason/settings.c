/* Settings: values of a method's options in a request, checked against the method's option table. */
#include "reason/parts.h"

#include "base/nearest.h"

#include <stdio.h>
#include <string.h>

const char *tn_method_default(void)
{
    size_t at = 0;
    while (tn_methods[at + 1] != NULL && !tn_methods[at]->standard)
        at++;
    return tn_methods[at]->name;
}

tenebra_code tn_method_lacks_option(const tn_method *method, const char *option, tenebra_error *error)
{
    tn_nearest nearest = tn_nearest_of(option, strlen(option));
    for (const tn_option *row = method->options; row->name != NULL; row++)
        tn_nearest_try(&nearest, row->name);
    return tn_fail(error, TENEBRA_ERROR_ARGUMENT, option, "method %s has no such option%s", method->name,
                   tn_nearest_hint(&nearest));
}

size_t tn_setting_size(const tn_reasoner *reasoner, size_t option)
{
    return reasoner->values[option].size;
}

double tn_setting_number(const tn_reasoner *reasoner, size_t option)
{
    return reasoner->values[option].number;
}

size_t tn_setting_choice(const tn_reasoner *reasoner, size_t option)
{
    return reasoner->values[option].size;
}

const size_t *tn_setting_sides(const tn_reasoner *reasoner, size_t option)
{
    return reasoner->values[option].sides;
}

const char *tn_setting_text(const tn_reasoner *reasoner, size_t option)
{
    return reasoner->values[option].text;
}

const tenebra_input *tn_reasoner_input(const tn_reasoner *reasoner, const char *name)
{
    for (size_t i = 0; i < reasoner->request->input_count; i++)
        if (strcmp(reasoner->request->inputs[i].name, name) == 0)
            return &reasoner->request->inputs[i];
    return NULL;
}

/* Unlike tn_option_find, this requires the exact name of the option. */
static const tn_option *find_option(const tn_method *method, const char *name)
{
    const tn_option *option = tn_option_find(method->options, name);
    return option != NULL && strcmp(option->name, name) == 0 ? option : NULL;
}

const tn_option *tn_method_option(const char *method, const char *name)
{
    const tn_method *found = method != NULL ? tn_method_find(method) : NULL;
    return found != NULL ? find_option(found, name) : NULL;
}

const tn_option *tn_method_option_that_means(const char *method, tn_option_meaning means)
{
    const tn_method *found = method != NULL ? tn_method_find(method) : NULL;
    return found != NULL ? tn_option_that_means(found->options, means) : NULL;
}

bool tn_setting_that_means(const char *method, tn_option_meaning means, size_t value, char text[TN_SETTING_TEXT_SIZE],
                           tenebra_setting *setting)
{
    const tn_option *option = tn_method_option_that_means(method, means);
    if (option == NULL)
        return false;
    snprintf(text, TN_SETTING_TEXT_SIZE, "%zu", value);
    *setting = (tenebra_setting){ option->name, text };
    return true;
}

tenebra_code tn_method_check_setting(const tn_method *method, const char *name, const char *value, tenebra_error *error)
{
    const tn_option *option = find_option(method, name);
    return option != NULL ? tn_option_check(option, value, error) : tn_method_lacks_option(method, name, error);
}

tenebra_code tn_reasoner_read_settings(tn_reasoner *reasoner, tenebra_error *error)
{
    const tenebra_request *request = reasoner->request;
    const tn_option *options = reasoner->method->options;
    size_t count = 0;
    while (options[count].name != NULL)
        count++;
    reasoner->values = tn_reasoner_take(reasoner, count + 1, sizeof *reasoner->values);
    tenebra_setting *effective = tn_reasoner_take(reasoner, count + 1, sizeof *effective);
    if (reasoner->values == NULL || effective == NULL)
        return tn_fail_session_full(error);
    for (size_t i = 0; i < count; i++)
        effective[i] = (tenebra_setting){ options[i].name, options[i].value };
    for (size_t s = 0; s < request->setting_count; s++) {
        const tenebra_setting *setting = &request->settings[s];
        TN_TRY(tn_method_check_setting(reasoner->method, setting->name, setting->value, error));
        effective[find_option(reasoner->method, setting->name) - options].value = setting->value;
    }
    for (size_t i = 0; i < count; i++)
        TN_TRY(tn_option_read(&options[i], effective[i].value, &reasoner->values[i], error));
    reasoner->trace.settings = effective;
    reasoner->trace.setting_count = count;
    return TENEBRA_OK;
}

tenebra_code tn_positions_check(const char *word, tenebra_error *error)
{
    if (strcmp(word, "sequential") == 0 || strcmp(word, "mrope") == 0)
        return TENEBRA_OK;
    return tn_fail(error, TENEBRA_ERROR_ARGUMENT, "positions", "'%s' is not one of sequential|mrope", word);
}

tenebra_code tn_reasoner_read_positions(tn_reasoner *reasoner, tenebra_error *error)
{
    const char *word = reasoner->request->positions;
    reasoner->sequential = reasoner->method->sequential;
    if (word == NULL)
        return TENEBRA_OK;
    TN_TRY(tn_positions_check(word, error));
    reasoner->sequential = word[0] == 's';
    return TENEBRA_OK;
}
