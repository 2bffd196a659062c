/* Spans -> one marked text -> added tokens and the text between them -> the tokenizer's rules -> pieces -> ids. */
#include "text/bpe.h"
#include "text/normalize.h"
#include "text/tokenizer_parts.h"

#include "base/checked.h"

#include <stdlib.h>

#define TEXT_LIMIT ((size_t)64 << 20)

typedef struct encoder {
    const tn_tokenizer *tokenizer;
    tn_bpe bpe;
    tn_marked normal; /* the normalised form of the part at work */
    int32_t *found[2]; /* the added tokens that begin at each byte of the text, and of its normalised form, at work */
    size_t room[2];
    tn_ids *out;
} encoder;

/* ------------------------------------------------------------ one text -- */

/* Marks of control spans: alternately 1 and 2, so that neighbours differ; plus PICTURE if the span marks an image. */
enum { PICTURE = 2 };

/* Spans in a row. */
static tenebra_code join(const tn_text_span *spans, size_t span_count, tn_marked *raw, tenebra_error *error)
{
    size_t total = 0;
    for (size_t i = 0; i < span_count; i++)
        if (!tn_size_add(total, spans[i].length, &total) || total > TEXT_LIMIT)
            return tn_fail(error, TENEBRA_ERROR_LIMIT, "text", "has more than %zu bytes", TEXT_LIMIT);
    char mark = 1;
    for (size_t i = 0; i < span_count; i++) {
        if (spans[i].length == 0)
            continue;
        char control = spans[i].control == TN_CONTROL_PICTURE ? mark + PICTURE : mark;
        TN_TRY(tn_marked_append(raw, spans[i].text, spans[i].length, spans[i].control ? control : 0, error));
        mark = mark == 1 ? 2 : 1;
    }
    return TENEBRA_OK;
}

/* Makes `raw` well-formed. */
static tenebra_code repair(tn_marked *raw, tenebra_error *error)
{
    if (tn_utf8_valid(raw->text.data, raw->text.length))
        return TENEBRA_OK;
    tn_marked sound = { 0 };
    tenebra_code code = tn_marked_append_lossy(&sound, raw->text.data, raw->marks.data, raw->text.length, error);
    tn_marked old = *raw;
    *raw = sound;
    tn_marked_free(&old);
    return code;
}

/* ------------------------------------------------------- between tokens -- */

tenebra_code tn_tokenizer_normalize(const tn_tokenizer *tokenizer, tn_marked *out, const char *bytes, const char *marks,
                                    size_t length, tenebra_error *error)
{
    tn_marked last = { 0 };
    tenebra_code code = TENEBRA_OK;
    size_t given = length, before = out->text.length;
    for (size_t i = 0; i < tokenizer->rule_count && code == TENEBRA_OK; i++) {
        bool to_out = i + 1 == tokenizer->rule_count;
        tn_marked next = { 0 };
        code = tn_rule_apply(&tokenizer->rules[i], to_out ? out : &next, bytes, marks, length, error);
        tn_marked_free(&last);
        last = next;
        bytes = last.text.data;
        marks = last.marks.data;
        length = last.text.length;
        if (code == TENEBRA_OK)
            code = tn_rule_check_growth(given, to_out ? out->text.length - before : length, error);
    }
    tn_marked_free(&last);
    return code;
}

static tenebra_code encode_piece(void *user, const char *piece, size_t length, tenebra_error *error)
{
    encoder *e = user;
    const tn_vocabulary *vocabulary = &e->tokenizer->vocabulary;
    if (e->tokenizer->ignore_merges) {
        int32_t id = tn_vocabulary_find(vocabulary, piece, length);
        if (id >= 0 && !vocabulary->tokens[id].added) /* text of users is never an added token */
            return tn_ids_push(e->out, id, error);
    }
    return tn_bpe_encode(vocabulary, &e->bpe, piece, length, e->out, error);
}

typedef tenebra_code part_fn(encoder *e, const char *bytes, const char *marks, size_t length,
                             tenebra_error *error);

static tenebra_code encode_plain(encoder *e, const char *bytes, const char *marks, size_t length,
                                 tenebra_error *error)
{
    (void)marks;
    return tn_split(e->tokenizer->splitter, bytes, length, encode_piece, e, error);
}

