#include "base/option.h"

#include "base/nearest.h"
#include "base/number.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { SIDE_MAX = 65535 };

/* A value of any kind but LIST. */
typedef union value {
    bool on;
    const char *text;
    size_t size, sides[2];
    uint64_t whole;
    double number;
} value;

static const size_t sizes[] = { [TN_OPTION_SWITCH] = sizeof(bool),     [TN_OPTION_TEXT] = sizeof(const char *),
                                [TN_OPTION_WORD] = sizeof(const char *), [TN_OPTION_CHOICE] = sizeof(size_t),
                                [TN_OPTION_SIZE] = sizeof(size_t),     [TN_OPTION_SEED] = sizeof(uint64_t),
                                [TN_OPTION_NUMBER] = sizeof(double),   [TN_OPTION_SIDES] = sizeof(size_t[2]) };

TN_PRINTF(4, 5)
static tenebra_code refuse(const tn_option *option, const char *text, tenebra_error *error, const char *format, ...)
{
    char sentence[320];
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(sentence, sizeof sentence, format, arguments);
    va_end(arguments);
    return tn_fail(error, TENEBRA_ERROR_ARGUMENT, option->name, "'%.100s' %s%s%s", text, sentence, option->hint ? "; " : "",
                   option->hint ? option->hint : "");
}

/* --------------------------------------------------------------- words -- */

const char *tn_option_word(const tn_option *option, size_t index, size_t *length)
{
    const char *word = option->names != NULL ? option->names(index) : NULL;
    if (option->names == NULL && (option->kind == TN_OPTION_WORD || option->kind == TN_OPTION_CHOICE))
        for (word = option->argument; word != NULL && index > 0; index--)
            word = (word = strchr(word, '|')) != NULL ? word + 1 : NULL;
    *length = word == NULL ? 0 : option->names != NULL ? strlen(word) : strcspn(word, "|");
    return word;
}

static tenebra_code read_word(const tn_option *option, const char *text, size_t *place, tenebra_error *error)
{
    size_t length, used = 0;
    char list[200] = "";
    tn_nearest nearest = tn_nearest_of(text, strlen(text));
    const char *word;
    for (*place = 0; (word = tn_option_word(option, *place, &length)) != NULL; ++*place) {
        if (strlen(text) == length && memcmp(word, text, length) == 0)
            return TENEBRA_OK;
        char name[TN_NEAREST_LONGEST + 1];
        snprintf(name, sizeof name, "%.*s", (int)length, word);
        tn_nearest_try(&nearest, name);
        if (used < sizeof list)
            used += (size_t)snprintf(list + used, sizeof list - used, "%s%s", *place > 0 ? "|" : "", name);
    }
    return refuse(option, text, error, "is not one of %s%s", list, tn_nearest_hint(&nearest));
}

/* ------------------------------------------------------------- numbers -- */

static tenebra_code read_whole(const tn_option *option, const char *text, uint64_t *number, tenebra_error *error)
{
    uint64_t least = (uint64_t)option->minimum;
    uint64_t most = option->kind == TN_OPTION_SIZE && option->maximum < (double)TN_WHOLE_MAX ? (uint64_t)option->maximum : TN_WHOLE_MAX;
    if (tn_whole_read(text, number) && *number >= least && *number <= most)
        return TENEBRA_OK;
    return refuse(option, text, error, "is not a whole number from %llu to %llu", (unsigned long long)least, (unsigned long long)most);
}

static tenebra_code read_number(const tn_option *option, const char *text, double *number, tenebra_error *error)
{
    char *end;
    errno = 0;
    *number = strtod(text, &end);
    if (end == text || *end != '\0' || errno != 0 || !(*number - *number == 0))
        return refuse(option, text, error, "is not a number");
    if (!(*number >= option->minimum && *number <= option->maximum))
        return refuse(option, text, error, "must lie between %.15g and %.15g", option->minimum, option->maximum);
    return TENEBRA_OK;
}

