/* Invalid tokenizer files, and the errors about them. */
#include "unit/text/support.h"

#include "base/json.h"

static json_t *small_json(void)
{
    json_t *root;
    tn_json_read(SMALL "/tokenizer.json", 1 << 20, &root, NULL);
    assert_non_null(root);
    return root;
}

/* Opens the value as a tokenizer.json; gives the reference back. */
static tn_tokenizer *read_value(json_t *root, tenebra_error *error)
{
    char *text = json_dumps(root, JSON_COMPACT | JSON_ENCODE_ANY);
    assert_non_null(text);
    tn_tokenizer *tokenizer;
    tn_tokenizer_read(text, strlen(text), "test.json", &tokenizer, error);
    free(text);
    json_decref(root);
    return tokenizer;
}

/* ------------------------------------------------- changes to one value -- */

/* Sets the value at a path like "model/merges/3" (object keys, array indices) to the JSON `text`;
 * an index of the array's size appends, NULL removes. */
static void set_at(json_t *root, const char *path, const char *text)
{
    char copy[128], *key = copy, *slash;
    snprintf(copy, sizeof copy, "%s", path);
    json_t *at = root;
    for (; (slash = strchr(key, '/')) != NULL; key = slash + 1) {
        *slash = '\0';
        at = json_is_array(at) ? json_array_get(at, strtoul(key, NULL, 10)) : json_object_get(at, key);
        assert_non_null(at);
    }
    json_t *value = text != NULL ? json_loads(text, JSON_DECODE_ANY | JSON_ALLOW_NUL, NULL) : NULL;
    assert_true(text == NULL || value != NULL);
    size_t index = strtoul(key, NULL, 10);
    int failed;
    if (json_is_array(at))
        failed = value == NULL                  ? json_array_remove(at, index)
                 : index == json_array_size(at) ? json_array_append_new(at, value)
                                                : json_array_set_new(at, index, value);
    else
        failed = value == NULL ? json_object_del(at, key) : json_object_set_new(at, key, value);
    assert_int_equal(failed, 0);
}

typedef struct damage {
    const char *path, *value;
    tenebra_code code;
    const char *says;
} damage;

#define FOUR_FORMS "{\"type\": \"NFC\"}, {\"type\": \"NFD\"}, {\"type\": \"NFKC\"}, {\"type\": \"NFKD\"}, "

#define TEMPLATE(items, ids) "{\"type\": \"TemplateProcessing\", \"single\": [" items "], \"pair\": [], \"special_tokens\": {" ids "}}"
#define BEGIN "{\"SpecialToken\": {\"id\": \"<|endoftext|>\", \"type_id\": 0}}, "
#define TEXT "{\"Sequence\": {\"id\": \"A\", \"type_id\": 0}}, "
#define BEGIN_IDS "\"<|endoftext|>\": {\"id\": \"<|endoftext|>\", \"ids\": [640], \"tokens\": [\"<|endoftext|>\"]}"

