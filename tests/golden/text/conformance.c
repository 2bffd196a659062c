/* The published Qwen2 vocabulary against the expected results in tests/data/tokenizer (see README
 * there). The vocabulary is not in the repository: TENEBRA_QWEN_TOKENIZER names the directory that
 * tools/fetch_tokenizer.sh prints; without it this test is skipped (exit code 77). */
#include "base/file.h"
#include "base/json.h"
#include "text/chat.h"
#include "text/tokenizer.h"
#include "text/tokenizer_parts.h"

#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

enum { SKIPPED = 77, MAX_PARTS = 16 };

/* Control tokens of Qwen2-VL end before this id. */
enum { QWEN2_VL_SIZE = 151657 };

static tenebra_error problem;

static tn_tokenizer *open_real(void)
{
    tn_tokenizer *tokenizer;
    tn_tokenizer_open(getenv("TENEBRA_QWEN_TOKENIZER"), &tokenizer, &problem);
    if (tokenizer == NULL)
        fail_msg("%s: %s", problem.where, problem.sentence);
    return tokenizer;
}

/* The same without the added tokens that Qwen2-VL does not have. */
static tn_tokenizer *open_qwen2_vl(void)
{
    char *path = tn_path_join(getenv("TENEBRA_QWEN_TOKENIZER"), "tokenizer.json");
    json_t *root;
    tn_json_read(path, SIZE_MAX, &root, &problem);
    assert_non_null(root);
    json_t *added = json_object_get(root, "added_tokens");
    for (size_t i = json_array_size(added); i-- > 0;)
        if (json_integer_value(json_object_get(json_array_get(added, i), "id")) >= QWEN2_VL_SIZE)
            json_array_remove(added, i);
    char *text = json_dumps(root, JSON_COMPACT);
    tn_tokenizer *tokenizer;
    tn_tokenizer_read(text, strlen(text), path, &tokenizer, &problem);
    if (tokenizer == NULL)
        fail_msg("%s", problem.sentence);
    free(text);
    free(path);
    json_decref(root);
    return tokenizer;
}

/* ------------------------------------------------------------ records -- */

typedef bool record_fn(const tn_tokenizer *tokenizer, const json_t *record);

/* Calls `check` with every record of a file; counts them and those for which it is false. Prints the
 * first of these where none is expected (tested != NULL). */
static void each_record(const char *name, const tn_tokenizer *tokenizer, record_fn *check, size_t *count,
                        size_t *wrong, const char *tested)
{
    char *path = tn_path_join(TENEBRA_TEST_DATA "/tokenizer", name);
    tn_file file;
    assert_int_equal(tn_file_read(&file, path, SIZE_MAX, &problem), TENEBRA_OK);
    const char *at = (const char *)file.data, *end = at + file.size;
    *count = *wrong = 0;
    while (at < end) {
        const char *stop = memchr(at, '\n', (size_t)(end - at));
        size_t length = stop != NULL ? (size_t)(stop - at) : (size_t)(end - at);
        json_t *record;
        tn_json_parse(at, length, name, &record, &problem);
        assert_non_null(record);
        ++*count;
        if (!check(tokenizer, record)) {
            if (++*wrong <= 3 && tested != NULL)
                print_message("%s: %s record %zu differs: %.*s\n", tested, name, *count, (int)(length < 200 ? length : 200), at);
        }
        json_decref(record);
        at += length + 1;
    }
    tn_file_close(&file);
    free(path);
}

static bool same_ids(const tn_ids *ids, const json_t *expected)
{
    if (!json_is_array(expected) || json_array_size(expected) != ids->count)
        return false;
    for (size_t i = 0; i < ids->count; i++)
        if (json_integer_value(json_array_get(expected, i)) != ids->ids[i])
            return false;
    return true;
}

static bool same_text(const tn_text *text, const json_t *expected)
{
    return json_is_string(expected) && json_string_length(expected) == text->length &&
           (text->length == 0 || memcmp(json_string_value(expected), text->data, text->length) == 0);
}

