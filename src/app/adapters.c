/* --lora DIR[=STRENGTH], --lora-pass N:DIR[=STRENGTH]: adapters on the command line. */
#include "app/app.h"

#include "base/file.h"
#include "model/lora.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { PASSES_MAX = 1000 };

/* "DIR" or "DIR=STRENGTH"; a directory may have '=' in its name if no number follows the last one. */
static tenebra_code read_one(const char *text, tenebra_adapter *adapter, tenebra_error *error)
{
    char *directory = strdup(text), *equals = directory ? strrchr(directory, '=') : NULL, *end;
    adapter->directory = directory;
    adapter->strength = 1;
    if (equals != NULL && equals[1] != '\0') {
        double strength = strtod(equals + 1, &end);
        if (*end == '\0' && isfinite(strength)) {
            adapter->strength = strength;
            *equals = '\0';
        }
    }
    if (directory == NULL)
        return tn_fail(error, TENEBRA_ERROR_MEMORY, "lora", "no memory");
    if (adapter->strength == 1 && equals != NULL && *equals != '\0' && !tn_path_is_directory(directory)) {
        *equals = '\0';
        bool meant = tn_path_is_directory(directory);
        *equals = '=';
        if (meant)
            return tn_fail(error, TENEBRA_ERROR_ARGUMENT, "lora", "the strength '%.100s' of %.200s is not a number", equals + 1, text);
    }
    return TENEBRA_OK;
}

/* Reads "N:" before an adapter. */
static const char *read_pass(const char *text, size_t *pass)
{
    char *end;
    unsigned long number = text[0] >= '1' && text[0] <= '9' ? strtoul(text, &end, 10) : 0;
    *pass = number;
    return number > 0 && number <= PASSES_MAX && end[0] == ':' && end[1] != '\0' ? end + 1 : NULL;
}

tenebra_code tn_app_read_adapters(const tn_option_list *list, const tn_option_list *of_passes, tenebra_model_options *model,
                                  tenebra_error *error)
{
    tenebra_adapter *adapters = calloc(list->count + of_passes->count + 1, sizeof *adapters);
    model->adapters = adapters;
    model->adapter_count = 0;
    if (adapters == NULL)
        return tn_fail(error, TENEBRA_ERROR_MEMORY, "lora", "no memory");
    for (size_t i = 0; i < list->count; i++)
        TN_TRY(read_one(list->items[i], &adapters[model->adapter_count++], error));
    for (size_t i = 0; i < of_passes->count; i++) {
        tenebra_adapter *adapter = &adapters[model->adapter_count];
        const char *rest = read_pass(of_passes->items[i], &adapter->pass);
        if (rest == NULL)
            return tn_fail(error, TENEBRA_ERROR_ARGUMENT, "lora-pass", "'%s' is not of the form N:DIR, N a pass from 1 to %d",
                           of_passes->items[i], PASSES_MAX);
        model->adapter_count++;
        TN_TRY(read_one(rest, adapter, error));
    }
    return TENEBRA_OK;
}

void tn_app_free_adapters(tenebra_model_options *model)
{
    for (size_t i = 0; i < model->adapter_count; i++)
        free((void *)(uintptr_t)model->adapters[i].directory);
    free((void *)(uintptr_t)model->adapters);
    model->adapters = NULL;
    model->adapter_count = 0;
}

void tn_app_tell_adapters(const tenebra_model *model, const tenebra_model_options *options)
{
    for (size_t i = 0; i < model->adapter_count; i++) {
        const tn_adapter *adapter = model->adapters[i];
        tn_app_tell("adapter    %s: changes %zu matrices, rank %zu, alpha %g, strength %g",
                options->adapters[i].directory, adapter->module_count, adapter->rank, adapter->alpha, adapter->strength);
        if (adapter->pass > 0)
            tn_app_tell(", in pass %zu", adapter->pass);
        fputc('\n', stderr);
    }
}
