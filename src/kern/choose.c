#include "kern/sets.h"

#include "base/nearest.h"

#include <stdio.h>
#include <string.h>

/* "reference, avx2, avx512" */
static void list_names(const tn_kernels_entry *entries, size_t count, char *text, size_t size)
{
    size_t used = 0;
    text[0] = '\0';
    for (size_t i = 0; i < count && used < size; i++)
        used += (size_t)snprintf(text + used, size - used, "%s%s", i ? ", " : "", entries[i].set->name);
}

tenebra_code tn_kernels_choose(const char *name, const tn_kernels **chosen, tenebra_error *error)
{
    tn_kernels_entry entries[TN_KERNELS_LIMIT];
    size_t count = tn_kernels_platform(entries);
    bool any = name == NULL || name[0] == '\0';
    *chosen = NULL;
    for (size_t i = count; i-- > 0;) {
        if (any ? !entries[i].runs : strcmp(entries[i].set->name, name) != 0)
            continue;
        if (!entries[i].runs)
            return tn_fail(error, TENEBRA_ERROR_UNSUPPORTED, name,
                           "this processor or system does not run the kernel set '%s'; leave the choice open to get the best "
                           "that it runs", name);
        *chosen = entries[i].set;
        return TENEBRA_OK;
    }
    char names[256];
    tn_nearest nearest = tn_nearest_of(name, strlen(name));
    list_names(entries, count, names, sizeof names);
    for (size_t i = 0; i < count; i++)
        tn_nearest_try(&nearest, entries[i].set->name);
    return tn_fail(error, TENEBRA_ERROR_ARGUMENT, name, "there is no kernel set of this name; this build has %s%s", names,
                   tn_nearest_hint(&nearest));
}

const char *tn_kernels_name_at(size_t index)
{
    tn_kernels_entry entries[TN_KERNELS_LIMIT];
    return index < tn_kernels_platform(entries) ? entries[index].set->name : NULL;
}

const tn_kernels *tn_kernels_at(size_t index)
{
    tn_kernels_entry entries[TN_KERNELS_LIMIT];
    size_t count = tn_kernels_platform(entries);
    for (size_t i = 0; i < count; i++)
        if (entries[i].runs && index-- == 0)
            return entries[i].set;
    return NULL;
}