/* End of the bytes from `at` that have the same mark. */
static size_t same_mark_end(const char *marks, size_t at, size_t length)
{
    size_t end = at + 1;
    while (end < length && marks[end] == marks[at])
        end++;
    return end;
}

/* The added tokens of one kind that begin at each byte, each inside one control span, in *found; NULL: there is none, as
 * nothing is marked or the vocabulary has none. */
static tenebra_code find_added(encoder *e, const char *bytes, const char *marks, size_t length, bool normalized,
                               const int32_t **found, tenebra_error *error)
{
    const tn_vocabulary *vocabulary = &e->tokenizer->vocabulary;
    *found = NULL;
    bool marked = false;
    for (size_t at = 0; at < length && !marked; at++)
        marked = marks[at] != 0;
    if (!marked || !tn_vocabulary_has_added(vocabulary, normalized))
        return TENEBRA_OK;
    if (length > e->room[normalized]) {
        free(e->found[normalized]);
        e->room[normalized] = 0;
        e->found[normalized] = malloc(length * sizeof *e->found[normalized]); /* at most 3 TEXT_LIMIT characters */
        if (e->found[normalized] == NULL)
            return tn_fail(error, TENEBRA_ERROR_MEMORY, "text", "no memory to look for added tokens in %zu bytes", length);
        e->room[normalized] = length;
    }
    int32_t *ids = e->found[normalized];
    for (size_t at = 0, end; at < length; at = end) {
        end = same_mark_end(marks, at, length);
        if (marks[at] != 0)
            tn_vocabulary_find_added(vocabulary, bytes + at, end - at, normalized, ids + at);
        for (size_t i = at; i < end && marks[at] == 0; i++)
            ids[i] = -1;
    }
    *found = ids;
    return TENEBRA_OK;
}

/* Takes added tokens of one kind, leftmost and longest, and passes the text between them to `between`. */
static tenebra_code each_part(encoder *e, const char *bytes, const char *marks, size_t length,
                              bool normalized, part_fn *between, tenebra_error *error)
{
    const tn_vocabulary *vocabulary = &e->tokenizer->vocabulary;
    const int32_t *found;
    size_t done = 0;
    TN_TRY(find_added(e, bytes, marks, length, normalized, &found, error));
    for (size_t at = 0; at < length && found != NULL;) {
        int32_t id = found[at];
        if (id < 0) {
            at++;
            continue;
        }
        if (at > done)
            TN_TRY(between(e, bytes + done, marks + done, at - done, error));
        TN_TRY((marks[at] > PICTURE ? tn_ids_push_picture : tn_ids_push)(e->out, id, error));
        at += vocabulary->tokens[id].length;
        done = at;
    }
    return length > done ? between(e, bytes + done, marks + done, length - done, error) : TENEBRA_OK;
}

/* The second pass: added tokens that are looked for in the normalised text. */
static tenebra_code encode_normal(encoder *e, const char *bytes, const char *marks, size_t length,
                                  tenebra_error *error)
{
    if (e->tokenizer->rule_count == 0)
        return each_part(e, bytes, marks, length, true, encode_plain, error);
    e->normal.text.length = e->normal.marks.length = 0;
    TN_TRY(tn_tokenizer_normalize(e->tokenizer, &e->normal, bytes, marks, length, error));
    return each_part(e, e->normal.text.data, e->normal.marks.data, e->normal.text.length, true, encode_plain,
                     error);
}

tenebra_code tn_tokenizer_encode(const tn_tokenizer *tokenizer, const tn_text_span *spans, size_t span_count,
                                 tn_ids *out, tenebra_error *error)
{
    encoder e = { .tokenizer = tokenizer, .out = out };
    tn_marked raw = { 0 };
    size_t before = out->count, pictures = out->picture_count;
    tenebra_code code = join(spans, span_count, &raw, error);
    if (code == TENEBRA_OK)
        code = repair(&raw, error);
    if (code == TENEBRA_OK)
        code = each_part(&e, raw.text.data, raw.marks.data, raw.text.length, false, encode_normal, error);
    if (code != TENEBRA_OK) {
        out->count = before;
        out->picture_count = pictures;
    }
    tn_marked_free(&raw);
    tn_marked_free(&e.normal);
    tn_bpe_free(&e.bpe);
    free(e.found[0]);
    free(e.found[1]);
    return code;
}
