/* tokenizer.json. Source: the serialised form of Hugging Face tokenizers 0.13 to 0.22. Every part is compared with what
 * this program does; anything else is refused by name. */
#include "text/tokenizer_parts.h"

#include "base/checked.h"
#include "text/normalize.h"

#include <string.h>

typedef struct loader {
    tn_tokenizer *tokenizer;
    const json_t *root;
    const char *name;
    tenebra_error *error;
} loader;

/* The "type" of a part, "" without one. */
static const char *type_of(const json_t *part)
{
    const char *type = json_string_value(json_object_get(part, "type"));
    return type != NULL ? type : "";
}

static bool is_type(const json_t *part, const char *type)
{
    return strcmp(type_of(part), type) == 0;
}

static tenebra_code unsupported(const loader *l, const char *part, const char *what)
{
    return tn_fail(l->error, TENEBRA_ERROR_UNSUPPORTED, l->name, "%s \"%.80s\" is not supported", part, what);
}

/* Refuses part[key] if it exists and has an effect (not null, not "", not false). */
static tenebra_code refuse(const loader *l, const json_t *part, const char *where, const char *key)
{
    const json_t *value = json_object_get(part, key);
    bool silent = value == NULL || json_is_null(value) || json_is_false(value) ||
                  (json_is_string(value) && json_string_length(value) == 0) ||
                  (json_is_number(value) && json_number_value(value) == 0);
    return silent ? TENEBRA_OK : unsupported(l, where, key);
}

/* ------------------------------------------------------------ pipeline -- */

/* Calls `each` with the part, or with the members of a "Sequence" of them (list `members`). */
static tenebra_code each_member(const loader *l, const json_t *part, const char *members,
                                tenebra_code (*each)(const loader *, const json_t *))
{
    if (!is_type(part, "Sequence"))
        return each(l, part);
    const json_t *list = json_object_get(part, members);
    if (!json_is_array(list))
        return tn_fail(l->error, TENEBRA_ERROR_FORMAT, l->name, "a Sequence has no list \"%s\"", members);
    for (size_t i = 0; i < json_array_size(list); i++)
        TN_TRY(each(l, json_array_get(list, i)));
    return TENEBRA_OK;
}

static tenebra_code read_normalizer(const loader *l, const json_t *part)
{
    tn_normal_form form = is_type(part, "NFC") ? tn_normalize_nfc : is_type(part, "Lowercase") ? tn_normalize_lower : NULL;
    if (form == NULL)
        return unsupported(l, "normalizer", type_of(part));
    if (l->tokenizer->form_count == TN_NORMAL_FORMS_MAX)
        return unsupported(l, "normalizer", "a Sequence that is so long");
    l->tokenizer->forms[l->tokenizer->form_count++] = form;
    return TENEBRA_OK;
}

static tenebra_code open_splitter(const loader *l, const char *pattern, size_t length, bool drop_gaps)
{
    if (l->tokenizer->splitter != NULL)
        return unsupported(l, "pre_tokenizer", "two splits in a row");
    tn_split_options options = { .drop_gaps = drop_gaps };
    return tn_splitter_open(pattern, length, &options, l->name, &l->tokenizer->splitter, l->error);
}

/* Keeps the matches of a pattern as pieces, and the text between either as pieces (Isolated) or not at all (Removed,
 * inverted). */
static tenebra_code read_split(const loader *l, const json_t *part)
{
    const json_t *pattern = json_object_get(json_object_get(part, "pattern"), "Regex");
    if (!json_is_string(pattern))
        return unsupported(l, "pre_tokenizer", "Split without a Regex");
    const char *behavior = "";
    bool invert = false;
    TN_TRY(tn_json_string(part, "behavior", &behavior, l->name, l->error));
    TN_TRY(tn_json_bool(part, "invert", &invert, l->name, l->error));
    bool isolated = strcmp(behavior, "Isolated") == 0, removed = strcmp(behavior, "Removed") == 0;
    if (!isolated && !(removed && invert))
        return unsupported(l, "pre_tokenizer Split with behavior", behavior);
    return open_splitter(l, json_string_value(pattern), json_string_length(pattern), removed);
}

static tenebra_code read_pre_tokenizer(const loader *l, const json_t *part)
{
    if (is_type(part, "Split"))
        return read_split(l, part);
    if (!is_type(part, "ByteLevel"))
        return unsupported(l, "pre_tokenizer", type_of(part));
    bool prefix = true, use_regex = true; /* defaults of the reference library */
    TN_TRY(tn_json_bool(part, "add_prefix_space", &prefix, l->name, l->error));
    TN_TRY(tn_json_bool(part, "use_regex", &use_regex, l->name, l->error));
    if (prefix)
        return unsupported(l, "pre_tokenizer ByteLevel with", "add_prefix_space");
    return use_regex ? open_splitter(l, TN_PATTERN_GPT2, strlen(TN_PATTERN_GPT2), false) : TENEBRA_OK;
}

/* A post-processor of type ByteLevel only moves offsets, which are not used here. */
static tenebra_code check_post_processor(const loader *l, const json_t *part)
{
    return is_type(part, "ByteLevel") ? TENEBRA_OK : unsupported(l, "post_processor", type_of(part));
}

static tenebra_code check_decoder(const loader *l, const json_t *part)
{
    return is_type(part, "ByteLevel") ? TENEBRA_OK : unsupported(l, "decoder", type_of(part));
}