static bool encodes_as(const tn_tokenizer *tokenizer, const char *text, size_t length, bool control,
                       const json_t *expected)
{
    tn_ids ids = { 0 };
    tn_text_span span = { text, length, control };
    assert_int_equal(tn_tokenizer_encode(tokenizer, &span, 1, &ids, &problem), TENEBRA_OK);
    bool same = same_ids(&ids, expected);
    tn_ids_free(&ids);
    return same;
}

/* Whole, and through the stream token by token. */
static bool decodes_as(const tn_tokenizer *tokenizer, const json_t *list, bool skip_special, const json_t *expected)
{
    tn_ids ids = { 0 };
    tn_text whole = { 0 }, streamed = { 0 };
    tn_text_stream stream = { .tokenizer = tokenizer, .skip_special = skip_special };
    for (size_t i = 0; i < json_array_size(list); i++) {
        int32_t id = (int32_t)json_integer_value(json_array_get(list, i));
        assert_int_equal(tn_ids_push(&ids, id, &problem), TENEBRA_OK);
        assert_int_equal(tn_text_stream_push(&stream, id, &streamed, &problem), TENEBRA_OK);
        assert_true(tn_utf8_valid(streamed.data, streamed.length));
    }
    assert_int_equal(tn_text_stream_end(&stream, &streamed, &problem), TENEBRA_OK);
    assert_int_equal(tn_tokenizer_decode(tokenizer, ids.ids, ids.count, skip_special, &whole, &problem), TENEBRA_OK);
    bool same = same_text(&whole, expected) && same_text(&streamed, expected);
    tn_ids_free(&ids);
    tn_text_free(&whole);
    tn_text_free(&streamed);
    return same;
}

/* -------------------------------------------------------------- encode -- */

static bool check_encode(const tn_tokenizer *tokenizer, const json_t *record)
{
    const json_t *text = json_object_get(record, "text"), *ids = json_object_get(record, "ids");
    if (tn_tokenizer_size(tokenizer) == QWEN2_VL_SIZE && json_object_get(record, "ids_qwen2_vl") != NULL)
        ids = json_object_get(record, "ids_qwen2_vl");
    return encodes_as(tokenizer, json_string_value(text), json_string_length(text), true, ids);
}

static bool check_encode_decoded(const tn_tokenizer *tokenizer, const json_t *record)
{
    const json_t *ids = json_object_get(record, "ids");
    return decodes_as(tokenizer, ids, false, json_object_get(record, "decoded")) &&
           decodes_as(tokenizer, ids, true, json_object_get(record, "decoded_skip_special"));
}

/* Ids where `raw_bytes_hex` is there: those of the damaged bytes. */
static bool check_raw_bytes(const tn_tokenizer *tokenizer, const json_t *record)
{
    const char *hex = json_string_value(json_object_get(record, "raw_bytes_hex"));
    if (hex == NULL)
        return true;
    char bytes[256];
    size_t length = strlen(hex) / 2;
    assert_true(length <= sizeof bytes);
    for (size_t i = 0; i < length; i++) {
        char digits[3] = { hex[2 * i], hex[2 * i + 1], 0 };
        bytes[i] = (char)strtoul(digits, NULL, 16);
    }
    return encodes_as(tokenizer, bytes, length, true, json_object_get(record, "ids"));
}

/* The byte-alphabet strings of the ids, and the ids of pieces encoded one by one. */
static bool check_tokens(const tn_tokenizer *tokenizer, const json_t *record)
{
    const json_t *ids = json_object_get(record, "ids"), *tokens = json_object_get(record, "tokens");
    tn_text expected = { 0 };
    bool same = json_array_size(ids) == json_array_size(tokens);
    for (size_t i = 0; i < json_array_size(ids) && same; i++) {
        const json_t *name = json_array_get(tokens, i);
        size_t length;
        const char *bytes = tn_tokenizer_bytes(tokenizer, (int32_t)json_integer_value(json_array_get(ids, i)), &length);
        expected.length = 0;
        assert_int_equal(tn_alphabet_decode(json_string_value(name), json_string_length(name), &expected, &problem),
                         TENEBRA_OK);
        same = bytes != NULL && length == expected.length && memcmp(bytes, expected.data, length) == 0;
    }
    tn_text_free(&expected);
    return same;
}

