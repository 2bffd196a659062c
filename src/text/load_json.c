/* tokenizer.json. Source: the serialised form of Hugging Face tokenizers 0.13 to 0.22. Every part is compared with what
 * this program does; anything else is refused by name. */
#include "text/tokenizer_parts.h"

#include "base/checked.h"
#include "text/normalize.h"

#include <string.h>

/* Refuses part[key] if it exists and has an effect (not null, not "", not false). */
static tenebra_code refuse(const tn_loader *l, const json_t *part, const char *where, const char *key)
{
    const json_t *value = json_object_get(part, key);
    bool silent = value == NULL || json_is_null(value) || json_is_false(value) ||
                  (json_is_string(value) && json_string_length(value) == 0) ||
                  (json_is_number(value) && json_number_value(value) == 0);
    return silent ? TENEBRA_OK : tn_loader_refuse(l, where, key);
}

/* --------------------------------------------------------------- model -- */

static tenebra_code read_merge(const tn_loader *l, const json_t *merge, tn_text *scratch)
{
    tn_vocabulary *vocabulary = &l->tokenizer->vocabulary;
    if (json_is_string(merge)) {
        const char *text = json_string_value(merge), *space = strchr(text, ' ');
        if (space != NULL && strchr(space + 1, ' ') == NULL && strlen(text) == json_string_length(merge))
            return tn_vocabulary_merge_names(vocabulary, text, (size_t)(space - text), space + 1,
                                             strlen(space + 1), scratch, l->name, l->error);
    } else if (json_array_size(merge) == 2) {
        const json_t *left = json_array_get(merge, 0), *right = json_array_get(merge, 1);
        if (json_is_string(left) && json_is_string(right))
            return tn_vocabulary_merge_names(vocabulary, json_string_value(left), json_string_length(left),
                                             json_string_value(right), json_string_length(right), scratch,
                                             l->name, l->error);
    }
    return tn_fail(l->error, TENEBRA_ERROR_FORMAT, l->name,
                   "merge %zu is neither two tokens with one space between nor a pair of tokens",
                   vocabulary->merge_count);
}

static tenebra_code read_merges(const tn_loader *l, const json_t *merges)
{
    tn_text scratch = { 0 };
    tenebra_code code = TENEBRA_OK;
    for (size_t i = 0; i < json_array_size(merges) && code == TENEBRA_OK; i++)
        code = read_merge(l, json_array_get(merges, i), &scratch);
    tn_text_free(&scratch);
    return code;
}

static tenebra_code check_model(const tn_loader *l, const json_t *model)
{
    static const char *const refused[] = { "dropout", "continuing_subword_prefix", "end_of_word_suffix",
                                           "byte_fallback" };
    if (!json_is_object(model))
        return tn_fail(l->error, TENEBRA_ERROR_FORMAT, l->name, "has no object \"model\"");
    const char *type = json_string_value(json_object_get(model, "type"));
    if (type == NULL || strcmp(type, "BPE") != 0)
        return tn_loader_refuse(l, "model type", type != NULL ? type : "");
    for (size_t i = 0; i < sizeof refused / sizeof refused[0]; i++)
        TN_TRY(refuse(l, model, "model option", refused[i]));
    return tn_loader_bool(l, model, "model", "ignore_merges", &l->tokenizer->ignore_merges);
}

/* The id in an added token's entry. */
static tenebra_code added_id(const tn_loader *l, const json_t *token, size_t *id)
{
    char inner[TN_JSON_PART];
    *id = SIZE_MAX;
    TN_TRY(tn_json_size(token, "id", 0, TN_VOCABULARY_LIMIT - 1, id, tn_json_part(inner, l->name, "added_tokens"), l->error));
    if (*id == SIZE_MAX)
        return tn_fail(l->error, TENEBRA_ERROR_FORMAT, l->name, "an added token has no \"id\"");
    return TENEBRA_OK;
}

/* Opens the vocabulary with room for all ids. They must fill 0 .. largest; if they do not, this is detected when the
 * token is added. */
static tenebra_code open_vocabulary(const tn_loader *l, const json_t *vocab, const json_t *added, const json_t *merges)
{
    size_t largest = 0, tokens = json_object_size(vocab) + json_array_size(added);
    TN_TRY(tn_vocabulary_largest_id(vocab, &largest, l->name, l->error));
    for (size_t i = 0; i < json_array_size(added); i++) {
        size_t id = 0;
        TN_TRY(added_id(l, json_array_get(added, i), &id));
        largest = tn_max(largest, id);
    }
    return tn_vocabulary_open(&l->tokenizer->vocabulary, tn_min(largest + 1, tokens), json_array_size(merges),
                              l->name, l->error);
}

