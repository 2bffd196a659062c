#include "model/backbone.h"

#include <stdio.h>
#include <string.h>

void tn_tensor_name(const tn_tensor_row *row, size_t number, char *name, size_t size)
{
    const char *hole = strstr(row->name, "%zu");
    if (hole == NULL)
        snprintf(name, size, "%s", row->name);
    else
        snprintf(name, size, "%.*s%zu%s", (int)(hole - row->name), row->name, number, hole + strlen("%zu"));
}

const tn_backbone *tn_backbone_find(const char *model_type)
{
    for (const tn_backbone *const *backbone = tn_backbones; *backbone != NULL; backbone++)
        for (const char *const *type = (*backbone)->model_types; *type != NULL; type++)
            if (strcmp(*type, model_type) == 0)
                return *backbone;
    return NULL;
}
