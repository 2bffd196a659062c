#include "model/backbone.h"

#include <stdlib.h>
#include <string.h>

const tn_backbone *tn_backbone_find(const char *model_type)
{
    for (const tn_backbone *const *backbone = tn_backbones; *backbone != NULL; backbone++)
        for (const char *const *type = (*backbone)->model_types; *type != NULL; type++)
            if (strcmp(*type, model_type) == 0)
                return *backbone;
    return NULL;
}

void tn_model_config_free(tn_model_config *config)
{
    free(config->vision.ids);
    config->vision.ids = NULL;
    config->vision.code_count = 0;
}
