/* Values of options: each kind is read here, and what is wrong with one is said with where it came from. */
#include "app/app.h"

#include "base/nearest.h"
#include "base/number.h"
#include "data/sample.h"
#include "kern/kernels.h"
#include "reason/method.h"
#include "text/chat.h"

#include <ctype.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

extern char **environ;

enum { PREFIX = sizeof "TENEBRA_" - 1 };

static int mistake(const tn_usage *usage, const char *source, const char *value, const char *sentence)
{
    tn_app_tell("tenebra %s: %s'%s': %s\n", usage->command, source, value, sentence);
    return TN_EXIT_USAGE;
}

/* Whether `value` is one of the words of "a|b|c"; a list without '|' allows everything. */
static bool is_choice(const char *choices, const char *value)
{
    if (strchr(choices, '|') == NULL)
        return true;
    size_t length = strlen(value);
    for (const char *word = choices; word != NULL; word = strchr(word, '|')) {
        word += *word == '|';
        if (strncmp(word, value, length) == 0 && (word[length] == '|' || word[length] == '\0'))
            return true;
    }
    return false;
}

/* ------------------------------------------------------------- numbers -- */

static int store_whole(const tn_usage *usage, const tn_option *option, const char *value, const char *source)
{
    bool bounded = option->minimum != 0 || option->maximum != 0;
    uint64_t number, minimum = (uint64_t)option->minimum;
    uint64_t maximum = bounded && option->kind == TN_OPTION_SIZE ? (uint64_t)option->maximum : TN_WHOLE_MAX;
    char most[64] = "", sentence[160];
    if (bounded || option->kind == TN_OPTION_SEED)
        snprintf(most, sizeof most, " and at most %llu", (unsigned long long)maximum);
    snprintf(sentence, sizeof sentence, "must be a whole number%s, at least %llu%s",
             strcmp(option->name, "threads") == 0 ? " of threads (for the temperature use --temp)" : "",
             (unsigned long long)minimum, most);
    if (!tn_whole_read(value, &number) || number < minimum || number > maximum)
        return mistake(usage, source, value, sentence);
    if (option->kind == TN_OPTION_SEED)
        *(uint64_t *)option->target = number;
    else
        *(size_t *)option->target = (size_t)number;
    return TN_EXIT_OK;
}

static int store_number(const tn_usage *usage, const tn_option *option, const char *value, const char *source)
{
    char *end, sentence[128];
    errno = 0;
    double number = strtod(value, &end);
    bool bounded = option->minimum != 0 || option->maximum != 0;
    if (end == value || *end != '\0' || errno != 0 || !(number == number))
        return mistake(usage, source, value, "is not a number");
    if (bounded ? !(number >= option->minimum && number <= option->maximum) : !(number >= 0 && number <= 1e18)) {
        snprintf(sentence, sizeof sentence, "must lie between %.15g and %.15g", option->minimum,
                 bounded ? option->maximum : 1e18);
        return mistake(usage, source, value, sentence);
    }
    *(double *)option->target = number;
    return TN_EXIT_OK;
}

bool tn_app_read_pixels(const char *text, size_t *width, size_t *height)
{
    char number[8];
    size_t digits = strcspn(text, "x");
    uint64_t sides[2];
    if (digits >= sizeof number || text[digits] == '\0')
        return false;
    memcpy(number, text, digits);
    number[digits] = '\0';
    if (!tn_whole_read(number, &sides[0]) || !tn_whole_read(text + digits + 1, &sides[1]) || sides[0] - 1 >= 65535 ||
        sides[1] - 1 >= 65535)
        return false;
    *width = (size_t)sides[0];
    *height = (size_t)sides[1];
    return true;
}

/* ------------------------------------------------------------ switches -- */

/* On the command line (no value) a switch is on. */
static int store_switch(const tn_usage *usage, const tn_option *option, const char *value, const char *source)
{
    bool on = true;
    if (value != NULL && !tn_switch_read(value, &on))
        return mistake(usage, source, value, "is a switch: 1 or 0, true or false");
    *(bool *)option->target = on;
    return TN_EXIT_OK;
}

/* --------------------------------------------------------------- texts -- */

static tenebra_code check_setting(const char *name, const char *value, tenebra_error *error)
{
    for (const tn_method *const *method = tn_methods; *method != NULL; method++)
        for (const tenebra_option *row = (*method)->options; row->name != NULL; row++)
            if (strcmp(row->name, name) == 0)
                return tn_setting_check(row, value, error);
    return TENEBRA_OK;
}

