#include "base/status.h"

#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

tenebra_code tn_fail(tenebra_error *error, tenebra_code code, const char *where,
                     const char *sentence, ...)
{
    if (error == NULL)
        return code;
    error->code = code;
    snprintf(error->where, sizeof error->where, "%s", where ? where : "");
    va_list arguments;
    va_start(arguments, sentence);
    vsnprintf(error->sentence, sizeof error->sentence, sentence, arguments);
    va_end(arguments);
    return code;
}

tenebra_code tn_fail_memory(tenebra_error *error, const char *where)
{
    return tn_fail(error, TENEBRA_ERROR_MEMORY, where, "no memory");
}

tenebra_code tn_grow(void *list, size_t count, size_t size, const char *where, tenebra_error *error)
{
    void *items;
    if (count > 0 && (count & (count - 1)) != 0)
        return TENEBRA_OK;
    memcpy(&items, list, sizeof items); /* of any pointer type */
    items = count > SIZE_MAX / 2 / size ? NULL : realloc(items, (count > 0 ? 2 * count : 1) * size);
    if (items == NULL)
        return tn_fail_memory(error, where);
    memcpy(list, &items, sizeof items);
    return TENEBRA_OK;
}