/* Added tokens that are searched in normalised text must themselves be normalised. */
static tenebra_code check_normal(const tn_loader *l, int32_t id)
{
    const tn_vocabulary *vocabulary = &l->tokenizer->vocabulary;
    const tn_token *token = &vocabulary->tokens[id];
    if (l->tokenizer->rule_count == 0 || !token->normalized)
        return TENEBRA_OK;
    const char *bytes = tn_vocabulary_bytes(vocabulary, id);
    tn_text zeros = { 0 };
    tn_marked normal = { 0 };
    tenebra_code code = tn_text_fill(&zeros, 0, token->length, l->error);
    if (code == TENEBRA_OK)
        code = tn_tokenizer_normalize(l->tokenizer, &normal, bytes, zeros.data, token->length, l->error);
    if (code == TENEBRA_OK &&
        (normal.text.length != token->length || memcmp(normal.text.data, bytes, token->length) != 0))
        code = tn_loader_refuse(l, "a normalised added token that the normalizer changes:", bytes);
    tn_text_free(&zeros);
    tn_marked_free(&normal);
    return code;
}

static tenebra_code read_added(const tn_loader *l, const json_t *added)
{
    tn_vocabulary *vocabulary = &l->tokenizer->vocabulary;
    for (size_t i = 0; i < json_array_size(added); i++) {
        size_t id = 0;
        TN_TRY(added_id(l, json_array_get(added, i), &id));
        TN_TRY(tn_vocabulary_put_added(vocabulary, json_array_get(added, i), id, l->name, l->error));
        TN_TRY(check_normal(l, (int32_t)id));
    }
    return TENEBRA_OK;
}

/* "truncation" and "padding" are settings of one caller, which the reference ignores by default. The token for unknown
 * text has no use if every byte has a token. Parts of type ByteLevel differ in offsets, which are not used here. */
static void note_keys(const tn_loader *l, const json_t *model, const json_t *added)
{
    static const char *const root_keys[] = { "version", "truncation", "padding", "added_tokens", "normalizer", "pre_tokenizer",
                                             "post_processor", "decoder", "model", NULL };
    static const char *const model_keys[] = { "type", "dropout", "unk_token", "continuing_subword_prefix", "end_of_word_suffix",
                                              "fuse_unk", "byte_fallback", "ignore_merges", "vocab", "merges", NULL };
    static const char *const token_keys[] = { "id", "content", "single_word", "lstrip", "rstrip", "normalized", "special", NULL };
    static const char FILE_NAME[] = "tokenizer.json";
    tn_notes *notes = &l->tokenizer->notes;
    tn_notes_unknown(notes, l->root, root_keys, FILE_NAME, NULL);
    tn_notes_unknown(notes, model, model_keys, FILE_NAME, "model");
    for (size_t i = 0; i < json_array_size(added); i++)
        tn_notes_unknown(notes, json_array_get(added, i), token_keys, FILE_NAME, "added_tokens");
}

tenebra_code tn_tokenizer_load_json(tn_tokenizer *tokenizer, const json_t *root, const char *name,
                                    tenebra_error *error)
{
    const tn_loader l = { tokenizer, root, name, error };
    if (!json_is_object(root))
        return tn_fail(error, TENEBRA_ERROR_FORMAT, name, "is not a JSON object");
    const json_t *model = json_object_get(root, "model"), *added = tn_loader_part(&l, "added_tokens");
    TN_TRY(check_model(&l, model));
    const json_t *vocab = json_object_get(model, "vocab"), *merges = json_object_get(model, "merges");
    if (!json_is_object(vocab) || !json_is_array(merges) || (added != NULL && !json_is_array(added)))
        return tn_fail(error, TENEBRA_ERROR_FORMAT, name,
                       "must have an object \"vocab\", a list \"merges\" and a list \"added_tokens\"");
    note_keys(&l, model, added);
    TN_TRY(tn_loader_normalizer(&l));
    TN_TRY(tn_loader_pre_tokenizer(&l));
    TN_TRY(tn_loader_decoder(&l));
    TN_TRY(open_vocabulary(&l, vocab, added, merges));
    TN_TRY(tn_vocabulary_put_all(&tokenizer->vocabulary, vocab, name, error));
    TN_TRY(read_merges(&l, merges));
    TN_TRY(read_added(&l, added));
    TN_TRY(tn_loader_post_processor(&l));
    return tn_vocabulary_seal(&tokenizer->vocabulary, name, error);
}
