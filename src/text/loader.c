/* What the readers of the parts of a tokenizer.json share. */
#include "text/tokenizer_parts.h"

#include <string.h>

static const char FILE_NAME[] = "tokenizer.json";

const json_t *tn_loader_part(const tn_loader *loader, const char *key)
{
    const json_t *part = json_object_get(loader->root, key);
    return json_is_null(part) ? NULL : part;
}

tenebra_code tn_loader_bool(const tn_loader *loader, const json_t *part, const char *what, const char *key, bool *on)
{
    char inner[TN_JSON_PART];
    return tn_json_bool(part, key, on, tn_json_part(inner, loader->name, what), loader->error);
}

tenebra_code tn_loader_refuse(const tn_loader *loader, const char *part, const char *what)
{
    return tn_fail(loader->error, TENEBRA_ERROR_UNSUPPORTED, loader->name, "%s \"%.80s\" is not supported", part, what);
}

/* The "type" of a part, "" without one. */
static const char *type_of(const json_t *part)
{
    const char *type = json_string_value(json_object_get(part, "type"));
    return type != NULL ? type : "";
}

static tenebra_code read_one(const tn_loader *loader, const json_t *part, const char *what, const tn_loader_kind *kinds)
{
    const char *type = type_of(part);
    for (const tn_loader_kind *kind = kinds; kind->type != NULL; kind++)
        if (strcmp(kind->type, type) == 0) {
            tn_notes_unknown(&loader->tokenizer->notes, part, kind->keys, FILE_NAME, what);
            return kind->read(loader, part);
        }
    return tn_loader_refuse(loader, what, type);
}

tenebra_code tn_loader_each(const tn_loader *loader, const json_t *part, const char *what, const char *members,
                            const tn_loader_kind *kinds)
{
    static const char *const known[] = { "type", "normalizers", "pretokenizers", "processors", "decoders", NULL };
    if (strcmp(type_of(part), "Sequence") != 0)
        return read_one(loader, part, what, kinds);
    const json_t *list = json_object_get(part, members);
    if (!json_is_array(list))
        return tn_fail(loader->error, TENEBRA_ERROR_FORMAT, loader->name, "a Sequence has no list \"%s\"", members);
    tn_notes_unknown(&loader->tokenizer->notes, part, known, FILE_NAME, what);
    for (size_t i = 0; i < json_array_size(list); i++)
        TN_TRY(read_one(loader, json_array_get(list, i), what, kinds));
    return TENEBRA_OK;
}

tenebra_code tn_loader_pattern(const tn_loader *loader, const json_t *part, const char **text, size_t *length, bool *literal)
{
    const json_t *pattern = json_object_get(part, "pattern"), *string = json_object_get(pattern, "String");
    const json_t *value = string != NULL ? string : json_object_get(pattern, "Regex");
    if (!json_is_string(value) || json_object_size(pattern) != 1)
        return tn_fail(loader->error, TENEBRA_ERROR_FORMAT, loader->name, "%s has no \"pattern\" with one \"String\" or \"Regex\"",
                       type_of(part));
    *text = json_string_value(value);
    *length = json_string_length(value);
    *literal = string != NULL;
    return TENEBRA_OK;
}