static const damage damages[] = {
    { "model", NULL, TENEBRA_ERROR_FORMAT, "no object \"model\"" },
    { "model", "[]", TENEBRA_ERROR_FORMAT, "no object \"model\"" },
    { "model/type", "\"Unigram\"", TENEBRA_ERROR_UNSUPPORTED, "\"Unigram\"" },
    { "model/type", "3", TENEBRA_ERROR_UNSUPPORTED, "model type" },
    { "model/dropout", "0.1", TENEBRA_ERROR_UNSUPPORTED, "\"dropout\"" },
    { "model/byte_fallback", "true", TENEBRA_ERROR_UNSUPPORTED, "\"byte_fallback\"" },
    { "model/end_of_word_suffix", "\"</w>\"", TENEBRA_ERROR_UNSUPPORTED, "\"end_of_word_suffix\"" },
    { "model/ignore_merges", "1", TENEBRA_ERROR_FORMAT, "\"ignore_merges\"" },
    { "model/vocab", NULL, TENEBRA_ERROR_FORMAT, "\"vocab\"" },
    { "model/vocab", "[\"a\"]", TENEBRA_ERROR_FORMAT, "\"vocab\"" },
    { "model/vocab", "{}", TENEBRA_ERROR_FORMAT, "lacks the first" },
    { "model/vocab/a", "-1", TENEBRA_ERROR_FORMAT, "whole number" },
    { "model/vocab/a", "1.5", TENEBRA_ERROR_FORMAT, "whole number" },
    { "model/vocab/a", "\"64\"", TENEBRA_ERROR_FORMAT, "whole number" },
    { "model/vocab/a", "null", TENEBRA_ERROR_FORMAT, "whole number" },
    { "model/vocab/a", "16777216", TENEBRA_ERROR_FORMAT, "whole number" },
    { "model/vocab/a", "9223372036854775807", TENEBRA_ERROR_FORMAT, "whole number" },
    { "model/vocab/a", "1000", TENEBRA_ERROR_FORMAT, "without a gap" },
    { "model/vocab/a", "0", TENEBRA_ERROR_FORMAT, "belongs to two tokens" },
    { "model/vocab/a", NULL, TENEBRA_ERROR_FORMAT, "merge" },
    { "model/vocab/~", NULL, TENEBRA_ERROR_FORMAT, "without a gap" },
    { "model/vocab/~", "656", TENEBRA_ERROR_FORMAT, "belongs to two tokens" },
    { "model/vocab/", "657", TENEBRA_ERROR_FORMAT, "is empty" },
    { "model/vocab/<|im_end|>", "100", TENEBRA_ERROR_FORMAT, "belongs to two tokens" },
    { "model/merges", NULL, TENEBRA_ERROR_FORMAT, "\"merges\"" },
    { "model/merges", "{}", TENEBRA_ERROR_FORMAT, "\"merges\"" },
    { "model/merges/3", "7", TENEBRA_ERROR_FORMAT, "merge 3 is neither" },
    { "model/merges/3", "\"abc\"", TENEBRA_ERROR_FORMAT, "merge 3 is neither" },
    { "model/merges/3", "\"a b c\"", TENEBRA_ERROR_FORMAT, "merge 3 is neither" },
    { "model/merges/3", "\"a\\u0000 b\"", TENEBRA_ERROR_FORMAT, "merge 3 is neither" },
    { "model/merges/3", "[\"a\"]", TENEBRA_ERROR_FORMAT, "merge 3 is neither" },
    { "model/merges/3", "[\"a\", 1]", TENEBRA_ERROR_FORMAT, "merge 3 is neither" },
    { "model/merges/3", "\"zz q\"", TENEBRA_ERROR_FORMAT, "lacks the first" },
    { "model/merges/3", "\"q zz\"", TENEBRA_ERROR_FORMAT, "lacks the second" },
    { "model/merges/3", "\"z q\"", TENEBRA_ERROR_FORMAT, "lacks their sum" },
    { "model/merges/384", "[\"\", \"a\"]", TENEBRA_ERROR_FORMAT, "lacks the first" },
    { "normalizer", "{\"type\": \"Nmt\"}", TENEBRA_ERROR_UNSUPPORTED, "normalizer \"Nmt\"" },
    { "normalizer", "3", TENEBRA_ERROR_UNSUPPORTED, "normalizer \"\"" },
    { "normalizer", "{\"type\": \"Prepend\"}", TENEBRA_ERROR_FORMAT, "no text \"prepend\"" },
    { "normalizer", "{\"type\": \"Replace\", \"pattern\": {\"String\": \"a\"}}", TENEBRA_ERROR_FORMAT, "no text \"content\"" },
    { "normalizer", "{\"type\": \"Replace\", \"pattern\": \"a\", \"content\": \"\"}", TENEBRA_ERROR_FORMAT, "\"String\" or \"Regex\"" },
    { "normalizer", "{\"type\": \"Replace\", \"pattern\": {\"Regex\": \"(\"}, \"content\": \"\"}", TENEBRA_ERROR_FORMAT, "does not compile" },
    { "normalizer", "{\"type\": \"Replace\", \"pattern\": {\"Regex\": \"a*\"}, \"content\": \"\"}", TENEBRA_ERROR_UNSUPPORTED, "match nothing" },
    { "normalizer", "{\"type\": \"Replace\", \"pattern\": {\"String\": \"\"}, \"content\": \"\"}", TENEBRA_ERROR_UNSUPPORTED, "match nothing" },
    { "normalizer", "{\"type\": \"Strip\", \"strip_left\": 1}", TENEBRA_ERROR_FORMAT, "\"strip_left\"" },
    { "normalizer", "{\"type\": \"Sequence\", \"normalizers\": [{\"type\": \"StripAccents\"}]}",
      TENEBRA_ERROR_UNSUPPORTED, "\"StripAccents\"" },
    { "normalizer", "{\"type\": \"Sequence\", \"normalizers\": [" FOUR_FORMS FOUR_FORMS FOUR_FORMS FOUR_FORMS "{\"type\": \"Lowercase\"}]}",
      TENEBRA_ERROR_UNSUPPORTED, "so long" },
    { "normalizer", "{\"type\": \"Sequence\", \"normalizers\": [{\"type\": \"Sequence\", \"normalizers\": []}]}", TENEBRA_ERROR_UNSUPPORTED,
      "\"Sequence\"" },
    { "normalizer", "{\"type\": \"Sequence\"}", TENEBRA_ERROR_FORMAT, "\"normalizers\"" },
    { "pre_tokenizer", "null", TENEBRA_ERROR_UNSUPPORTED, "pre_tokenizer" },
    { "pre_tokenizer", "{\"type\": \"Whitespace\"}", TENEBRA_ERROR_UNSUPPORTED, "\"Whitespace\"" },
    { "pre_tokenizer/pretokenizers", "[]", TENEBRA_ERROR_UNSUPPORTED, "without a pre_tokenizer \"ByteLevel\"" },
    { "pre_tokenizer/pretokenizers/1", NULL, TENEBRA_ERROR_UNSUPPORTED, "without a pre_tokenizer \"ByteLevel\"" },
    { "pre_tokenizer/pretokenizers/2", "{\"type\": \"Digits\"}", TENEBRA_ERROR_UNSUPPORTED, "after \"ByteLevel\"" },
    { "pre_tokenizer/pretokenizers/0", "{\"type\": \"ByteLevel\"}", TENEBRA_ERROR_UNSUPPORTED, "after \"ByteLevel\"" },
    { "pre_tokenizer/pretokenizers/0", "{\"type\": \"Metaspace\"}", TENEBRA_ERROR_UNSUPPORTED, "\"Metaspace\"" },
    { "pre_tokenizer/pretokenizers/0", "{\"type\": \"Digits\", \"individual_digits\": 2}", TENEBRA_ERROR_FORMAT, "\"individual_digits\"" },
    { "pre_tokenizer/pretokenizers/0", "{\"type\": \"Punctuation\", \"behavior\": \"Merged\"}", TENEBRA_ERROR_UNSUPPORTED, "\"Merged\"" },
    { "pre_tokenizer/pretokenizers/1/add_prefix_space", "\"yes\"", TENEBRA_ERROR_FORMAT, "add_prefix_space" },
    { "pre_tokenizer/pretokenizers/0/behavior", "\"MergedWithNone\"", TENEBRA_ERROR_UNSUPPORTED, "MergedWithNone" },
    { "pre_tokenizer/pretokenizers/0/behavior", NULL, TENEBRA_ERROR_FORMAT, "\"behavior\"" },
    { "pre_tokenizer/pretokenizers/0/pattern", "{\"Glob\": \" \"}", TENEBRA_ERROR_FORMAT, "\"Regex\"" },
    { "pre_tokenizer/pretokenizers/0/pattern/String", "\" \"", TENEBRA_ERROR_FORMAT, "\"Regex\"" },
    { "pre_tokenizer/pretokenizers/0/pattern/Regex", "\"\\\\w+\"", TENEBRA_ERROR_UNSUPPORTED, "contains \"\\w\"" },
    { "pre_tokenizer/pretokenizers/0/pattern/Regex", "\"(\"", TENEBRA_ERROR_FORMAT, "does not compile" },
    { "post_processor", "{\"type\": \"BertProcessing\"}", TENEBRA_ERROR_UNSUPPORTED, "BertProcessing" },
    { "post_processor", "{\"type\": \"TemplateProcessing\"}", TENEBRA_ERROR_FORMAT, "no list \"single\"" },
    { "post_processor", TEMPLATE(BEGIN TEXT "{}", BEGIN_IDS), TENEBRA_ERROR_FORMAT, "item 2 is neither" },
    { "post_processor", TEMPLATE(BEGIN "{\"Sequence\": {\"id\": \"B\"}}", BEGIN_IDS), TENEBRA_ERROR_FORMAT, "item 1 is neither" },
    { "post_processor", TEMPLATE(BEGIN TEXT TEXT "1", BEGIN_IDS), TENEBRA_ERROR_FORMAT, "item 3 is neither" },
    { "post_processor", TEMPLATE("{\"SpecialToken\": {\"id\": \"x\"}}", BEGIN_IDS), TENEBRA_ERROR_FORMAT, "\"x\" has no ids" },
    { "post_processor", TEMPLATE(BEGIN "{\"SpecialToken\": {\"id\": \"<|endoftext|>\"}}", BEGIN_IDS), TENEBRA_ERROR_FORMAT, "the text 0 times" },
    { "post_processor", TEMPLATE(TEXT "{\"SpecialToken\": {\"id\": \"<|endoftext|>\"}}", BEGIN_IDS), TENEBRA_ERROR_UNSUPPORTED, "after the text" },
    { "post_processor", TEMPLATE(BEGIN "{\"Sequence\": {\"id\": \"A\"}}", "\"<|endoftext|>\": {\"ids\": [657]}"), TENEBRA_ERROR_FORMAT, "no token has" },
    { "post_processor", TEMPLATE(BEGIN "{\"Sequence\": {\"id\": \"A\"}}", "\"<|endoftext|>\": {\"ids\": [-1]}"), TENEBRA_ERROR_FORMAT, "no token has" },
    { "decoder", "null", TENEBRA_ERROR_UNSUPPORTED, "decoder" },
    { "decoder", "{\"type\": \"Sequence\", \"decoders\": [{\"type\": \"Fuse\"}]}", TENEBRA_ERROR_UNSUPPORTED, "without a decoder" },
    { "decoder", "{\"type\": \"Metaspace\"}", TENEBRA_ERROR_UNSUPPORTED, "\"Metaspace\"" },
    { "added_tokens", "{}", TENEBRA_ERROR_FORMAT, "\"added_tokens\"" },
    { "added_tokens/0", "1", TENEBRA_ERROR_FORMAT, "no \"id\"" },
    { "added_tokens/0/id", NULL, TENEBRA_ERROR_FORMAT, "no \"id\"" },
    { "added_tokens/0/id", "-640", TENEBRA_ERROR_FORMAT, "\"id\"" },
    { "added_tokens/0/id", "641", TENEBRA_ERROR_FORMAT, "belongs to two tokens" },
    { "added_tokens/0/id", "9999", TENEBRA_ERROR_FORMAT, "without a gap" },
    { "added_tokens/0/content", NULL, TENEBRA_ERROR_FORMAT, "no \"content\"" },
    { "added_tokens/0/content", "\"\"", TENEBRA_ERROR_FORMAT, "no \"content\"" },
    { "added_tokens/0/content", "\"<|im_start|>\"", TENEBRA_ERROR_FORMAT, "two ids" },
    { "added_tokens/0/content", "\"red\"", TENEBRA_ERROR_FORMAT, "two ids" },
    { "added_tokens/0/special", "\"yes\"", TENEBRA_ERROR_FORMAT, "\"special\"" },
    { "added_tokens/0/lstrip", "true", TENEBRA_ERROR_UNSUPPORTED, "\"lstrip\"" },
    { "added_tokens/0/single_word", "true", TENEBRA_ERROR_UNSUPPORTED, "\"single_word\"" },
    { "added_tokens/3", NULL, TENEBRA_ERROR_FORMAT, "without a gap" },
};