static const json_t *part_of(const loader *l, const char *key)
{
    const json_t *part = json_object_get(l->root, key);
    return json_is_null(part) ? NULL : part;
}

/* "truncation" and "padding" are settings of one caller, not of the vocabulary: not read. */
static tenebra_code read_pipeline(const loader *l)
{
    const json_t *normalizer = part_of(l, "normalizer"), *post = part_of(l, "post_processor");
    const json_t *pre = part_of(l, "pre_tokenizer"), *decoder = part_of(l, "decoder");
    if (pre == NULL || decoder == NULL)
        return unsupported(l, "a tokenizer without", pre == NULL ? "pre_tokenizer" : "decoder");
    if (normalizer != NULL)
        TN_TRY(each_member(l, normalizer, "normalizers", read_normalizer));
    TN_TRY(each_member(l, pre, "pretokenizers", read_pre_tokenizer));
    if (post != NULL)
        TN_TRY(each_member(l, post, "processors", check_post_processor));
    TN_TRY(each_member(l, decoder, "decoders", check_decoder));
    if (l->tokenizer->splitter == NULL)
        return unsupported(l, "pre_tokenizer", "none that splits");
    return TENEBRA_OK;
}

/* --------------------------------------------------------------- model -- */

static tenebra_code read_merge(const loader *l, const json_t *merge, tn_text *scratch)
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

static tenebra_code read_merges(const loader *l, const json_t *merges)
{
    tn_text scratch = { 0 };
    tenebra_code code = TENEBRA_OK;
    for (size_t i = 0; i < json_array_size(merges) && code == TENEBRA_OK; i++)
        code = read_merge(l, json_array_get(merges, i), &scratch);
    tn_text_free(&scratch);
    return code;
}

static tenebra_code check_model(const loader *l, const json_t *model)
{
    static const char *const refused[] = { "dropout", "continuing_subword_prefix", "end_of_word_suffix",
                                           "byte_fallback" };
    if (!json_is_object(model))
        return tn_fail(l->error, TENEBRA_ERROR_FORMAT, l->name, "has no object \"model\"");
    if (!is_type(model, "BPE"))
        return unsupported(l, "model type", type_of(model));
    for (size_t i = 0; i < sizeof refused / sizeof refused[0]; i++)
        TN_TRY(refuse(l, model, "model option", refused[i]));
    return tn_json_bool(model, "ignore_merges", &l->tokenizer->ignore_merges, l->name, l->error);
}

/* The id in an added token's entry. */
static tenebra_code added_id(const loader *l, const json_t *token, size_t *id)
{
    *id = SIZE_MAX;
    TN_TRY(tn_json_size(token, "id", 0, TN_VOCABULARY_LIMIT - 1, id, l->name, l->error));
    if (*id == SIZE_MAX)
        return tn_fail(l->error, TENEBRA_ERROR_FORMAT, l->name, "an added token has no \"id\"");
    return TENEBRA_OK;
}

/* Opens the vocabulary with room for all ids. They must fill 0 .. largest; if they do not, this is detected when the
 * token is added. */
static tenebra_code open_vocabulary(const loader *l, const json_t *vocab, const json_t *added, const json_t *merges)
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
static tenebra_code check_normal(const loader *l, int32_t id)
{
    const tn_vocabulary *vocabulary = &l->tokenizer->vocabulary;
    const tn_token *token = &vocabulary->tokens[id];
    if (l->tokenizer->form_count == 0 || !token->normalized)
        return TENEBRA_OK;
    const char *bytes = tn_vocabulary_bytes(vocabulary, id);
    tn_text zeros = { 0 };
    tn_marked normal = { 0 };
    tenebra_code code = tn_text_fill(&zeros, 0, token->length, l->error);
    if (code == TENEBRA_OK)
        code = tn_tokenizer_normalize(l->tokenizer, &normal, bytes, zeros.data, token->length, l->error);
    if (code == TENEBRA_OK &&
        (normal.text.length != token->length || memcmp(normal.text.data, bytes, token->length) != 0))
        code = unsupported(l, "a normalised added token that the normalizer changes:", bytes);
    tn_text_free(&zeros);
    tn_marked_free(&normal);
    return code;
}

static tenebra_code read_added(const loader *l, const json_t *added)
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
static void note_keys(const loader *l, const json_t *model, const json_t *added)
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
    loader l = { tokenizer, root, name, error };
    if (!json_is_object(root))
        return tn_fail(error, TENEBRA_ERROR_FORMAT, name, "is not a JSON object");
    const json_t *model = json_object_get(root, "model"), *added = part_of(&l, "added_tokens");
    TN_TRY(check_model(&l, model));
    const json_t *vocab = json_object_get(model, "vocab"), *merges = json_object_get(model, "merges");
    if (!json_is_object(vocab) || !json_is_array(merges) || (added != NULL && !json_is_array(added)))
        return tn_fail(error, TENEBRA_ERROR_FORMAT, name,
                       "must have an object \"vocab\", a list \"merges\" and a list \"added_tokens\"");
    note_keys(&l, model, added);
    TN_TRY(read_pipeline(&l));
    TN_TRY(open_vocabulary(&l, vocab, added, merges));
    TN_TRY(tn_vocabulary_put_all(&tokenizer->vocabulary, vocab, name, error));
    TN_TRY(read_merges(&l, merges));
    TN_TRY(read_added(&l, added));
    return tn_vocabulary_seal(&tokenizer->vocabulary, name, error);
}
