#include "model/config_change.h"

/* transformers 4 writes "torch_dtype", later versions "dtype", also in the sub-configurations; all versions read both. */
static bool set_type(json_t *part, const char *type)
{
    static const char *const keys[] = { "dtype", "torch_dtype" };
    bool fits = true;
    for (size_t i = 0; i < 2; i++)
        if (json_object_get(part, keys[i]) != NULL)
            fits = fits && json_object_set_new(part, keys[i], json_string(type)) == 0;
    return fits;
}

bool tn_config_set_type(json_t *config, const char *type)
{
    bool named = json_object_get(config, "dtype") != NULL || json_object_get(config, "torch_dtype") != NULL;
    return (named || json_object_set_new(config, "torch_dtype", json_null()) == 0) && set_type(config, type) &&
           set_type(json_object_get(config, "text_config"), type) && set_type(json_object_get(config, "vision_config"), type);
}

bool tn_config_set_vocabulary(json_t *config, size_t rows)
{
    static const char key[] = "vocab_size";
    json_t *const parts[] = { config, json_object_get(config, "text_config") };
    bool fits = true;
    for (size_t i = 0; i < 2; i++)
        if (json_object_get(parts[i], key) != NULL)
            fits = fits && json_object_set_new(parts[i], key, json_integer((json_int_t)rows)) == 0;
    return fits;
}