static void damage_is_named(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof damages / sizeof damages[0]; i++) {
        const damage *d = &damages[i];
        json_t *root = small_json();
        tenebra_error error = { 0 };
        set_at(root, d->path, d->value);
        tn_tokenizer *tokenizer = read_value(root, &error);
        if (tokenizer != NULL || error.code != d->code || strstr(error.sentence, d->says) == NULL)
            fail_msg("%s = %s: %s (code %d)", d->path, d->value ? d->value : "removed",
                     tokenizer ? "was read" : error.sentence, (int)error.code);
        assert_non_null(strstr(error.where, "test.json"));
    }
}

/* Ids and text by Hugging Face tokenizers 0.23.3: control tokens are found before capitals become small letters, and decoding gives
 * those. */
static void text_in_small_letters(void **state)
{
    (void)state;
    static const char text[] = "Which IS THE answer? <|im_start|>\xC4\xB0" "E\xCC\x81 <|IM_END|>";
    int32_t expected[] = { 86, 71, 275, 71, 260, 259, 376, 30, 220, 641, 72, 136, 229, 127, 102, 220, 27, 91, 72, 76, 62, 309, 67, 91, 29 };
    const tn_ids wanted = { .ids = expected, .count = sizeof expected / sizeof *expected };
    json_t *root = small_json();
    tn_tokenizer *as_it_is = read_value(root, NULL);
    root = small_json();
    set_at(root, "normalizer", "{\"type\": \"Sequence\", \"normalizers\": [{\"type\": \"NFC\"}, {\"type\": \"Lowercase\"}]}");
    tn_tokenizer *lower = read_value(root, NULL);
    assert_non_null(lower);
    tn_ids ids = encode_text(lower, text, true), other = encode_text(as_it_is, text, true);
    assert_true(equal_ids(&ids, &wanted));
    assert_false(equal_ids(&other, &wanted));
    tn_text back = { 0 };
    assert_int_equal(tn_tokenizer_decode(lower, ids.ids, ids.count, false, &back, NULL), TENEBRA_OK);
    assert_true(equal_text(&back, "which is the answer? <|im_start|>i\xCC\x87\xC3\xA9 <|im_end|>", strlen(back.data)));
    tn_text_free(&back);
    tn_ids_free(&ids);
    tn_ids_free(&other);
    tn_tokenizer_close(lower);
    tn_tokenizer_close(as_it_is);
}

