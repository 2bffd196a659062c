/* Settings of a tokenizer beside its vocabulary: those that matter here are checked, the others are noted. Source:
 * PreTrainedTokenizerBase of transformers 4.51 to 5.24. */
#include "text/tokenizer_parts.h"

#include "base/file.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* Keys without effect on text that contains no added token; the template is read elsewhere. */
static const char *const config_keys[] = {
    "added_tokens_decoder", "additional_special_tokens", "extra_special_tokens", "bos_token", "eos_token", "pad_token",
    "unk_token", "sep_token", "cls_token", "mask_token", "image_token", "video_token", /* checked below */
    "chat_template", "tokenizer_class", "processor_class", "model_max_length", "padding_side", "truncation_side", "errors",
    "use_fast", "legacy", "tokenizer_file", "name_or_path", "special_tokens_map_file", "model_input_names", "max_length",
    "stride", "truncation_strategy", "pad_to_multiple_of", "pad_token_type_id", "padding", "truncation", "backend", "is_local",
    "local_files_only",
    "add_prefix_space=false", "split_special_tokens=false", "clean_up_tokenization_spaces=false", "add_bos_token", /* checked below */
    "add_eos_token=false", "spaces_between_special_tokens=false", "use_default_system_prompt=false", "model_specific_special_tokens",
    "vision_bos_token", "vision_eos_token", "boi_token", "eoi_token", NULL
};
static const char *const role_keys[] = { "bos_token", "eos_token", "pad_token", "unk_token", "sep_token", "cls_token",
                                         "mask_token", "image_token", "video_token", "vision_bos_token", "vision_eos_token",
                                         "boi_token", "eoi_token", NULL };
static const char *const map_keys[] = { "bos_token", "eos_token", "pad_token", "unk_token", "sep_token", "cls_token", "mask_token",
                                        "image_token", "video_token", "boi_token", "eoi_token", "additional_special_tokens",
                                        "extra_special_tokens", NULL };

typedef struct noting {
    const tn_tokenizer *tokenizer;
    const char *file;
    tn_notes *notes;
} noting;

/* A token that the reference would add and that the vocabulary does not have (or has under another id; id < 0: any). */
static void note_token(const noting *n, const char *role, const json_t *token, int32_t id)
{
    const char *content = json_string_value(json_is_object(token) ? json_object_get(token, "content") : token);
    int32_t found = content != NULL && content[0] != '\0' ? tn_tokenizer_find(n->tokenizer, content) : 0;
    if (content == NULL || content[0] == '\0' || (found >= 0 && (id < 0 || found == id)))
        return;
    char key[80];
    snprintf(key, sizeof key, "%s (\"%.40s\" is not in the vocabulary)", role, content);
    tn_notes_add(n->notes, n->file, key);
}

/* Tokens by role, and the lists of further tokens. */
static void note_roles(const noting *n, const json_t *root)
{
    static const char *const lists[] = { "additional_special_tokens", "extra_special_tokens" };
    for (const char *const *role = role_keys; *role != NULL; role++)
        note_token(n, *role, json_object_get(root, *role), -1);
    for (size_t l = 0; l < 2; l++) {
        json_t *list = json_object_get(root, lists[l]), *value;
        const char *key;
        for (size_t i = 0; i < json_array_size(list); i++)
            note_token(n, lists[l], json_array_get(list, i), -1);
        json_object_foreach(list, key, value)
            note_token(n, lists[l], value, -1);
    }
}

/* Whether a token comes before a prompt is what the post-processor of tokenizer.json says. */
static void note_front(const noting *n, const json_t *root)
{
    const json_t *asked = json_object_get(root, "add_bos_token");
    bool there = tn_tokenizer_front(n->tokenizer)->count > 0;
    if (asked != NULL && !json_is_null(asked) && json_is_true(asked) != there)
        tn_notes_add(n->notes, n->file, "add_bos_token");
}

/* How tokenizer_config.json wants an added token to be read, where the vocabulary has it otherwise. */
static void note_flags(const noting *n, const json_t *token, int32_t id)
{
    static const char *const flags[] = { "special", "normalized", "lstrip", "rstrip", "single_word" };
    const char *content = json_string_value(json_object_get(token, "content"));
    if (content == NULL || content[0] == '\0' || tn_tokenizer_find(n->tokenizer, content) != id)
        return;
    const tn_token *known = &n->tokenizer->vocabulary.tokens[id];
    const bool there[] = { known->special, known->normalized, false, false, false }; /* the last three are refused elsewhere */
    for (size_t i = 0; i < sizeof there / sizeof *there; i++) {
        const json_t *flag = json_object_get(token, flags[i]);
        char key[80];
        if (!json_is_boolean(flag) || json_is_true(flag) == there[i])
            continue;
        snprintf(key, sizeof key, "added_tokens_decoder (%s of \"%.40s\")", flags[i], content);
        tn_notes_add(n->notes, n->file, key);
    }
}

static void note_config(const noting *n, json_t *root)
{
    const char *key;
    json_t *value;
    tn_notes_unknown(n->notes, root, config_keys, n->file, NULL);
    note_roles(n, root);
    note_front(n, root);
    json_object_foreach(json_object_get(root, "added_tokens_decoder"), key, value) {
        int32_t id = (int32_t)strtol(key, NULL, 10);
        note_token(n, "added_tokens_decoder", value, id);
        note_flags(n, value, id);
    }
}

static void note_map(const noting *n, json_t *root)
{
    tn_notes_unknown(n->notes, root, map_keys, n->file, NULL);
    note_roles(n, root);
}

static void note_added(const noting *n, json_t *root)
{
    const char *key;
    json_t *value;
    json_object_foreach(root, key, value) {
        json_t *token = json_string(key);
        note_token(n, "token", token, json_is_integer(value) ? (int32_t)json_integer_value(value) : -1);
        json_decref(token);
    }
}

tenebra_code tn_tokenizer_note(const tn_tokenizer *tokenizer, const char *directory, tn_notes *notes, tenebra_error *error)
{
    static const struct {
        const char *name;
        void (*note)(const noting *, json_t *);
    } files[] = { { "tokenizer_config.json", note_config },
                  { "special_tokens_map.json", note_map },
                  { "added_tokens.json", note_added } };
    tn_notes_append(notes, &tokenizer->notes);
    for (size_t i = 0; i < sizeof files / sizeof *files; i++) {
        json_t *root;
        TN_TRY(tn_json_read_object(directory, files[i].name, TN_TOKENIZER_FILE_LIMIT, false, &root, error));
        if (root == NULL)
            continue;
        const noting n = { tokenizer, files[i].name, notes };
        files[i].note(&n, root);
        json_decref(root);
    }
    return TENEBRA_OK;
}