typedef struct piece_check {
    const json_t *pieces;
    size_t next;
    bool same;
} piece_check;

static tenebra_code check_piece(void *user, const char *piece, size_t length, tenebra_error *error)
{
    piece_check *check = user;
    const json_t *name = json_array_get(check->pieces, check->next++);
    tn_text expected = { 0 };
    if (name != NULL)
        TN_TRY(tn_alphabet_decode(json_string_value(name), json_string_length(name), &expected, error));
    check->same = check->same && name != NULL && expected.length == length &&
                  memcmp(expected.data, piece, length) == 0;
    tn_text_free(&expected);
    return TENEBRA_OK;
}

static bool check_pieces(const tn_tokenizer *tokenizer, const json_t *record)
{
    piece_check check = { json_object_get(record, "pieces"), 0, true };
    const json_t *text = json_object_get(record, "decoded"); /* = NFC of the text, no added tokens here */
    if (check.pieces == NULL)
        return true;
    assert_int_equal(tn_split(tokenizer->splitter, json_string_value(text), json_string_length(text), check_piece,
                              &check, &problem), TENEBRA_OK);
    return check.same && check.next == json_array_size(check.pieces);
}

static bool check_engine_dependent(const tn_tokenizer *tokenizer, const json_t *record)
{
    const json_t *text = json_object_get(record, "text");
    const char *bytes = json_string_value(text);
    size_t length = json_string_length(text);
    return encodes_as(tokenizer, bytes, length, true, json_object_get(record, "ids")) ||
           encodes_as(tokenizer, bytes, length, true, json_object_get(record, "ids_newer_unicode"));
}

static bool check_decode(const tn_tokenizer *tokenizer, const json_t *record)
{
    return decodes_as(tokenizer, json_object_get(record, "ids"), false, json_object_get(record, "text"));
}

/* ---------------------------------------------------------------- chat -- */

typedef struct conversation {
    tn_chat_message messages[MAX_PARTS];
    tn_chat_part parts[MAX_PARTS][MAX_PARTS];
    size_t count;
} conversation;

static tn_chat_part read_part(const json_t *part)
{
    const char *type = json_string_value(json_object_get(part, "type"));
    const json_t *text = json_object_get(part, "text");
    bool image = (type != NULL && strcmp(type, "image") == 0) || json_object_get(part, "image_url") != NULL;
    bool video = type != NULL && strcmp(type, "video") == 0;
    return (tn_chat_part){ image, video, json_string_value(text), json_string_length(text) };
}

static void read_messages(const json_t *messages, conversation *out)
{
    out->count = json_array_size(messages);
    assert_true(out->count <= MAX_PARTS);
    for (size_t m = 0; m < out->count; m++) {
        const json_t *message = json_array_get(messages, m), *content = json_object_get(message, "content");
        size_t count = json_is_string(content) ? 1 : json_array_size(content);
        assert_true(count <= MAX_PARTS);
        for (size_t p = 0; p < count; p++)
            out->parts[m][p] = json_is_string(content)
                                   ? (tn_chat_part){ .text = json_string_value(content),
                                                     .length = json_string_length(content) }
                                   : read_part(json_array_get(content, p));
        out->messages[m] =
            (tn_chat_message){ json_string_value(json_object_get(message, "role")), out->parts[m], count };
    }
}