/* A token that is looked for in small letters must have none others. */
static void a_normalized_token_in_capitals(void **state)
{
    (void)state;
    tenebra_error error = { 0 };
    json_t *root = small_json();
    set_at(root, "normalizer", "{\"type\": \"Lowercase\"}");
    set_at(root, "added_tokens/16/content", "\"<|Latent|>\"");
    set_at(root, "added_tokens/16/normalized", "true");
    assert_null(read_value(root, &error));
    assert_non_null(strstr(error.sentence, "the normalizer changes"));
}

/* Each of these is also refused if no error record is passed. */
static void errors_may_go_unread(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof damages / sizeof damages[0]; i++) {
        json_t *root = small_json();
        set_at(root, damages[i].path, damages[i].value);
        assert_null(read_value(root, NULL));
    }
}

/* As many tokens as ids, yet one id twice and one not at all: not seen by counting. */
static void gaps_are_named(void **state)
{
    (void)state;
    json_t *root = small_json();
    tenebra_error error = { 0 };
    set_at(root, "model/vocab/<|latent|>", "656"); /* the same token in both lists */
    set_at(root, "model/vocab/~", NULL);
    set_at(root, "model/merges", "[]");
    assert_null(read_value(root, &error));
    assert_non_null(strstr(error.sentence, "no token has the id 93"));
}

