/* A trained vocabulary as tokenizer.json. Source of the format: Hugging Face tokenizers; the parts other than the
 * vocabulary are those that Qwen2-like models publish: form C, their split pattern, bytes as characters. */
#include "text/bpe_train_parts.h"

#include <stdlib.h>
#include <string.h>

size_t tn_bpe_trainer_size(const tn_bpe_trainer *trainer)
{
    return trainer->token_count + trainer->added_count;
}

static const char *name_of(const tn_bpe_trainer *trainer, int32_t id)
{
    return trainer->names.data + trainer->tokens[id].offset;
}

static json_t *write_added(const tn_bpe_trainer *trainer)
{
    json_t *list = json_array();
    for (size_t i = 0; i < trainer->added_count; i++)
        if (json_array_append_new(list, json_pack("{s:I, s:s, s:b, s:b, s:b, s:b, s:b}", "id",
                                                  (json_int_t)trainer->token_count + (json_int_t)i, "content",
                                                  trainer->added[i],
                                                  "single_word", 0, "lstrip", 0, "rstrip", 0, "normalized", 0,
                                                  "special", i < trainer->special)) != 0) {
            json_decref(list);
            return NULL;
        }
    return list;
}

static json_t *write_vocab(const tn_bpe_trainer *trainer)
{
    json_t *vocab = json_object();
    bool fits = vocab != NULL;
    for (size_t id = 0; id < trainer->token_count && fits; id++)
        fits = json_object_setn_new(vocab, name_of(trainer, (int32_t)id), trainer->tokens[id].length,
                                    json_integer((json_int_t)id)) == 0;
    if (fits)
        return vocab;
    json_decref(vocab);
    return NULL;
}

/* "left right", the form that all versions read. */
static json_t *write_merges(const tn_bpe_trainer *trainer)
{
    json_t *list = json_array();
    tn_text line = { 0 };
    bool fits = list != NULL;
    for (size_t i = 0; i < trainer->merge_count && fits; i++) {
        const tn_trained_best *merge = &trainer->merges[i];
        line.length = 0;
        fits = tn_text_append(&line, name_of(trainer, merge->left), trainer->tokens[merge->left].length, NULL) == 0 &&
               tn_text_append(&line, " ", 1, NULL) == 0 &&
               tn_text_append(&line, name_of(trainer, merge->right), trainer->tokens[merge->right].length, NULL) == 0 &&
               json_array_append_new(list, json_stringn(line.data, line.length)) == 0;
    }
    tn_text_free(&line);
    if (fits)
        return list;
    json_decref(list);
    return NULL;
}

static json_t *byte_level(void)
{
    return json_pack("{s:s, s:b, s:b, s:b}", "type", "ByteLevel", "add_prefix_space", 0, "trim_offsets", 0, "use_regex",
                     0);
}

json_t *tn_bpe_trainer_json(const tn_bpe_trainer *trainer)
{
    json_t *split = json_pack("{s:s, s:{s:s}, s:s, s:b}", "type", "Split", "pattern", "Regex", TN_PATTERN_QWEN2,
                              "behavior", "Isolated", "invert", 0);
    json_t *before = json_pack("{s:s, s:[o, o]}", "type", "Sequence", "pretokenizers", split, byte_level());
    json_t *normalizer = trainer->lower ? json_pack("{s:s, s:[{s:s}, {s:s}]}", "type", "Sequence", "normalizers", "type", "NFC",
                                                    "type", "Lowercase")
                                        : json_pack("{s:s}", "type", "NFC");
    json_t *model = json_pack("{s:s, s:n, s:n, s:s, s:s, s:b, s:b, s:o, s:o}", "type", "BPE", "dropout", "unk_token",
                              "continuing_subword_prefix", "", "end_of_word_suffix", "", "fuse_unk", 0,
                              "byte_fallback", 0, "vocab", write_vocab(trainer), "merges", write_merges(trainer));
    return json_pack("{s:s, s:n, s:n, s:o, s:o, s:o, s:o, s:o, s:o}", "version", "1.0", "truncation", "padding",
                     "added_tokens", write_added(trainer), "normalizer", normalizer, "pre_tokenizer", before,
                     "post_processor", byte_level(), "decoder", byte_level(), "model", model);
}