static tenebra_code check_text(const tn_option *option, const char *value, tenebra_error *error)
{
    const tn_chat_template *style;
    size_t width, height;
    tn_nearest nearest = tn_nearest_of(value, strlen(value));
    switch (option->kind) {
    case TN_OPTION_KERNELS: /* a set that this machine does not run is not a mistake in the command */
        return tn_kernels_choose(value, error) == NULL && error->code == TENEBRA_ERROR_ARGUMENT ? error->code : TENEBRA_OK;
    case TN_OPTION_WORDING:
        return tn_prompt_choose(value, error) != NULL ? TENEBRA_OK : TENEBRA_ERROR_ARGUMENT;
    case TN_OPTION_TEMPLATE:
        return tn_chat_template_find("", value, NULL, &style, error);
    case TN_OPTION_PIXELS:
        return tn_app_read_pixels(value, &width, &height)
                   ? TENEBRA_OK
                   : tn_fail(error, TENEBRA_ERROR_ARGUMENT, option->name, "must be WIDTHxHEIGHT in pixels, e.g. 280x280");
    case TN_OPTION_SETTING:
        return check_setting(option->name, value, error);
    default:
        tn_nearest_try_list(&nearest, option->argument, '|');
        return is_choice(option->argument, value) ? TENEBRA_OK
                                                  : tn_fail(error, TENEBRA_ERROR_ARGUMENT, option->name, "choose one of %s%s",
                                                            option->argument, tn_nearest_hint(&nearest));
    }
}

static int store_text(const tn_usage *usage, const tn_option *option, const char *value, const char *source)
{
    tenebra_error error = { 0 };
    if (check_text(option, value, &error) != TENEBRA_OK)
        return mistake(usage, source, value, error.sentence);
    *(const char **)option->target = value;
    return TN_EXIT_OK;
}

static int store_list(const tn_option *option, const char *value)
{
    tn_option_list *list = option->target;
    const char **items = realloc(list->items, (list->count + 1) * sizeof *items);
    if (items == NULL) {
        tn_app_tell("tenebra: --%s: no memory for %zu values\n", option->name, list->count + 1);
        return TN_EXIT_FAILED;
    }
    list->items = items;
    list->items[list->count++] = value;
    return TN_EXIT_OK;
}

int tn_option_store(const tn_usage *usage, const tn_option *option, const char *value, const char *source)
{
    switch (option->kind) {
    case TN_OPTION_FLAG:
        return store_switch(usage, option, value, source);
    case TN_OPTION_LIST:
        return store_list(option, value);
    case TN_OPTION_SIZE:
    case TN_OPTION_SEED:
        return store_whole(usage, option, value, source);
    case TN_OPTION_NUMBER:
        return store_number(usage, option, value, source);
    default:
        return store_text(usage, option, value, source);
    }
}

/* --------------------------------------------------------- environment -- */

char *tn_option_variable(const char *option, char variable[TN_OPTION_VARIABLE_SIZE])
{
    size_t length = (size_t)snprintf(variable, TN_OPTION_VARIABLE_SIZE, "TENEBRA_");
    for (const char *c = option; *c != '\0' && length + 1 < TN_OPTION_VARIABLE_SIZE; c++)
        variable[length++] = *c == '-' ? '_' : (char)toupper((unsigned char)*c);
    variable[length] = '\0';
    return variable;
}

/* Variables of the build and its tests. */
static const char *const others[] = { "TENEBRA_CMAKE_ARGS", "TENEBRA_EVAL_DATA", "TENEBRA_QWEN_TOKENIZER", NULL };

static bool is_variable(const char *name, const char *entry)
{
    size_t length = strlen(name);
    return strncmp(name, entry, length) == 0 && entry[length] == '=';
}

/* Whether a command reads the variable of "NAME=VALUE"; else *nearest tells which option's name is near. */
static bool is_known(const char *entry, tn_nearest *nearest)
{
    char variable[TN_OPTION_VARIABLE_SIZE];
    const tenebra_option *rows;
    bool known = false;
    *nearest = tn_nearest_of(entry + PREFIX, strcspn(entry + PREFIX, "="));
    for (size_t i = 0; others[i] != NULL; i++)
        known |= is_variable(others[i], entry);
    for (size_t i = 0; tn_option_names[i] != NULL; i++) {
        known |= is_variable(tn_option_variable(tn_option_names[i], variable), entry);
        tn_nearest_try(nearest, tn_option_names[i]);
    }
    for (size_t m = 0; tenebra_method_at(m, NULL, &rows) != NULL; m++)
        for (; rows->name != NULL; rows++) {
            known |= is_variable(tn_option_variable(rows->name, variable), entry);
            tn_nearest_try(nearest, rows->name);
        }
    return known;
}

void tn_options_note_unknown_variables(void)
{
    char variable[TN_OPTION_VARIABLE_SIZE];
    for (char **entry = environ; entry != NULL && *entry != NULL; entry++) {
        tn_nearest nearest;
        if (strncmp(*entry, "TENEBRA_", PREFIX) != 0 || is_known(*entry, &nearest))
            continue;
        bool near = nearest.name[0] != '\0';
        tn_app_tell("note: no command reads %.*s from the environment%s%s%s\n", (int)strcspn(*entry, "="), *entry,
                near ? "; did you mean " : "", near ? tn_option_variable(nearest.name, variable) : "", near ? "?" : "");
    }
}