static void bytes_without_a_token_are_named(void **state)
{
    (void)state;
    json_t *root = small_json();
    tenebra_error error = { 0 };
    set_at(root, "model/vocab/~", NULL);
    set_at(root, "model/vocab/~~", "93");
    assert_null(read_value(root, &error));
    assert_non_null(strstr(error.sentence, "the byte 0x7E"));
}

static void repeated_merges_are_named(void **state)
{
    (void)state;
    json_t *root = small_json();
    json_t *merges = json_object_get(json_object_get(root, "model"), "merges");
    json_array_set(merges, 9, json_array_get(merges, 4));
    tenebra_error error = { 0 };
    assert_null(read_value(root, &error));
    assert_non_null(strstr(error.sentence, "merge 9 repeats merge 4"));
}

static void a_normalized_token_must_be_normal(void **state)
{
    (void)state;
    json_t *root = small_json();
    tenebra_error error = { 0 };
    set_at(root, "added_tokens/16/content", "\"e\\u0301\"");
    set_at(root, "added_tokens/16/normalized", "true");
    assert_null(read_value(root, &error));
    assert_int_equal(error.code, TENEBRA_ERROR_UNSUPPORTED);
    root = small_json();
    set_at(root, "added_tokens/16/normalized", "true");
    tn_tokenizer *tokenizer = read_value(root, &error);
    assert_non_null(tokenizer);
    tn_tokenizer_close(tokenizer);
}

static void text_that_is_no_json(void **state)
{
    (void)state;
    tn_tokenizer *none;
    static const char *const texts[] = { "", "{", "[1, 2", "nonsense", "{} {}", "\"\xFF\"", "{\"a\": 1, \"a\": 2}" };
    for (size_t i = 0; i < sizeof texts / sizeof texts[0]; i++) {
        tenebra_error error = { 0 };
        assert_int_not_equal(tn_tokenizer_read(texts[i], strlen(texts[i]), "test.json", &none, &error), TENEBRA_OK);
        assert_null(none);
        assert_int_equal(error.code, TENEBRA_ERROR_FORMAT);
    }
    tenebra_error error = { 0 };
    assert_int_not_equal(tn_tokenizer_read("[]", 2, "test.json", &none, &error), TENEBRA_OK);
    assert_null(none);
    assert_non_null(strstr(error.sentence, "not a JSON object"));
}

/* ------------------------------------------------------ harmless changes -- */

static void same_as_small(const tn_tokenizer *tokenizer)
{
    static const char text[] = "Therefore, the answer is A.\n<|im_end|> 12 circles, isn't it?";
    tn_tokenizer *small = open_tokenizer(SMALL);
    tn_ids a = encode_text(small, text, true), b = encode_text(tokenizer, text, true);
    assert_true(equal_ids(&a, &b));
    tn_ids_free(&a);
    tn_ids_free(&b);
    tn_tokenizer_close(small);
}

static void merges_may_be_pairs(void **state)
{
    (void)state;
    json_t *root = small_json(), *merges = json_object_get(json_object_get(root, "model"), "merges");
    for (size_t i = 0; i < json_array_size(merges); i++) {
        const char *text = json_string_value(json_array_get(merges, i)), *space = strchr(text, ' ');
        json_array_set_new(merges, i, json_pack("[s%,s]", text, (size_t)(space - text), space + 1));
    }
    tenebra_error error;
    tn_tokenizer *tokenizer = read_value(root, &error);
    assert_non_null(tokenizer);
    same_as_small(tokenizer);
    tn_tokenizer_close(tokenizer);
}

static void parts_that_change_nothing_here(void **state)
{
    (void)state;
    static const damage changes[] = {
        { "normalizer", "null", TENEBRA_OK, NULL },
        { "normalizer", "{\"type\": \"Sequence\", \"normalizers\": [{\"type\": \"NFC\"}]}", TENEBRA_OK, NULL },
        { "post_processor", "null", TENEBRA_OK, NULL },
        { "post_processor", "{\"type\": \"Sequence\", \"processors\": [{\"type\": \"ByteLevel\"}]}", TENEBRA_OK, NULL },
        { "decoder", "{\"type\": \"Sequence\", \"decoders\": [{\"type\": \"ByteLevel\"}, {\"type\": \"Fuse\"}]}", TENEBRA_OK, NULL },
        { "normalizer", "{\"type\": \"Sequence\", \"normalizers\": []}", TENEBRA_OK, NULL },
        { "truncation", "{\"max_length\": 3}", TENEBRA_OK, NULL },
        { "model/unk_token", "\"<|endoftext|>\"", TENEBRA_OK, NULL },
        { "model/dropout", "0.0", TENEBRA_OK, NULL },
        { "model/vocab/<|im_end|>", "642", TENEBRA_OK, NULL }, /* a trained token that is added too */
    };
    for (size_t i = 0; i < sizeof changes / sizeof changes[0]; i++) {
        json_t *root = small_json();
        tenebra_error error;
        set_at(root, changes[i].path, changes[i].value);
        tn_tokenizer *tokenizer = read_value(root, &error);
        if (tokenizer == NULL)
            fail_msg("%s: %s", changes[i].path, error.sentence);
        same_as_small(tokenizer);
        tn_tokenizer_close(tokenizer);
    }
}