/* Ids with every placeholder repeated t*h*w / merge_size^2 times. */
static bool expands_as(const tn_tokenizer *tokenizer, const tn_ids *ids, const json_t *record)
{
    const json_t *grids = json_object_get(record, "image_grid_thw");
    if (grids == NULL)
        return true;
    size_t merge = (size_t)json_integer_value(json_object_get(record, "merge_size")), seen = 0;
    int32_t image = tn_tokenizer_find(tokenizer, "<|image_pad|>");
    tn_ids expanded = { 0 };
    for (size_t i = 0; i < ids->count; i++) {
        size_t copies = ids->ids[i] == image ? 1 : merge * merge;
        for (size_t k = 0; k < 3 && ids->ids[i] == image; k++)
            copies *= (size_t)json_integer_value(json_array_get(json_array_get(grids, seen), k));
        seen += ids->ids[i] == image;
        for (size_t copy = 0; copy < copies / (merge * merge); copy++)
            assert_int_equal(tn_ids_push(&expanded, ids->ids[i], NULL), TENEBRA_OK);
    }
    bool same = same_ids(&expanded, json_object_get(record, "ids_expanded"));
    tn_ids_free(&expanded);
    return same && seen == json_array_size(grids);
}

/* control_text: as in the reference. Without it, the same ids for all messages that contain no control token. */
static bool check_chat_as(const tn_tokenizer *tokenizer, const json_t *record, bool control_text)
{
    conversation talk;
    read_messages(json_object_get(record, "messages"), &talk);
    tn_chat_options options = { json_is_true(json_object_get(record, "add_generation_prompt")),
                                json_is_true(json_object_get(record, "add_vision_id")), control_text };
    const tn_chat_template *style;
    assert_int_equal(tn_chat_template_find(".", "qwen2-vl", NULL, &style, &problem), TENEBRA_OK);
    tn_chat_text rendered = { 0 };
    tn_ids ids = { 0 };
    assert_int_equal(tn_chat_render(style, talk.messages, talk.count, &options, &rendered, &problem), TENEBRA_OK);
    assert_int_equal(tn_tokenizer_encode(tokenizer, rendered.spans, rendered.span_count, &ids, &problem), TENEBRA_OK);
    bool same = same_text(&rendered.text, json_object_get(record, "text")) &&
                same_ids(&ids, json_object_get(record, "ids")) && expands_as(tokenizer, &ids, record) &&
                (control_text ? ids.picture_count == 0 : ids.picture_count == rendered.image_count);
    tn_chat_text_free(&rendered);
    tn_ids_free(&ids);
    return same;
}

static bool check_chat(const tn_tokenizer *tokenizer, const json_t *record)
{
    return check_chat_as(tokenizer, record, true);
}

static bool check_chat_spans(const tn_tokenizer *tokenizer, const json_t *record)
{
    return check_chat_as(tokenizer, record, false);
}

/* --------------------------------------------------------------- tests -- */

typedef struct conformance_case {
    const char *what, *file;
    record_fn *check;
    size_t records;
} conformance_case;

static const conformance_case cases[] = {
    { "encode", "encode.jsonl", check_encode, 437 },
    { "encode: tokens", "encode.jsonl", check_tokens, 437 },
    { "encode: pieces", "encode.jsonl", check_pieces, 437 },
    { "encode: decoded", "encode.jsonl", check_encode_decoded, 437 },
    { "encode: raw bytes", "encode.jsonl", check_raw_bytes, 437 },
    { "decode", "decode.jsonl", check_decode, 124 },
    { "chat template", "chat_template.jsonl", check_chat, 10 },
    { "chat template, spans", "chat_template.jsonl", check_chat_spans, 10 },
    { "engine dependent", "engine_dependent.jsonl", check_engine_dependent, 35 },
};

static void every_record_agrees(void **state)
{
    (void)state;
    tn_tokenizer *tokenizer = open_real();
    assert_int_equal(tn_tokenizer_size(tokenizer), 151665);
    size_t failures = 0;
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        size_t count, wrong;
        each_record(cases[i].file, tokenizer, cases[i].check, &count, &wrong, cases[i].what);
        print_message("%-22s %zu of %zu\n", cases[i].what, count - wrong, count);
        assert_int_equal(count, cases[i].records);
        failures += wrong;
    }
    tn_tokenizer_close(tokenizer);
    assert_int_equal(failures, 0);
}

