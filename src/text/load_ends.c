/* The parts "post_processor" and "decoder" of a tokenizer.json. */
#include "text/tokenizer_parts.h"

#include <string.h>

/* Changes nothing that is used here: ByteLevel moves positions in the text, and Fuse joins texts of tokens. */
static tenebra_code read_nothing(const tn_loader *loader, const json_t *part)
{
    (void)loader;
    (void)part;
    return TENEBRA_OK;
}

static const char *const byte_level_keys[] = { "type", "add_prefix_space", "trim_offsets", "use_regex", NULL };
static const char *const plain_keys[] = { "type", NULL };

/* ------------------------------------------------------------ template -- */

/* Adds the ids of a token of the template, which special_tokens[name] lists. */
static tenebra_code add_front(const tn_loader *loader, const json_t *part, const char *name)
{
    const json_t *ids = json_object_get(json_object_get(json_object_get(part, "special_tokens"), name), "ids");
    tn_tokenizer *tokenizer = loader->tokenizer;
    for (size_t i = 0; i < json_array_size(ids); i++) {
        const json_t *id = json_array_get(ids, i);
        if (!json_is_integer(id) || json_integer_value(id) < 0 ||
            (unsigned long long)json_integer_value(id) >= tokenizer->vocabulary.count)
            return tn_fail(loader->error, TENEBRA_ERROR_FORMAT, loader->name, "TemplateProcessing: \"%.80s\" has an id that no token has",
                           name);
        TN_TRY(tn_ids_push(&tokenizer->front, (int32_t)json_integer_value(id), loader->error));
    }
    if (json_array_size(ids) == 0)
        return tn_fail(loader->error, TENEBRA_ERROR_FORMAT, loader->name, "TemplateProcessing: \"%.80s\" has no ids", name);
    return TENEBRA_OK;
}

/* The template of one text ("pair" is for two): tokens, then the text. Tokens after it would come before the answer. */
static tenebra_code read_template(const tn_loader *loader, const json_t *part)
{
    const json_t *single = json_object_get(part, "single");
    size_t texts = 0;
    if (!json_is_array(single))
        return tn_fail(loader->error, TENEBRA_ERROR_FORMAT, loader->name, "TemplateProcessing has no list \"single\"");
    for (size_t i = 0; i < json_array_size(single); i++) {
        const json_t *item = json_array_get(single, i), *token = json_object_get(item, "SpecialToken");
        const char *name = json_string_value(json_object_get(token, "id"));
        const char *text = json_string_value(json_object_get(json_object_get(item, "Sequence"), "id"));
        if ((name == NULL) == (text == NULL) || (text != NULL && strcmp(text, "A") != 0))
            return tn_fail(loader->error, TENEBRA_ERROR_FORMAT, loader->name,
                           "TemplateProcessing: item %zu is neither a SpecialToken nor the Sequence \"A\"", i);
        if (name != NULL && texts > 0)
            return tn_loader_refuse(loader, "post_processor TemplateProcessing with a token after the text:", name);
        if (name != NULL)
            TN_TRY(add_front(loader, part, name));
        texts += text != NULL;
    }
    if (texts != 1)
        return tn_fail(loader->error, TENEBRA_ERROR_FORMAT, loader->name, "TemplateProcessing has the text %zu times", texts);
    return TENEBRA_OK;
}

static const char *const template_keys[] = { "type", "single", "pair", "special_tokens", NULL };
static const tn_loader_kind processors[] = {
    { "ByteLevel", byte_level_keys, read_nothing },
    { "TemplateProcessing", template_keys, read_template },
    { 0 },
};

tenebra_code tn_loader_post_processor(const tn_loader *loader)
{
    const json_t *part = tn_loader_part(loader, "post_processor");
    return part == NULL ? TENEBRA_OK : tn_loader_each(loader, part, "post_processor", "processors", processors);
}

/* ------------------------------------------------------------- decoder -- */

static const tn_loader_kind decoders[] = {
    { "ByteLevel", byte_level_keys, read_nothing },
    { "Fuse", plain_keys, read_nothing },
    { 0 },
};

static bool is_byte_level(const json_t *part)
{
    const char *type = json_string_value(json_object_get(part, "type"));
    return type != NULL && strcmp(type, "ByteLevel") == 0;
}

tenebra_code tn_loader_decoder(const tn_loader *loader)
{
    const json_t *part = tn_loader_part(loader, "decoder"), *list = json_object_get(part, "decoders");
    if (part == NULL)
        return tn_loader_refuse(loader, "a tokenizer without", "decoder");
    TN_TRY(tn_loader_each(loader, part, "decoder", "decoders", decoders));
    bool found = is_byte_level(part);
    for (size_t i = 0; i < json_array_size(list); i++)
        found |= is_byte_level(json_array_get(list, i));
    return found ? TENEBRA_OK : tn_loader_refuse(loader, "a tokenizer without a decoder", "ByteLevel");
}