/* A normaliser that is not there must not be applied. */
static void without_a_normaliser_text_stays(void **state)
{
    (void)state;
    for (int nfc = 0; nfc < 2; nfc++) {
        json_t *root = small_json();
        if (!nfc)
            set_at(root, "normalizer", "null");
        tn_tokenizer *tokenizer = read_value(root, NULL);
        assert_non_null(tokenizer);
        tn_ids ids = encode_text(tokenizer, "e\xCC\x81", false);
        assert_int_equal(ids.count, nfc ? 2 : 3);
        tn_ids_free(&ids);
        tn_tokenizer_close(tokenizer);
    }
}

/* It is not part of a text; several may be there, in order. */
static void a_template_gives_the_front(void **state)
{
    (void)state;
    json_t *root = small_json();
    set_at(root, "post_processor", "{\"type\": \"Sequence\", \"processors\": [{\"type\": \"ByteLevel\"}, "
           TEMPLATE(BEGIN "{\"Sequence\": {\"id\": \"A\"}}", "\"<|endoftext|>\": {\"ids\": [640, 642]}") "]}");
    tn_tokenizer *tokenizer = read_value(root, NULL);
    assert_non_null(tokenizer);
    const tn_ids *front = tn_tokenizer_front(tokenizer);
    assert_int_equal(front->count, 2);
    assert_int_equal(front->ids[0], 640);
    assert_int_equal(front->ids[1], 642);
    same_as_small(tokenizer);
    tn_tokenizer_close(tokenizer);
    tokenizer = open_tokenizer(SMALL);
    assert_int_equal(tn_tokenizer_front(tokenizer)->count, 0);
    tn_tokenizer_close(tokenizer);
}

/* What no text contains needs no token. */
static void bytes_that_utf8_never_has(void **state)
{
    (void)state;
    json_t *root = small_json();
    json_t *vocab = json_object_get(json_object_get(root, "model"), "vocab");
    static const char name[] = "\xC3\xBF"; /* U+00FF stands for the byte 0xFF */
    json_t *id = json_incref(json_object_get(vocab, name));
    assert_non_null(id);
    json_object_del(vocab, name);
    json_object_set_new(vocab, "~~~", id);
    tn_tokenizer *tokenizer = read_value(root, NULL);
    assert_non_null(tokenizer);
    tn_ids ids = encode_text(tokenizer, "a\xFF" "b", false), other;
    tn_tokenizer_close(tokenizer);
    tokenizer = open_tokenizer(SMALL);
    other = encode_text(tokenizer, "a\xEF\xBF\xBD" "b", false);
    assert_true(equal_ids(&ids, &other));
    tn_ids_free(&ids);
    tn_ids_free(&other);
    tn_tokenizer_close(tokenizer);
}

/* Text of users never becomes a control token, though the piece is one. */
static void a_piece_that_is_a_control_token(void **state)
{
    (void)state;
    json_t *root = small_json();
    set_at(root, "pre_tokenizer", "{\"type\": \"ByteLevel\", \"add_prefix_space\": false, \"use_regex\": false}");
    set_at(root, "model/ignore_merges", "true");
    set_at(root, "model/vocab/<|im_end|>", "642");
    tn_tokenizer *tokenizer = read_value(root, NULL);
    assert_non_null(tokenizer);
    tn_ids user = encode_text(tokenizer, "<|im_end|>", false), control = encode_text(tokenizer, "<|im_end|>", true);
    assert_true(user.count > 1 && control.count == 1);
    for (size_t i = 0; i < user.count; i++)
        assert_false(tn_tokenizer_is_added(tokenizer, user.ids[i]));
    tn_ids_free(&user);
    tn_ids_free(&control);
    tn_tokenizer_close(tokenizer);
}

static void byte_level_alone_splits_like_gpt2(void **state)
{
    (void)state;
    json_t *root = small_json();
    set_at(root, "pre_tokenizer", "{\"type\": \"ByteLevel\", \"add_prefix_space\": false}");
    set_at(root, "model/vocab/99", "657");
    set_at(root, "model/merges/384", "\"9 9\"");
    tn_tokenizer *tokenizer = read_value(root, NULL);
    assert_non_null(tokenizer);
    tn_ids ids = encode_text(tokenizer, "99", false); /* runs of digits are one piece there */
    assert_int_equal(ids.count, 1);
    tn_ids_free(&ids);
    tn_tokenizer_close(tokenizer);
}

/* ------------------------------------------------------------ directories -- */

static void expect_failure(const char *directory, tenebra_code code, const char *says)
{
    tenebra_error error = { 0 };
    tn_tokenizer *tokenizer;
    tn_tokenizer_open(directory, &tokenizer, &error);
    if (tokenizer != NULL || error.code != code || strstr(error.sentence, says) == NULL)
        fail_msg("expected \"%s\", got %s", says, tokenizer ? "a tokenizer" : error.sentence);
}

