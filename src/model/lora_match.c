/* The modules of an adapter: names, patterns and the rules for targets, as PEFT applies them.
 * Source: check_target_module_exists and get_pattern_key of PEFT 0.15.2 and 0.21.2, which agree on the modules here. */
#include "model/lora_parts.h"

#define PCRE2_CODE_UNIT_WIDTH 8
#include <pcre2.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* ---------------------------------------------------------------- names -- */

bool tn_lora_module_name(const tn_place *place, char *name)
{
    static const char end[] = ".weight";
    size_t length = strlen(place->name), tail = sizeof end - 1;
    if (!tn_place_is_matrix(place) || place->network->layout->kind == TN_NETWORK_MODULE || length <= tail ||
        strcmp(place->name + length - tail, end) != 0)
        return false;
    memcpy(name, place->name, length - tail);
    name[length - tail] = '\0';
    return true;
}

bool tn_lora_other_name(const tn_networks *networks, const char *name, size_t which, char *other)
{
    return tn_networks_rename(networks, name, strlen(name), which + 1, other, NULL);
}

/* ------------------------------------------------------------- patterns -- */

/* Matches `pattern` at the start of `name`; `whole`: up to its end, as Python's re.fullmatch, else as re.match. *number
 * (may be NULL) receives the group "idx" as a number, -1 without one. */
static tenebra_code fits(const char *pattern, bool whole, const char *name, bool *fit, long *number, tenebra_error *error)
{
    int problem;
    size_t at;
    *fit = false;
    pcre2_code *code = pcre2_compile((PCRE2_SPTR)pattern, PCRE2_ZERO_TERMINATED,
                                     PCRE2_ANCHORED | PCRE2_UTF | (whole ? PCRE2_ENDANCHORED : 0), &problem, &at, NULL);
    if (code == NULL) {
        char reason[128] = "";
        pcre2_get_error_message(problem, (PCRE2_UCHAR *)reason, sizeof reason);
        return tn_fail(error, TENEBRA_ERROR_ARGUMENT, "target_modules", "'%s' is not a regular expression: %s at character %zu",
                       pattern, reason, at);
    }
    pcre2_match_context *context = pcre2_match_context_create(NULL);
    pcre2_match_data *data = pcre2_match_data_create_from_pattern(code, NULL);
    int found = PCRE2_ERROR_NOMEMORY;
    if (context != NULL && data != NULL) {
        pcre2_set_match_limit(context, 1000000); /* ends an expression that takes too long */
        found = pcre2_match(code, (PCRE2_SPTR)name, strlen(name), 0, 0, data, context);
    }
    *fit = found >= 0;
    int group = number != NULL ? pcre2_substring_number_from_name(code, (PCRE2_SPTR)"idx") : 0;
    if (number != NULL)
        *number = found > group && group > 0 ? strtol(name + pcre2_get_ovector_pointer(data)[2 * group], NULL, 10) : -1;
    pcre2_match_data_free(data);
    pcre2_match_context_free(context);
    pcre2_code_free(code);
    if (found >= 0 || found == PCRE2_ERROR_NOMATCH)
        return TENEBRA_OK;
    if (found == PCRE2_ERROR_NOMEMORY)
        return tn_fail(error, TENEBRA_ERROR_MEMORY, "target_modules", "no memory");
    return tn_fail(error, TENEBRA_ERROR_LIMIT, "target_modules", "the regular expression '%s' takes too long on %s", pattern,
                   name);
}

/* The same as re.match of a pattern inside a longer one. */
static tenebra_code fits_within(const char *front, const char *pattern, const char *end, const char *name, bool *fit,
                                long *number, tenebra_error *error)
{
    char all[4 * TN_LORA_NAME_SIZE];
    if (snprintf(all, sizeof all, "%s%s%s", front, pattern, end) >= (int)sizeof all)
        return tn_fail(error, TENEBRA_ERROR_LIMIT, "target_modules", "a pattern of %zu characters is too long", strlen(pattern));
    return fits(all, false, name, fit, number, error);
}

