/* The part "pre_tokenizer" of a tokenizer.json. The last step turns bytes into the characters of the vocabulary's names; steps
 * after it would see these characters, and are refused. */
#include "text/tokenizer_parts.h"

#include <string.h>

static const char PART[] = "pre_tokenizer";

/* What part[key] names, `standard` without it. */
static tenebra_code read_behavior(const tn_loader *loader, const json_t *part, const char *what, tn_split_behavior standard,
                                  tn_split_behavior *behavior)
{
    static const char *const names[] = { "Isolated", "Removed", "MergedWithPrevious", "MergedWithNext", "Contiguous" };
    const char *name = names[standard];
    char inner[TN_JSON_PART];
    TN_TRY(tn_json_string(part, "behavior", &name, tn_json_part(inner, loader->name, PART), loader->error));
    for (size_t i = 0; i < sizeof names / sizeof *names; i++)
        if (strcmp(name, names[i]) == 0) {
            *behavior = (tn_split_behavior)i;
            return TENEBRA_OK;
        }
    return tn_loader_refuse(loader, what, name);
}

static tenebra_code read_split(const tn_loader *loader, const json_t *part)
{
    const char *text;
    size_t length;
    tn_split_options options = { 0 };
    if (json_object_get(part, "behavior") == NULL)
        return tn_fail(loader->error, TENEBRA_ERROR_FORMAT, loader->name, "Split has no \"behavior\"");
    TN_TRY(tn_loader_pattern(loader, part, &text, &length, &options.literal));
    TN_TRY(read_behavior(loader, part, "pre_tokenizer Split with behavior", TN_SPLIT_ISOLATED, &options.behavior));
    TN_TRY(tn_loader_bool(loader, part, PART, "invert", &options.invert));
    return tn_splitter_add_pattern(loader->tokenizer->splitter, text, length, &options, loader->name, loader->error);
}

static tenebra_code read_digits(const tn_loader *loader, const json_t *part)
{
    bool individual = false; /* the default of the reference library */
    TN_TRY(tn_loader_bool(loader, part, PART, "individual_digits", &individual));
    return tn_splitter_add_kind(loader->tokenizer->splitter, TN_SPLIT_NUMBERS, individual ? TN_SPLIT_ISOLATED : TN_SPLIT_CONTIGUOUS,
                                loader->name, loader->error);
}

static tenebra_code read_punctuation(const tn_loader *loader, const json_t *part)
{
    tn_split_behavior behavior = TN_SPLIT_ISOLATED;
    TN_TRY(read_behavior(loader, part, "pre_tokenizer Punctuation with behavior", TN_SPLIT_ISOLATED, &behavior));
    return tn_splitter_add_kind(loader->tokenizer->splitter, TN_SPLIT_PUNCTUATION, behavior, loader->name, loader->error);
}

static tenebra_code read_byte_level(const tn_loader *loader, const json_t *part)
{
    bool space = true, use_regex = true; /* defaults of the reference library */
    TN_TRY(tn_loader_bool(loader, part, PART, "add_prefix_space", &space));
    TN_TRY(tn_loader_bool(loader, part, PART, "use_regex", &use_regex));
    if (space)
        TN_TRY(tn_splitter_add_space(loader->tokenizer->splitter, loader->name, loader->error));
    if (!use_regex)
        return TENEBRA_OK;
    return tn_splitter_add_pattern(loader->tokenizer->splitter, TN_PATTERN_GPT2, strlen(TN_PATTERN_GPT2), NULL, loader->name,
                                   loader->error);
}

static const char *const split_keys[] = { "type", "pattern", "behavior", "invert", NULL };
static const char *const digits_keys[] = { "type", "individual_digits", NULL };
static const char *const punctuation_keys[] = { "type", "behavior", NULL };
/* trim_offsets concerns positions in the text, which are not used here. */
static const char *const byte_level_keys[] = { "type", "add_prefix_space", "trim_offsets", "use_regex", NULL };
static const tn_loader_kind kinds[] = {
    { "Split", split_keys, read_split },
    { "Digits", digits_keys, read_digits },
    { "Punctuation", punctuation_keys, read_punctuation },
    { "ByteLevel", byte_level_keys, read_byte_level },
    { 0 },
};

static bool is_byte_level(const json_t *part)
{
    const char *type = json_string_value(json_object_get(part, "type"));
    return type != NULL && strcmp(type, "ByteLevel") == 0;
}

/* Exactly the last step must be ByteLevel. */
static tenebra_code check_order(const tn_loader *loader, const json_t *part)
{
    const json_t *list = json_object_get(part, "pretokenizers");
    size_t count = json_array_size(list), byte_levels = 0;
    if (is_byte_level(part))
        return TENEBRA_OK;
    for (size_t i = 0; i < count; i++)
        byte_levels += is_byte_level(json_array_get(list, i));
    if (byte_levels == 0)
        return tn_loader_refuse(loader, "a tokenizer without a pre_tokenizer", "ByteLevel");
    if (byte_levels > 1 || !is_byte_level(json_array_get(list, count - 1)))
        return tn_loader_refuse(loader, "a pre_tokenizer after", "ByteLevel");
    return TENEBRA_OK;
}

tenebra_code tn_loader_pre_tokenizer(const tn_loader *loader)
{
    const json_t *part = tn_loader_part(loader, PART);
    if (part == NULL)
        return tn_loader_refuse(loader, "a tokenizer without", PART);
    TN_TRY(tn_splitter_open(&loader->tokenizer->splitter, loader->error));
    TN_TRY(tn_loader_each(loader, part, PART, "pretokenizers", kinds));
    return check_order(loader, part);
}