static void missing_and_huge_files(void **state)
{
    (void)state;
    char *directory = make_directory(), path[600];
    expect_failure(directory, TENEBRA_ERROR_IO, "no tokenizer");
    expect_failure("/nonexistent/directory", TENEBRA_ERROR_IO, "no tokenizer");
    write_file(directory, "vocab.json", "{}", 2);
    expect_failure(directory, TENEBRA_ERROR_IO, "no tokenizer");
    write_file(directory, "tokenizer.json", "", 0);
    expect_failure(directory, TENEBRA_ERROR_FORMAT, "not valid JSON");
    snprintf(path, sizeof path, "%s/tokenizer.json", directory);
    assert_int_equal(truncate(path, ((off_t)64 << 20) + 1), 0); /* a hole: takes no room */
    expect_failure(directory, TENEBRA_ERROR_LIMIT, "more than the limit");
    remove_directory(directory);
}

/* Copies a file of the small vocabulary into `directory`, the first `from` in it replaced by `to`. */
static void copy_changed(const char *directory, const char *name, const char *from, const char *to)
{
    char path[600], *text = calloc(1, 1 << 20);
    snprintf(path, sizeof path, SMALL "/files/%s", name);
    FILE *in = fopen(path, "rb");
    assert_non_null(in);
    size_t length = fread(text, 1, (1 << 20) - 1, in);
    fclose(in);
    if (from == NULL) {
        write_file(directory, name, text, length);
    } else {
        char *at = strstr(text, from), *changed = calloc(1, 1 << 20);
        assert_non_null(at);
        *at = '\0';
        int size = snprintf(changed, 1 << 20, "%s%s%s", text, to, at + strlen(from));
        write_file(directory, name, changed, (size_t)size);
        free(changed);
    }
    free(text);
}

typedef struct file_damage {
    const char *name, *from, *to;
    tenebra_code code;
    const char *says;
} file_damage;

static void damaged_separate_files(void **state)
{
    (void)state;
    static const file_damage cases[] = {
        { "vocab.json", "\"a\": 64", "\"a\": -2", TENEBRA_ERROR_FORMAT, "whole number" },
        { "vocab.json", "{", "[", TENEBRA_ERROR_FORMAT, "not valid JSON" },
        { "merges.txt", "h e\n", "h\n", TENEBRA_ERROR_FORMAT, "is not two tokens" },
        { "merges.txt", "h e\n", "h e x\n", TENEBRA_ERROR_FORMAT, "is not two tokens" },
        { "merges.txt", "h e\n", "h \xFF\n", TENEBRA_ERROR_FORMAT, "\"\\xFF\": the vocabulary lacks" },
        { "tokenizer_config.json", "\"640\"", "\"64x\"", TENEBRA_ERROR_FORMAT, "is not a token id" },
        { "tokenizer_config.json", "\"640\"", "\"99999999999\"", TENEBRA_ERROR_FORMAT, "is not a token id" },
        { "tokenizer_config.json", "\"640\"", "\"700\"", TENEBRA_ERROR_FORMAT, "without a gap" },
        { "tokenizer_config.json", "\"lstrip\": false", "\"lstrip\": true", TENEBRA_ERROR_UNSUPPORTED, "lstrip" },
    };
    static const char *const names[] = { "vocab.json", "merges.txt", "tokenizer_config.json" };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        char *directory = make_directory();
        for (size_t k = 0; k < 3; k++)
            copy_changed(directory, names[k], strcmp(names[k], cases[i].name) == 0 ? cases[i].from : NULL, cases[i].to);
        expect_failure(directory, cases[i].code, cases[i].says);
        remove_directory(directory);
    }
}

static void line_ends_of_another_system(void **state)
{
    (void)state;
    char *directory = make_directory(), *text = malloc(1 << 16), *crlf = malloc(1 << 17);
    copy_changed(directory, "vocab.json", NULL, NULL);
    copy_changed(directory, "tokenizer_config.json", NULL, NULL);
    FILE *in = fopen(SMALL "/files/merges.txt", "rb");
    assert_non_null(in);
    size_t length = fread(text, 1, 1 << 16, in), size = 0;
    fclose(in);
    for (size_t i = 0; i < length; i++) {
        if (text[i] == '\n')
            crlf[size++] = '\r';
        crlf[size++] = text[i];
    }
    write_file(directory, "merges.txt", crlf, size);
    tn_tokenizer *tokenizer = open_tokenizer(directory);
    same_as_small(tokenizer);
    tn_tokenizer_close(tokenizer);
    remove_directory(directory);
    free(text);
    free(crlf);
}

