/* Settings: what a request asks of a method, checked against the method's options. */
#include "reason/parts.h"

#include "base/nearest.h"

#include <stdlib.h>
#include <string.h>

tenebra_code tn_method_lacks_option(const tn_method *method, const char *option, tenebra_error *error)
{
    tn_nearest nearest = tn_nearest_of(option, strlen(option));
    for (const tenebra_option *row = method->options; row->name != NULL; row++)
        tn_nearest_try(&nearest, row->name);
    return tn_fail(error, TENEBRA_ERROR_ARGUMENT, option, "method %s has no such option%s", method->name,
                   tn_nearest_hint(&nearest));
}

double tn_setting_number(const tn_reasoner *reasoner, size_t option)
{
    return strtod(reasoner->values[option], NULL);
}

const char *tn_setting_text(const tn_reasoner *reasoner, size_t option)
{
    return reasoner->values[option];
}

/* The place of `value` among "a|b|c"; how many there are if it is none of them. */
static size_t place_of_word(const char *words, const char *value)
{
    size_t length = strlen(value), place = 0;
    for (;; place++) {
        size_t word = strcspn(words, "|");
        if (word == length && memcmp(words, value, length) == 0)
            return place;
        if (words[word] == '\0')
            return place + 1;
        words += word + 1;
    }
}

static size_t count_words(const char *words)
{
    size_t count = 1;
    for (; *words != '\0'; words++)
        count += *words == '|';
    return count;
}

size_t tn_setting_choice(const tn_reasoner *reasoner, size_t option)
{
    return place_of_word(reasoner->method->options[option].argument, reasoner->values[option]);
}

tenebra_code tn_setting_check(const tenebra_option *option, const char *value, tenebra_error *error)
{
    if (strchr(option->argument, '|') != NULL) {
        if (place_of_word(option->argument, value) < count_words(option->argument))
            return TENEBRA_OK;
        tn_nearest nearest = tn_nearest_of(value, strlen(value));
        tn_nearest_try_list(&nearest, option->argument, '|');
        return tn_fail(error, TENEBRA_ERROR_ARGUMENT, option->name, "'%s' is not one of %s%s", value, option->argument,
                       tn_nearest_hint(&nearest));
    }
    if (option->minimum == 0 && option->maximum == 0) /* free text */
        return TENEBRA_OK;
    char *end;
    double number = strtod(value, &end);
    if (end == value || *end != '\0' || !(number >= option->minimum && number <= option->maximum) ||
        number != floor(number))
        return tn_fail(error, TENEBRA_ERROR_ARGUMENT, option->name, "'%s' is not a whole number from %g to %g", value,
                       option->minimum, option->maximum);
    return TENEBRA_OK;
}

static const tenebra_option *find_option(const tn_method *method, const char *name)
{
    for (const tenebra_option *option = method->options; option->name != NULL; option++)
        if (strcmp(option->name, name) == 0)
            return option;
    return NULL;
}

bool tn_method_has_option(const char *method, const char *name)
{
    const tn_method *found = method != NULL ? tn_method_find(method) : NULL;
    return found != NULL && find_option(found, name) != NULL;
}

tenebra_code tn_method_check_setting(const tn_method *method, const char *name, const char *value, tenebra_error *error)
{
    const tenebra_option *option = find_option(method, name);
    return option != NULL ? tn_setting_check(option, value, error) : tn_method_lacks_option(method, name, error);
}

tenebra_code tn_reasoner_read_settings(tn_reasoner *reasoner, tenebra_error *error)
{
    const tenebra_request *request = reasoner->request;
    const tenebra_option *options = reasoner->method->options;
    size_t count = 0;
    while (options[count].name != NULL)
        count++;
    reasoner->values = tn_reasoner_take(reasoner, count + 1, sizeof *reasoner->values);
    tenebra_setting *effective = tn_reasoner_take(reasoner, count + 1, sizeof *effective);
    if (reasoner->values == NULL || effective == NULL)
        return tn_fail_session_full(error);
    for (size_t i = 0; i < count; i++)
        reasoner->values[i] = options[i].value;
    for (size_t s = 0; s < request->setting_count; s++) {
        const tenebra_setting *setting = &request->settings[s];
        TN_TRY(tn_method_check_setting(reasoner->method, setting->name, setting->value, error));
        reasoner->values[find_option(reasoner->method, setting->name) - options] = setting->value;
    }
    for (size_t i = 0; i < count; i++)
        effective[i] = (tenebra_setting){ options[i].name, reasoner->values[i] };
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
