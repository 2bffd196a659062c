/* The part "normalizer" of a tokenizer.json. */
#include "text/tokenizer_parts.h"

#include "text/pattern.h"

#include <stdlib.h>
#include <string.h>

/* Adds a rule, which then belongs to the tokenizer, and gives it in *added. */
static tenebra_code add_rule(const tn_loader *loader, tn_rule_kind kind, tn_rule **added)
{
    tn_tokenizer *tokenizer = loader->tokenizer;
    if (tokenizer->rule_count == TN_RULES_MAX)
        return tn_loader_refuse(loader, "normalizer", "a Sequence that is so long");
    *added = &tokenizer->rules[tokenizer->rule_count++];
    **added = (tn_rule){ .kind = kind };
    return TENEBRA_OK;
}

/* The text in part[key] becomes that of the rule. */
static tenebra_code copy_text(const tn_loader *loader, const json_t *part, const char *key, tn_rule *rule)
{
    const json_t *value = json_object_get(part, key);
    if (!json_is_string(value))
        return tn_fail(loader->error, TENEBRA_ERROR_FORMAT, loader->name, "a normalizer has no text \"%s\"", key);
    rule->length = json_string_length(value);
    rule->text = malloc(rule->length + 1);
    if (rule->text == NULL)
        return tn_fail(loader->error, TENEBRA_ERROR_MEMORY, loader->name, "no memory for a text of %zu bytes", rule->length);
    memcpy(rule->text, json_string_value(value), rule->length + 1);
    return TENEBRA_OK;
}

static tenebra_code read_form(const tn_loader *loader, const json_t *part)
{
    const char *type = json_string_value(json_object_get(part, "type"));
    tn_rule *rule = NULL;
    TN_TRY(add_rule(loader, TN_RULE_UNICODE, &rule));
    rule->form = (tn_unicode_form){ .compatible = strchr(type, 'K') != NULL, .composed = type[strlen(type) - 1] == 'C' };
    return TENEBRA_OK;
}

static tenebra_code read_lowercase(const tn_loader *loader, const json_t *part)
{
    (void)part;
    tn_rule *rule = NULL;
    return add_rule(loader, TN_RULE_LOWER, &rule);
}

static tenebra_code read_prepend(const tn_loader *loader, const json_t *part)
{
    tn_rule *rule = NULL;
    TN_TRY(add_rule(loader, TN_RULE_PREPEND, &rule));
    return copy_text(loader, part, "prepend", rule);
}

/* What becomes of empty matches, the reference library does in two ways, depending on the function that is called. */
static tenebra_code read_replace(const tn_loader *loader, const json_t *part)
{
    tn_rule *rule = NULL;
    const char *text;
    size_t length;
    bool literal;
    TN_TRY(add_rule(loader, TN_RULE_REPLACE, &rule));
    TN_TRY(copy_text(loader, part, "content", rule));
    TN_TRY(tn_loader_pattern(loader, part, &text, &length, &literal));
    TN_TRY(tn_pattern_open(text, length, literal, loader->name, &rule->pattern, loader->error));
    if (tn_pattern_matches_nothing(rule->pattern))
        return tn_loader_refuse(loader, "normalizer Replace of a pattern that may match nothing:", text);
    return TENEBRA_OK;
}

static tenebra_code read_strip(const tn_loader *loader, const json_t *part)
{
    tn_rule *rule = NULL;
    TN_TRY(add_rule(loader, TN_RULE_STRIP, &rule));
    rule->left = rule->right = true;
    TN_TRY(tn_loader_bool(loader, part, "normalizer", "strip_left", &rule->left));
    return tn_loader_bool(loader, part, "normalizer", "strip_right", &rule->right);
}

static const char *const plain_keys[] = { "type", NULL };
static const char *const prepend_keys[] = { "type", "prepend", NULL };
static const char *const replace_keys[] = { "type", "pattern", "content", NULL };
static const char *const strip_keys[] = { "type", "strip_left", "strip_right", NULL };
static const tn_loader_kind kinds[] = {
    { "NFC", plain_keys, read_form },       { "NFD", plain_keys, read_form },
    { "NFKC", plain_keys, read_form },      { "NFKD", plain_keys, read_form },
    { "Lowercase", plain_keys, read_lowercase }, { "Prepend", prepend_keys, read_prepend },
    { "Replace", replace_keys, read_replace },   { "Strip", strip_keys, read_strip },
    { 0 },
};

tenebra_code tn_loader_normalizer(const tn_loader *loader)
{
    const json_t *part = tn_loader_part(loader, "normalizer");
    return part == NULL ? TENEBRA_OK : tn_loader_each(loader, part, "normalizer", "normalizers", kinds);
}
