/* Names that are values of options, by index, from the registries. */
#include "app/app.h"

#include "data/sample.h"
#include "kern/kernels.h"
#include "model/random.h"
#include "reason/method.h"
#include "text/chat.h"

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