static void qwen2_vl_ids_agree(void **state)
{
    (void)state;
    size_t count, wrong;
    tn_tokenizer *tokenizer = open_qwen2_vl();
    assert_int_equal(tn_tokenizer_size(tokenizer), QWEN2_VL_SIZE);
    each_record("encode.jsonl", tokenizer, check_encode, &count, &wrong, "Qwen2-VL");
    assert_int_equal(count, 437);
    assert_int_equal(wrong, 0);
    tn_tokenizer_close(tokenizer);
}

/* Negative controls: what the comparison must catch. */

static void wrong_merge_order_is_caught(void **state)
{
    (void)state;
    size_t count, wrong;
    tn_tokenizer *tokenizer = open_real();
    tn_vocabulary *vocabulary = &tokenizer->vocabulary;
    for (size_t i = 0; i < vocabulary->merge_slots; i++)
        vocabulary->merges[i].rank = (uint32_t)vocabulary->merge_count - vocabulary->merges[i].rank;
    each_record("encode.jsonl", tokenizer, check_encode, &count, &wrong, NULL);
    print_message("merge order reversed: %zu of %zu differ\n", wrong, count);
    assert_true(wrong > 0);
    tn_tokenizer_close(tokenizer);
}

static void missing_nfc_is_caught(void **state)
{
    (void)state;
    size_t count, wrong;
    tn_tokenizer *tokenizer = open_real();
    tokenizer->rule_count = 0;
    each_record("encode.jsonl", tokenizer, check_encode, &count, &wrong, NULL);
    print_message("no NFC: %zu of %zu differ\n", wrong, count);
    assert_true(wrong > 0);
    tn_tokenizer_close(tokenizer);
}

static bool check_without_control(const tn_tokenizer *tokenizer, const json_t *record)
{
    const json_t *text = json_object_get(record, "text");
    return encodes_as(tokenizer, json_string_value(text), json_string_length(text), false, json_object_get(record, "ids"));
}

static void ignored_control_is_caught(void **state)
{
    (void)state;
    size_t count, wrong;
    tn_tokenizer *tokenizer = open_real();
    each_record("encode.jsonl", tokenizer, check_without_control, &count, &wrong, NULL);
    print_message("added tokens as plain text: %zu of %zu differ\n", wrong, count);
    assert_true(wrong > 0);
    tn_tokenizer_close(tokenizer);
}

/* The split of another tokenizer (P18). */
static void wrong_split_is_caught(void **state)
{
    (void)state;
    size_t count, wrong;
    tn_tokenizer *tokenizer = open_real();
    tn_splitter_close(tokenizer->splitter);
    assert_int_equal(tn_splitter_open_pattern(TN_PATTERN_GPT2, strlen(TN_PATTERN_GPT2), NULL, "test", &tokenizer->splitter, &problem), TENEBRA_OK);
    each_record("encode.jsonl", tokenizer, check_encode, &count, &wrong, NULL);
    print_message("split of GPT-2: %zu of %zu differ\n", wrong, count);
    assert_true(wrong > 0);
    tn_tokenizer_close(tokenizer);
}

int main(void)
{
    if (getenv("TENEBRA_QWEN_TOKENIZER") == NULL) {
        print_message("skipped: TENEBRA_QWEN_TOKENIZER is not set (see tools/fetch_tokenizer.sh)\n");
        return SKIPPED;
    }
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_record_agrees),       cmocka_unit_test(qwen2_vl_ids_agree),
        cmocka_unit_test(wrong_merge_order_is_caught), cmocka_unit_test(missing_nfc_is_caught),
        cmocka_unit_test(ignored_control_is_caught), cmocka_unit_test(wrong_split_is_caught),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
