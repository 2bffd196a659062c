#include "eval/score_text.h"

#include "data/strings.h"

#include <string.h>

/* ------------------------------------------------------------ characters -- */

static bool lies_in(const tn_code_span *spans, size_t count, int32_t code_point)
{
    size_t low = 0, high = count;
    while (low < high) {
        size_t middle = low + (high - low) / 2;
        if (code_point > spans[middle].end)
            low = middle + 1;
        else
            high = middle;
    }
    return low < count && code_point >= spans[low].begin;
}

bool tn_python_is_word(int32_t code_point)
{
    return lies_in(tn_python_words, tn_python_words_count, code_point);
}

bool tn_python_is_space(int32_t code_point)
{
    return lies_in(tn_python_spaces, tn_python_spaces_count, code_point);
}

int tn_python_digit(int32_t code_point)
{
    if (code_point < 0x80)
        return code_point >= '0' && code_point <= '9' ? code_point - '0' : -1;
    for (size_t i = 1; i < tn_python_zeros_count; i++)
        if (code_point >= tn_python_zeros[i] && code_point <= tn_python_zeros[i] + 9)
            return code_point - tn_python_zeros[i];
    return -1;
}

/* --------------------------------------------------------------- strings -- */

int32_t tn_slice_char(tn_slice text, size_t at, size_t *next)
{
    int32_t code_point = -1;
    size_t size = at < text.length ? tn_utf8_read(text.bytes + at, text.length - at, &code_point) : 0;
    if (next != NULL)
        *next = at + size;
    return code_point;
}

tn_slice tn_slice_part(tn_slice text, size_t begin, size_t end)
{
    return (tn_slice){ text.bytes + begin, end - begin };
}

tn_slice tn_slice_strip(tn_slice text)
{
    tn_strip(&text.bytes, &text.length, true);
    return text;
}

bool tn_slice_equal(tn_slice a, tn_slice b)
{
    return a.length == b.length && (a.length == 0 || memcmp(a.bytes, b.bytes, a.length) == 0);
}

/* Rolling hash of Karp and Rabin, modulo 2^64; equal hashes are compared. */
enum { HASH_FACTOR = 0x2545F491 };

static uint64_t hash_of(tn_slice words)
{
    uint64_t hash = 0;
    for (size_t i = 0; i < words.length; i++)
        hash = hash * HASH_FACTOR + (unsigned char)words.bytes[i];
    return hash;
}

size_t tn_slice_find(tn_slice text, tn_slice words, size_t from)
{
    size_t none = text.length + 1, length = words.length;
    if (from > text.length || text.length - from < length)
        return none;
    if (length == 0)
        return from;
    uint64_t wanted = hash_of(words), hash = hash_of(tn_slice_part(text, from, from + length)), highest = 1;
    for (size_t i = 1; i < length; i++)
        highest *= HASH_FACTOR;
    for (size_t at = from;; at++) {
        if (hash == wanted && memcmp(text.bytes + at, words.bytes, length) == 0)
            return at;
        if (at + length >= text.length)
            return none;
        hash = (hash - highest * (unsigned char)text.bytes[at]) * HASH_FACTOR + (unsigned char)text.bytes[at + length];
    }
}

size_t tn_slice_find_last(tn_slice text, tn_slice words)
{
    size_t last = text.length + 1;
    for (size_t at = tn_slice_find(text, words, 0); at <= text.length; at = tn_slice_find(text, words, at + 1))
        last = at;
    return last;
}

/* ------------------------------------------------------------ lower case -- */

static int32_t lower_of(int32_t code_point)
{
    size_t low = 0, high = tn_python_lowers_count;
    while (low < high) {
        size_t middle = low + (high - low) / 2;
        if (code_point > tn_python_lowers[middle].end)
            low = middle + 1;
        else
            high = middle;
    }
    const tn_lower_span *span = &tn_python_lowers[low];
    bool inside = low < tn_python_lowers_count && code_point >= span->begin && (code_point - span->begin) % span->step == 0;
    return inside ? code_point + span->difference : code_point;
}

