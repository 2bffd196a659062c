#include "text/normalize.h"

#include "base/checked.h"
#include "text/unicode.h"

#include <stdlib.h>
#include <string.h>
#include <utf8proc.h>

tenebra_code tn_marked_append(tn_marked *marked, const char *bytes, size_t length, char mark,
                              tenebra_error *error)
{
    TN_TRY(tn_text_append(&marked->text, bytes, length, error));
    return tn_text_fill(&marked->marks, mark, length, error);
}

tenebra_code tn_marked_append_all(tn_marked *out, const char *bytes, const char *marks, size_t length, tenebra_error *error)
{
    TN_TRY(tn_text_append(&out->text, bytes, length, error));
    return tn_text_append(&out->marks, marks, length, error);
}

void tn_marked_free(tn_marked *marked)
{
    tn_text_free(&marked->text);
    tn_text_free(&marked->marks);
}

char tn_marked_common(const char *marks, size_t length)
{
    for (size_t i = 1; i < length; i++)
        if (marks[i] != marks[0])
            return 0;
    return marks[0];
}

tenebra_code tn_marked_append_lossy(tn_marked *out, const char *bytes, const char *marks, size_t length,
                                    tenebra_error *error)
{
    for (size_t i = 0; i < length;) {
        int32_t code_point;
        size_t size = tn_utf8_read(bytes + i, length - i, &code_point);
        if (code_point < 0)
            TN_TRY(tn_marked_append(out, TN_REPLACEMENT, 3, 0, error));
        else
            TN_TRY(tn_marked_append(out, bytes + i, size, tn_marked_common(marks + i, size), error));
        i += size;
    }
    return TENEBRA_OK;
}

/* -------------------------------------------------- normalisation forms -- */

/* True if normalisation does not change `c` and nothing before `c` depends on it: class 0, no decomposition, not the
 * second half of a pair. Text may be split before such a character. First halves are excluded, too, except ASCII, which
 * only a following mark can change. */
static bool is_stable(int32_t c)
{
    if (c < 0x80)
        return true;
    if (c >= 0x1100 && c <= 0x11FF) /* jamo compose by rule, without a table entry */
        return false;
    if (c >= 0xAC00 && c <= 0xD7A3) /* a syllable may compose with a final consonant after it */
        return false;
    const utf8proc_property_t *p = utf8proc_get_property(c);
    return p->combining_class == 0 && p->decomp_seqindex == UINT16_MAX && p->comb_index == UINT16_MAX;
}

/* Bytes from `at` to the next stable character after the one at `at`. */
static size_t chunk_length(const char *bytes, size_t length)
{
    int32_t c;
    size_t at = tn_utf8_read(bytes, length, &c);
    while (at < length) {
        size_t size = tn_utf8_read(bytes + at, length - at, &c);
        if (is_stable(c))
            break;
        at += size;
    }
    return at;
}

/* Sorts each run of combining characters by class and keeps the order of equal classes (UAX 15, canonical ordering).
 * Counting sort, because the library's own sort is quadratic. `spare` has room for as many. */
static void order_marks(utf8proc_int32_t *points, size_t count, utf8proc_int32_t *spare)
{
    for (size_t begin = 0; begin < count;) {
        size_t starts[257] = { 0 }, end = begin;
        utf8proc_propval_t kind;
        while (end < count && (kind = utf8proc_get_property(points[end])->combining_class) != 0) {
            starts[(size_t)kind + 1]++;
            end++;
        }
        if (end > begin + 1) {
            for (size_t k = 1; k <= 256; k++)
                starts[k] += starts[k - 1];
            for (size_t i = begin; i < end; i++)
                spare[starts[(size_t)utf8proc_get_property(points[i])->combining_class]++] = points[i];
            memcpy(points + begin, spare, (end - begin) * sizeof *points);
        }
        begin = end + 1;
    }
}

/* The largest number of characters that a byte of UTF-8 decomposes into: two bytes of U+0344 become two, three bytes of U+FDFA
 * eighteen compatible ones. */
static size_t growth_of(tn_unicode_form form)
{
    return form.compatible ? 6 : 2;
}

/* The decomposition of `bytes` into `points`, which has room; returns their number. */
static size_t decompose(tn_unicode_form form, const char *bytes, size_t length, utf8proc_int32_t *points, size_t room)
{
    int options = UTF8PROC_STABLE | UTF8PROC_DECOMPOSE | (form.compatible ? UTF8PROC_COMPAT : 0);
    size_t count = 0;
    for (size_t at = 0; at < length;) {
        int32_t c;
        at += tn_utf8_read(bytes + at, length - at, &c);
        utf8proc_ssize_t added = utf8proc_decompose_char(c, points + count, (utf8proc_ssize_t)(room - count),
                                                         (utf8proc_option_t)options, NULL);
        if (added > 0 && (size_t)added <= room - count)
            count += (size_t)added;
        else
            points[count++] = c; /* the library does not know the character; there is room for one each */
    }
    return count;
}