bool tn_option_read_sides(const char *text, size_t sides[2])
{
    char number[8];
    size_t digits = strcspn(text, "x");
    uint64_t read[2];
    if (digits >= sizeof number || text[digits] == '\0')
        return false;
    memcpy(number, text, digits);
    number[digits] = '\0';
    if (!tn_whole_read(number, &read[0]) || !tn_whole_read(text + digits + 1, &read[1]) || read[0] - 1 >= SIDE_MAX ||
        read[1] - 1 >= SIDE_MAX)
        return false;
    sides[0] = (size_t)read[0];
    sides[1] = (size_t)read[1];
    return true;
}

/* ------------------------------------------------------------- reading -- */

static tenebra_code read_value(const tn_option *option, const char *text, value *read, tenebra_error *error)
{
    size_t place;
    switch (option->kind) {
    case TN_OPTION_SWITCH:
        read->on = true;
        return text == NULL || tn_switch_read(text, &read->on) ? TENEBRA_OK
                                                               : refuse(option, text, error, "is neither true nor false");
    case TN_OPTION_WORD:
        TN_TRY(read_word(option, text, &place, error));
        read->text = text;
        return TENEBRA_OK;
    case TN_OPTION_CHOICE:
        return read_word(option, text, &read->size, error);
    case TN_OPTION_SIZE:
        TN_TRY(read_whole(option, text, &read->whole, error));
        read->size = (size_t)read->whole;
        return TENEBRA_OK;
    case TN_OPTION_SEED:
        return read_whole(option, text, &read->whole, error);
    case TN_OPTION_NUMBER:
        return read_number(option, text, &read->number, error);
    case TN_OPTION_SIDES:
        if (option->value != NULL && strcmp(text, option->value) == 0) {
            read->sides[0] = read->sides[1] = 0;
            return TENEBRA_OK;
        }
        return tn_option_read_sides(text, read->sides) ? TENEBRA_OK
                                                       : refuse(option, text, error, "is not WIDTHxHEIGHT in pixels, such as 280x280");
    default:
        read->text = text;
        return TENEBRA_OK;
    }
}

static tenebra_code add_item(const tn_option *option, const char *text, tn_option_list *list, tenebra_error *error)
{
    TN_TRY(TN_GROW(list->items, list->count, option->name, error));
    list->items[list->count++] = text;
    return TENEBRA_OK;
}

tenebra_code tn_option_read(const tn_option *option, const char *text, void *record, tenebra_error *error)
{
    value read;
    void *target = (char *)record + option->offset;
    if (option->kind == TN_OPTION_LIST)
        return add_item(option, text, target, error);
    TN_TRY(read_value(option, text, &read, error));
    memcpy(target, &read, sizes[option->kind]);
    return TENEBRA_OK;
}

tenebra_code tn_option_check(const tn_option *option, const char *text, tenebra_error *error)
{
    value read;
    return read_value(option, text, &read, error);
}

tenebra_code tn_options_set_defaults(const tn_option *options, void *record, tenebra_error *error)
{
    for (const tn_option *option = options; option->name != NULL; option++)
        if (option->value != NULL)
            TN_TRY(tn_option_read(option, option->value, record, error));
    return TENEBRA_OK;
}

/* ------------------------------------------------------------- finding -- */

bool tn_option_is_same_name(const char *a, const char *b)
{
    for (; *a != '\0' && *b != '\0'; a++, b++)
        if (*a != *b && !((*a == '_' || *a == '-') && (*b == '_' || *b == '-')))
            return false;
    return *a == *b;
}

/* Whether `word` occurs in " word word ". */
static bool is_listed(const char *list, const char *word)
{
    size_t length = strlen(word);
    for (const char *at = strstr(list, word); at != NULL && length > 0; at = strstr(at + 1, word))
        if (at > list && at[-1] == ' ' && at[length] == ' ')
            return true;
    return false;
}

const tn_option *tn_option_find(const tn_option *options, const char *name)
{
    for (const tn_option *option = options; option != NULL && option->name != NULL; option++)
        if (tn_option_is_same_name(option->name, name) || (option->aliases != NULL && is_listed(option->aliases, name)))
            return option;
    return NULL;
}

const tn_option *tn_option_that_means(const tn_option *options, tn_option_meaning means)
{
    for (const tn_option *option = options; option->name != NULL; option++)
        if (option->means == means)
            return option;
    return NULL;
}