/* added_tokens.json has only ids; tokenizer_config.json says which are special. */
static void added_tokens_file(void **state)
{
    (void)state;
    static const char added[] = "{\"<|a|>\": 640, \"<|b|>\": 641, \"<|c|>\": 642}";
    static const char config[] = "{\"eos_token\": {\"content\": \"<|a|>\"}, \"additional_special_tokens\": [\"<|c|>\"]}";
    char *directory = make_directory();
    copy_changed(directory, "vocab.json", NULL, NULL);
    copy_changed(directory, "merges.txt", NULL, NULL);
    write_file(directory, "added_tokens.json", added, strlen(added));
    write_file(directory, "tokenizer_config.json", config, strlen(config));
    tn_tokenizer *tokenizer = open_tokenizer(directory);
    assert_int_equal(tn_tokenizer_size(tokenizer), 643);
    assert_int_equal(tn_tokenizer_find(tokenizer, "<|b|>"), 641);
    assert_true(tn_tokenizer_is_special(tokenizer, 640));
    assert_false(tn_tokenizer_is_special(tokenizer, 641));
    assert_true(tn_tokenizer_is_special(tokenizer, 642));
    tn_tokenizer_close(tokenizer);
    write_file(directory, "added_tokens.json", "{\"<|a|>\": 5}", 12);
    expect_failure(directory, TENEBRA_ERROR_FORMAT, "belongs to two tokens");
    remove_directory(directory);
}

/* Settings besides the vocabulary: keys that change something, and tokens that the vocabulary does not have, are noted. */
static void keys_without_use_are_noted(void **state)
{
    (void)state;
    static const struct {
        const char *name, *text, *note;
    } cases[] = {
        { "tokenizer_config.json", "{\"add_prefix_space\": false, \"errors\": \"replace\", \"model_max_length\": 9, \"eos_token\": "
          "\"<|im_end|>\", \"split_special_tokens\": false}", "" },
        { "tokenizer_config.json", "{\"clean_up_tokenization_spaces\": true, \"odd\": 3}",
          "tokenizer_config.json: clean_up_tokenization_spaces, odd" },
        { "tokenizer_config.json", "{\"added_tokens_decoder\": {\"7\": {\"content\": \"<|im_end|>\"}}}",
          "tokenizer_config.json: added_tokens_decoder (\"<|im_end|>\" is not in the vocabulary)" },
        { "tokenizer_config.json", "{\"added_tokens_decoder\": {\"642\": {\"content\": \"<|im_end|>\", \"special\": true, \"normalized\": false, "
          "\"lstrip\": false}}}", "" },
        { "tokenizer_config.json", "{\"added_tokens_decoder\": {\"642\": {\"content\": \"<|im_end|>\", \"special\": false, \"lstrip\": true}}}",
          "tokenizer_config.json: added_tokens_decoder (special of \"<|im_end|>\"), added_tokens_decoder (lstrip of \"<|im_end|>\")" },
        { "special_tokens_map.json", "{\"additional_special_tokens\": [\"<|im_start|>\", \"<|x|>\"]}",
          "special_tokens_map.json: additional_special_tokens (\"<|x|>\" is not in the vocabulary)" },
        { "added_tokens.json", "{\"<|y|>\": 640}", "added_tokens.json: token (\"<|y|>\" is not in the vocabulary)" },
    };
    tn_tokenizer *tokenizer = open_tokenizer(SMALL);
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        char *directory = make_directory(), text[TN_NOTES_TEXT];
        tn_notes notes = { 0 };
        write_file(directory, cases[i].name, cases[i].text, strlen(cases[i].text));
        assert_int_equal(tn_tokenizer_note(tokenizer, directory, &notes, NULL), TENEBRA_OK);
        assert_string_equal(tn_notes_print(&notes, text), cases[i].note);
        for (size_t bad = 0; bad < 2; bad++) {
            tenebra_error error;
            write_file(directory, cases[i].name, bad == 0 ? "{" : "[7]", bad == 0 ? 1 : 3);
            assert_int_equal(tn_tokenizer_note(tokenizer, directory, &notes, &error), TENEBRA_ERROR_FORMAT);
            assert_non_null(strstr(error.where, cases[i].name));
        }
        remove_directory(directory);
    }
    tn_tokenizer_close(tokenizer);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(damage_is_named),
        cmocka_unit_test(text_in_small_letters),
        cmocka_unit_test(a_normalized_token_in_capitals),
        cmocka_unit_test(errors_may_go_unread),
        cmocka_unit_test(gaps_are_named),
        cmocka_unit_test(bytes_without_a_token_are_named),
        cmocka_unit_test(repeated_merges_are_named),
        cmocka_unit_test(a_normalized_token_must_be_normal),
        cmocka_unit_test(text_that_is_no_json),
        cmocka_unit_test(merges_may_be_pairs),
        cmocka_unit_test(parts_that_change_nothing_here),
        cmocka_unit_test(without_a_normaliser_text_stays),
        cmocka_unit_test(a_template_gives_the_front),
        cmocka_unit_test(bytes_that_utf8_never_has),
        cmocka_unit_test(a_piece_that_is_a_control_token),
        cmocka_unit_test(byte_level_alone_splits_like_gpt2),
        cmocka_unit_test(missing_and_huge_files),
        cmocka_unit_test(damaged_separate_files),
        cmocka_unit_test(line_ends_of_another_system),
        cmocka_unit_test(added_tokens_file),
        cmocka_unit_test(keys_without_use_are_noted),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
