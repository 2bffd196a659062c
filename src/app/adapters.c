/* --lora DIR[=STRENGTH]: adapters on the command line. */
#include "app/app.h"

#include "model/lora.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* "DIR" or "DIR=STRENGTH"; a directory may have '=' in its name as long as no number follows the last one. */
static bool read_one(const char *text, tenebra_adapter *adapter)
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
    return directory != NULL;
}

tenebra_code tn_app_read_adapters(const tn_option_list *list, tenebra_model_options *model, tenebra_error *error)
{
    tenebra_adapter *adapters = calloc(list->count + 1, sizeof *adapters);
    bool good = adapters != NULL;
    for (size_t i = 0; good && i < list->count; i++)
        good = read_one(list->items[i], &adapters[i]);
    model->adapters = adapters;
    model->adapter_count = adapters ? list->count : 0;
    return good ? TENEBRA_OK : tn_fail(error, TENEBRA_ERROR_MEMORY, "lora", "no memory");
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
        fprintf(stderr, "adapter    %s: changes %zu matrices, rank %zu, alpha %g, strength %g\n",
                options->adapters[i].directory, adapter->module_count, adapter->rank, adapter->alpha, adapter->strength);
    }
}