/* Appends the composed characters. The first keeps its own mark if it is unchanged, because then the following ones did
 * not change it. */
static tenebra_code append_points(tn_marked *out, const utf8proc_int32_t *points, size_t count,
                                  int32_t first, char first_mark, char mark, tenebra_error *error)
{
    for (size_t i = 0; i < count; i++) {
        char bytes[4];
        size_t size = tn_utf8_write(points[i], bytes);
        bool kept = i == 0 && points[0] == first && is_stable(first);
        TN_TRY(tn_marked_append(out, bytes, size, kept ? first_mark : mark, error));
    }
    return TENEBRA_OK;
}

static tenebra_code rewrite_chunk(tn_marked *out, tn_unicode_form form, const char *bytes, const char *marks, size_t length,
                                  tenebra_error *error)
{
    size_t room, size;
    if (!tn_size_mul(length, growth_of(form), &room) || !tn_size_add(room, 1, &room) ||
        !tn_size_mul(room, 2 * sizeof(utf8proc_int32_t), &size))
        return tn_fail(error, TENEBRA_ERROR_LIMIT, "text", "is too long to normalise");
    utf8proc_int32_t *points = malloc(size);
    if (points == NULL)
        return tn_fail(error, TENEBRA_ERROR_MEMORY, "text", "no memory to normalise %zu bytes", length);
    size_t count = decompose(form, bytes, length, points, room);
    order_marks(points, count, points + room);
    utf8proc_ssize_t left = (utf8proc_ssize_t)count;
    if (form.composed)
        left = utf8proc_normalize_utf32(points, left, UTF8PROC_STABLE | UTF8PROC_COMPOSE);
    int32_t first;
    size_t head = tn_utf8_read(bytes, length, &first);
    char mark = tn_marked_common(marks, length);
    tenebra_code code = append_points(out, points, left < 0 ? 0 : (size_t)left, first,
                                      tn_marked_common(marks, head), mark, error);
    free(points);
    return code;
}

tenebra_code tn_normalize_unicode(tn_marked *out, tn_unicode_form form, const char *bytes, const char *marks, size_t length,
                                  tenebra_error *error)
{
    if (length == 0)
        return TENEBRA_OK;
    size_t same = 0; /* start of the part, ending at `at`, that is known to be unchanged */
    for (size_t at = 0; at < length;) {
        int32_t c;
        size_t size = tn_utf8_read(bytes + at, length - at, &c);
        size_t chunk = chunk_length(bytes + at, length - at);
        if (chunk > size || !is_stable(c)) {
            TN_TRY(tn_marked_append_all(out, bytes + same, marks + same, at - same, error));
            TN_TRY(rewrite_chunk(out, form, bytes + at, marks + at, chunk, error));
            same = at + chunk;
        }
        at += chunk;
    }
    return tn_marked_append_all(out, bytes + same, marks + same, length - same, error);
}

tenebra_code tn_normalize_nfc(tn_marked *out, const char *bytes, const char *marks, size_t length, tenebra_error *error)
{
    return tn_normalize_unicode(out, (tn_unicode_form){ .composed = true }, bytes, marks, length, error);
}

/* ------------------------------------------------------------ lower case -- */

tenebra_code tn_normalize_lower(tn_marked *out, const char *bytes, const char *marks, size_t length, tenebra_error *error)
{
    size_t same = 0; /* start of the part, ending at `at`, that is unchanged */
    for (size_t at = 0; at < length;) {
        int32_t c, lower;
        size_t size = tn_utf8_read(bytes + at, length - at, &c);
        if ((lower = tn_unicode_lower(c)) != c) {
            char small[8], mark = tn_marked_common(marks + at, size);
            size_t written = tn_utf8_write(lower, small);
            if (c == TN_DOTTED_CAPITAL_I)
                written += tn_utf8_write(TN_DOT_ABOVE, small + written);
            TN_TRY(tn_marked_append_all(out, bytes + same, marks + same, at - same, error));
            TN_TRY(tn_marked_append(out, small, written, mark, error));
            same = at + size;
        }
        at += size;
    }
    return tn_marked_append_all(out, bytes + same, marks + same, length - same, error);
}
