/* The rules by which tokenizers change text. Source: the normalizers of Hugging Face tokenizers. */
#include "text/normalize.h"

#include "text/pattern.h"
#include "text/unicode.h"

#include <stdlib.h>

void tn_rule_free(tn_rule *rule)
{
    tn_pattern_close(rule->pattern);
    free(rule->text);
    *rule = (tn_rule){ 0 };
}

tenebra_code tn_rule_check_growth(size_t before, size_t after, tenebra_error *error)
{
    if (after <= TN_RULE_ROOM || (after - TN_RULE_ROOM) / TN_RULE_GROWTH <= before)
        return TENEBRA_OK;
    return tn_fail(error, TENEBRA_ERROR_LIMIT, "text", "of %zu bytes becomes more than %d times as long by the normalizer", before,
                   TN_RULE_GROWTH);
}

static tenebra_code prepend(const tn_rule *rule, tn_marked *out, const char *bytes, const char *marks, size_t length, tenebra_error *error)
{
    if (length == 0)
        return TENEBRA_OK;
    TN_TRY(tn_marked_append(out, rule->text, rule->length, 0, error));
    return tn_marked_append_all(out, bytes, marks, length, error);
}

static tenebra_code replace_all(const tn_rule *rule, tn_matches *matches, tn_marked *out, const char *bytes, const char *marks,
                                size_t length, tenebra_error *error)
{
    tn_match_place place = { 0 };
    size_t done = 0, before = out->text.length;
    for (;;) {
        size_t begin, end;
        bool found;
        TN_TRY(tn_matches_next(matches, &place, bytes, length, &found, &begin, &end, error));
        if (!found)
            return tn_marked_append_all(out, bytes + done, marks + done, length - done, error);
        TN_TRY(tn_marked_append_all(out, bytes + done, marks + done, begin - done, error));
        TN_TRY(tn_marked_append(out, rule->text, rule->length, tn_marked_common(marks + begin, end - begin), error));
        TN_TRY(tn_rule_check_growth(length, out->text.length - before, error));
        done = end;
    }
}

static tenebra_code replace(const tn_rule *rule, tn_marked *out, const char *bytes, const char *marks, size_t length, tenebra_error *error)
{
    tn_matches matches;
    if (length == 0)
        return TENEBRA_OK;
    tenebra_code code = tn_matches_open(&matches, rule->pattern, error);
    if (code == TENEBRA_OK)
        code = replace_all(rule, &matches, out, bytes, marks, length, error);
    tn_matches_close(&matches);
    return code;
}

static tenebra_code strip(const tn_rule *rule, tn_marked *out, const char *bytes, const char *marks, size_t length, tenebra_error *error)
{
    size_t begin = length, end = 0; /* from the first character that is no white space to the last */
    for (size_t at = 0; at < length;) {
        int32_t c;
        size_t size = tn_utf8_read(bytes + at, length - at, &c);
        if (tn_unicode_class(c) != TN_SPACE) {
            begin = begin == length ? at : begin;
            end = at + size;
        }
        at += size;
    }
    begin = rule->left ? begin : 0;
    end = rule->right ? end : length;
    return begin < end ? tn_marked_append_all(out, bytes + begin, marks + begin, end - begin, error) : TENEBRA_OK;
}

tenebra_code tn_rule_apply(const tn_rule *rule, tn_marked *out, const char *bytes, const char *marks, size_t length, tenebra_error *error)
{
    switch (rule->kind) {
    case TN_RULE_UNICODE:
        return tn_normalize_unicode(out, rule->form, bytes, marks, length, error);
    case TN_RULE_LOWER:
        return tn_normalize_lower(out, bytes, marks, length, error);
    case TN_RULE_PREPEND:
        return prepend(rule, out, bytes, marks, length, error);
    case TN_RULE_REPLACE:
        return replace(rule, out, bytes, marks, length, error);
    default:
        return strip(rule, out, bytes, marks, length, error);
    }
}
