#include "store/format.h"

#include "base/file.h"

#include <fnmatch.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static bool has_name_of(const tn_format *format, const char *name)
{
    const char *slash = strrchr(name, '/');
    for (size_t i = 0; i < TN_FORMAT_NAMES && format->names[i] != NULL; i++)
        if (fnmatch(format->names[i], slash != NULL ? slash + 1 : name, 0) == 0)
            return true;
    return false;
}

bool tn_store_is_file(const char *name)
{
    for (const tn_format *const *each = tn_formats; *each != NULL; each++)
        if (has_name_of(*each, name))
            return true;
    return false;
}

static const tn_format *format_of(const unsigned char *bytes, size_t size, const char *name)
{
    for (const tn_format *const *each = tn_formats; *each != NULL; each++)
        if ((*each)->knows(bytes, size))
            return *each;
    for (const tn_format *const *each = tn_formats; *each != NULL; each++)
        if (has_name_of(*each, name))
            return *each;
    return NULL;
}

static tenebra_code fail_unknown(const char *name, tenebra_error *error)
{
    char known[200] = "";
    for (const tn_format *const *each = tn_formats; *each != NULL; each++) {
        size_t used = strlen(known);
        snprintf(known + used, sizeof known - used, "%s%s", used > 0 ? ", " : "", (*each)->name);
    }
    return tn_fail(error, TENEBRA_ERROR_UNSUPPORTED, name, "is of no format that this program reads tensors from: %s", known);
}

tenebra_code tn_contents_open(tn_contents *contents, const void *bytes, size_t size, const char *name, tenebra_error *error)
{
    *contents = (tn_contents){ 0 };
    TN_TRY(tn_lfs_check(bytes, size, name, error));
    const tn_format *format = format_of(bytes, size, name);
    if (format == NULL)
        return fail_unknown(name, error);
    *contents = (tn_contents){ .format = format, .bytes = bytes, .size = size };
    tenebra_code code = format->open(contents, name, error);
    if (code != TENEBRA_OK)
        tn_contents_close(contents);
    return code;
}

const char *tn_contents_metadata(const tn_contents *contents, const char *key)
{
    return json_string_value(json_object_get(contents->metadata, key));
}

void tn_contents_close(tn_contents *contents)
{
    if (contents->own != NULL)
        contents->format->close(contents);
    json_decref(contents->metadata);
    json_decref(contents->config);
    free(contents->tensors);
    *contents = (tn_contents){ 0 };
}

/* -------------------------------------------------------------- tensors -- */

bool tn_stored_is_aligned(const tn_stored *tensor)
{
    return (uintptr_t)tensor->data % tn_store_type_of(tensor->type)->alignment == 0;
}

bool tn_stored_name_is_valid(const char *name)
{
    size_t length = strlen(name);
    for (size_t i = 0; i < length; i++)
        if ((unsigned char)name[i] < 0x20 || name[i] == 0x7f)
            return false;
    json_t *text = length > 0 && length <= TN_STORED_NAME_MAX ? json_string(name) : NULL; /* NULL: not UTF-8 */
    json_decref(text);
    return text != NULL;
}

bool tn_stored_measure(tn_stored *tensor)
{
    if (!tn_store_extent(tensor->type, tensor->rank, tensor->shape, &tensor->elements, &tensor->bytes))
        return false;
    const tn_store_type_traits *traits = tn_store_type_of(tensor->type);
    tensor->form = (tn_form){ .is_weight = traits->is_weight, .type = traits->weight, .order = TN_ROWS, .rank = tensor->rank,
                              .elements = tensor->elements };
    memcpy(tensor->form.shape, tensor->shape, sizeof tensor->form.shape);
    return true;
}
