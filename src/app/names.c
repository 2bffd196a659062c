/* Names that are values of options, by index, from the registries. */
#include "app/app.h"

#include "data/dataset.h"
#include "eval/score.h"
#include "kern/kernels.h"
#include "model/random.h"
#include "reason/method.h"
#include "text/chat.h"

#include <string.h>

const char *tn_names_of_methods(size_t index)
{
    return tenebra_method_at(index, NULL);
}

const char *tn_names_of_presets(size_t index)
{
    return tenebra_preset_at(index, NULL);
}

const char *tn_names_of_templates(size_t index)
{
    return tn_chat_templates[index] != NULL ? tn_chat_templates[index]->name : NULL;
}

const char *tn_names_of_kernels(size_t index)
{
    return tn_kernels_name_at(index);
}

const char *tn_names_of_shapes(size_t index)
{
    return tn_shapes[index].name;
}

const char *tn_names_of_scorers(size_t index)
{
    return tn_scorers[index] != NULL ? tn_scorers[index]->name : NULL;
}

const char *tn_names_of_makers(size_t index)
{
    for (size_t i = 0; tn_datasets[i] != NULL; i++)
        if (tn_datasets[i]->make != NULL && index-- == 0)
            return tn_datasets[i]->name;
    return NULL;
}

const char *tn_names_of_commands(size_t index)
{
    return tn_commands[index] != NULL ? tn_commands[index]->name : NULL;
}

const char *tn_names_of_parts(size_t index)
{
    for (size_t i = 0; tn_commands[i] != NULL; i++)
        for (size_t p = 0; tn_commands[i]->parts != NULL && tn_commands[i]->parts[p] != NULL; p++)
            if (index-- == 0)
                return strchr(tn_commands[i]->parts[p]->name, ' ') + 1;
    return NULL;
}
