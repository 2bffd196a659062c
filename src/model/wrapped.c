#include "model/wrapped.h"

#include <stdio.h>
#include <string.h>

static const char latent_words[] = "base_causallm.";

const char *tn_wrapped_name(const char *name)
{
    static const char *const words[] = { "module.", "_orig_mod.", latent_words, "base_model.model.", NULL };
    for (const char *const *word = words; *word != NULL; word++)
        if (strncmp(name, *word, strlen(*word)) == 0)
            name += strlen(*word);
    return name;
}

const tn_stored *tn_wrapped_find(const tn_wrapping *wrapping, const char *name, const tn_store *store)
{
    static const char *const inner[] = { "", ".base_layer", ".modules_to_save.default" };
    const char *dot = strrchr(name, '.');
    const tn_stored *found = NULL;
    for (size_t i = 0; i < sizeof inner / sizeof *inner && found == NULL && dot != NULL; i++) {
        char full[TN_WRAPPED_FRONT + TN_STORED_NAME_MAX + 32];
        snprintf(full, sizeof full, "%s%.*s%s%s", wrapping->front, (int)(dot - name), name, inner[i], dot);
        found = tn_store_find(store, full);
    }
    return found;
}

void tn_wrapping_find(tn_wrapping *wrapping, const tn_store *store, const char *const *names, size_t count)
{
    for (size_t i = 0; i < tn_store_count(store); i++) {
        const tn_stored *tensor = tn_store_at(store, i);
        size_t length = (size_t)(tn_wrapped_name(tensor->name) - tensor->name);
        if (length >= sizeof wrapping->front)
            continue;
        memcpy(wrapping->front, tensor->name, length);
        wrapping->front[length] = '\0';
        for (size_t k = 0; k < count; k++)
            if (tn_wrapped_find(wrapping, names[k], store) == tensor)
                return;
    }
    wrapping->front[0] = '\0';
}

bool tn_wrapped_is_alias(const tn_stored *tensor, const tn_stored *embedding)
{
    if (embedding == NULL || strcmp(tn_wrapped_name(tensor->name), "embedding.weight") != 0 || tensor->type != embedding->type ||
        tensor->bytes != embedding->bytes || tensor->rank != embedding->rank || tensor->shape[0] != embedding->shape[0])
        return false;
    return tensor->data == embedding->data || memcmp(tensor->data, embedding->data, tensor->bytes) == 0;
}

bool tn_wrapped_is_replaced(const tn_stored *tensor, const tn_store *store)
{
    static const char kept[] = ".original_module.";
    const char *at = strstr(tensor->name, kept);
    char name[TN_STORED_NAME_MAX + 32];
    if (at == NULL)
        return false;
    snprintf(name, sizeof name, "%.*s.modules_to_save.default.%s", (int)(at - tensor->name), tensor->name, at + sizeof kept - 1);
    return tn_store_find(store, name) != NULL;
}

bool tn_wrapping_alpha(const tn_wrapping *wrapping, double *alpha)
{
    *alpha = 16; /* lora_alpha in the published training program of IVT-LR */
    return strstr(wrapping->front, latent_words) != NULL;
}