enum { I_WITH_DOT = 0x130, DOT_ABOVE = 0x307, CAPITAL_SIGMA = 0x3A3, SMALL_SIGMA = 0x3C3, FINAL_SIGMA = 0x3C2 };

static bool is_skipped(int32_t code_point)
{
    return lies_in(tn_python_skipped, tn_python_skipped_count, code_point);
}

static bool is_cased(int32_t code_point)
{
    return lies_in(tn_python_cased, tn_python_cased_count, code_point);
}

/* True if the first character from `at` on that the rule of the final sigma does not skip has case. */
static bool next_is_cased(tn_slice text, size_t at)
{
    int32_t code_point = -1;
    do
        code_point = tn_slice_char(text, at, &at);
    while (code_point >= 0 && is_skipped(code_point));
    return is_cased(code_point);
}

static tenebra_code append_char(tn_text *out, int32_t code_point, tenebra_error *error)
{
    char bytes[4];
    size_t size = tn_utf8_write(code_point, bytes);
    return tn_text_append(out, bytes, size, error);
}

tenebra_code tn_python_lower(tn_text *out, tn_slice text, tenebra_error *error)
{
    bool before = false; /* whether the last character that is not skipped has case */
    for (size_t at = 0, next; at < text.length; at = next) {
        int32_t code_point = tn_slice_char(text, at, &next), low = lower_of(code_point);
        if (code_point < 0) {
            TN_TRY(tn_text_append(out, text.bytes + at, next - at, error));
        } else if (code_point == CAPITAL_SIGMA) {
            bool final = before && !next_is_cased(text, next);
            TN_TRY(append_char(out, final ? FINAL_SIGMA : SMALL_SIGMA, error));
        } else if (code_point == I_WITH_DOT) {
            TN_TRY(tn_text_append(out, "i\xCC\x87", 3, error));
        } else {
            TN_TRY(append_char(out, low, error));
        }
        if (!is_skipped(code_point))
            before = is_cased(code_point);
    }
    return TENEBRA_OK;
}

/* -------------------------------------------------------------- matching -- */

size_t tn_skip_spaces(tn_slice text, size_t at)
{
    size_t next;
    while (at < text.length && tn_python_is_space(tn_slice_char(text, at, &next)))
        at = next;
    return at;
}

enum { DOTLESS_I = 0x131, LONG_S = 0x17F, KELVIN = 0x212A };

/* The letter a-z to which re.IGNORECASE maps a character, or the character itself. */
static int32_t plain_letter(int32_t code_point)
{
    if (code_point >= 'A' && code_point <= 'Z')
        return code_point - 'A' + 'a';
    switch (code_point) {
    case I_WITH_DOT: case DOTLESS_I: return 'i';
    case LONG_S: return 's';
    case KELVIN: return 'k';
    default: return code_point;
    }
}

size_t tn_match_word(tn_slice text, size_t at, const char *word)
{
    for (; *word != '\0'; word++)
        if (at >= text.length || plain_letter(tn_slice_char(text, at, &at)) != *word)
            return 0;
    return at;
}

size_t tn_match_words(tn_slice text, size_t at, const char *words)
{
    for (; *words != '\0'; words++) {
        size_t next = at;
        if (*words == ' ')
            next = tn_skip_spaces(text, at);
        else if (at >= text.length || plain_letter(tn_slice_char(text, at, &next)) != *words)
            return 0;
        if (next == at)
            return 0;
        at = next;
    }
    return at;
}

size_t tn_match_one(tn_slice text, size_t at, const char *const *list)
{
    for (; *list != NULL; list++) {
        size_t end = tn_match_words(text, at, *list);
        if (end > 0 && !tn_python_is_word(tn_slice_char(text, end, NULL)))
            return end;
    }
    return 0;
}

int32_t tn_match_letter(tn_slice text, size_t at, size_t *next)
{
    int32_t code_point = tn_slice_char(text, at, next), plain = plain_letter(code_point);
    if (plain < 'a' || plain > 'z')
        return 0;
    return code_point == I_WITH_DOT || code_point == KELVIN ? code_point : plain - 'a' + 'A';
}