tenebra_code tn_lora_exception(const tn_lora_pattern *patterns, size_t count, const char *name, double otherwise,
                               double *value, bool *used, tenebra_error *error)
{
    bool chosen = false;
    *value = otherwise;
    for (size_t i = 0; i < count; i++) {
        bool fit;
        TN_TRY(fits_within("(.*\\.)?(", patterns[i].name, ")$", name, &fit, NULL, error));
        if (fit && !chosen)
            *value = patterns[i].value;
        chosen |= fit;
        if (used != NULL)
            used[i] |= fit;
    }
    return TENEBRA_OK;
}

/* -------------------------------------------------------------- targets -- */

/* Whether the target is the complete name, or an end of it that starts after a '.'. */
bool tn_lora_is_end(const char *target, const char *name)
{
    size_t wanted = strlen(target), length = strlen(name);
    return wanted <= length && strcmp(name + length - wanted, target) == 0 &&
           (wanted == length || name[length - wanted - 1] == '.');
}

static tenebra_code fits_list(const tn_lora_list *list, const char *name, bool *fit, tenebra_error *error)
{
    *fit = false;
    if (list->pattern != NULL)
        return fits(list->pattern, true, name, fit, NULL, error);
    for (size_t i = 0; i < list->count && !*fit; i++)
        *fit = tn_lora_is_end(list->items[i], name);
    return TENEBRA_OK;
}

/* Whether the module, or one that contains it, is saved completely; then it is never a target. */
static tenebra_code lies_in_saved(const tn_lora_options *options, const char *name, bool *saved, tenebra_error *error)
{
    *saved = false;
    for (size_t i = 0; i < options->saved.count && !*saved; i++)
        TN_TRY(fits_within("(^|.*\\.)", options->saved.items[i], "($|\\..*)", name, saved, NULL, error));
    return TENEBRA_OK;
}

/* layers_to_transform compares the number after "layers_pattern.", or after any name. It only applies if targets are a list,
 * and not to a target that is the complete name. */
static tenebra_code in_layers(const tn_lora_options *options, const char *name, bool *inside, tenebra_error *error)
{
    long number = -1;
    bool fit = false;
    if (options->layer_patterns.count == 0)
        TN_TRY(fits(".*?\\.[^.]*\\.(?<idx>\\d+)\\.", false, name, &fit, &number, error));
    for (size_t i = 0; i < options->layer_patterns.count && !fit; i++)
        TN_TRY(fits_within("(?:^|.*?\\.)", options->layer_patterns.items[i], "\\.(?<idx>\\d+)\\.", name, &fit, &number, error));
    *inside = false;
    for (size_t i = 0; i < options->layer_count && !*inside; i++)
        *inside = fit && number == options->layers[i];
    return TENEBRA_OK;
}

tenebra_code tn_lora_is_target(const tn_lora_options *options, const tn_place *place, const char *name, bool *target,
                               tenebra_error *error)
{
    const tn_lora_list *targets = &options->targets;
    bool out = options->without_vision && place->network->layout->kind == TN_NETWORK_IMAGES;
    *target = false;
    if (!out && (options->excluded.pattern != NULL || options->excluded.count > 0))
        TN_TRY(fits_list(&options->excluded, name, &out, error));
    if (!out)
        TN_TRY(lies_in_saved(options, name, &out, error));
    if (out)
        return TENEBRA_OK;
    if (targets->pattern != NULL && strcmp(targets->pattern, "all-linear") == 0) {
        *target = place->row->role == TN_ROLE_LINEAR;
        return TENEBRA_OK;
    }
    TN_TRY(fits_list(targets, name, target, error));
    bool whole = targets->pattern != NULL || options->layer_count == 0;
    for (size_t i = 0; i < targets->count && !whole; i++)
        whole = strcmp(targets->items[i], name) == 0;
    return *target && !whole ? in_layers(options, name, target, error) : TENEBRA_OK;
}

tenebra_code tn_lora_is_target_by_any(const tn_networks *networks, const tn_lora_options *options, const tn_place *place,
                                      const char *name, bool *target, tenebra_error *error)
{
    char other[TN_LORA_NAME_SIZE];
    TN_TRY(tn_lora_is_target(options, place, name, target, error));
    for (size_t which = 0; !*target && tn_lora_other_name(networks, name, which, other); which++)
        TN_TRY(tn_lora_is_target(options, place, other, target, error));
    return TENEBRA_OK;
}
