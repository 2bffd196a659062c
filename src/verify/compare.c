#include "verify/parts.h"

#include <float.h>
#include <fnmatch.h>
#include <math.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const tn_stored *find(const tn_verify *verify, const char *format, va_list arguments) TN_PRINTF(2, 0);

static const tn_stored *find(const tn_verify *verify, const char *format, va_list arguments)
{
    char name[256];
    vsnprintf(name, sizeof name, format, arguments);
    return tn_store_find(verify->golden, name);
}

static void mark(tn_verify *verify, const tn_stored *stored)
{
    for (size_t i = 0; i < tn_store_count(verify->golden); i++)
        verify->handled[i] |= tn_store_at(verify->golden, i) == stored;
}

const tn_stored *tn_verify_input(tn_verify *verify, const char *name, ...)
{
    va_list arguments;
    va_start(arguments, name);
    const tn_stored *stored = find(verify, name, arguments);
    va_end(arguments);
    if (stored != NULL)
        mark(verify, stored);
    return stored;
}

bool tn_verify_has(const tn_verify *verify, const char *name, ...)
{
    va_list arguments;
    va_start(arguments, name);
    const tn_stored *stored = find(verify, name, arguments);
    va_end(arguments);
    return stored != NULL;
}

void *tn_verify_take(tn_verify *verify, size_t count, size_t size)
{
    void *memory = calloc(count > 0 ? count : 1, size);
    if (memory == NULL)
        tn_fail(&verify->failure, TENEBRA_ERROR_MEMORY, NULL, "no memory for %zu items of %zu bytes", count, size);
    return memory;
}

float *tn_verify_floats(tn_verify *verify, const tn_stored *stored)
{
    float *values = tn_verify_take(verify, stored->elements + 1, sizeof *values);
    if (values != NULL &&
        tn_store_read_f32(verify->golden, stored->name, values, stored->elements, &verify->failure) != TENEBRA_OK) {
        free(values);
        return NULL;
    }
    return values;
}

int64_t *tn_verify_integers(tn_verify *verify, const tn_stored *stored)
{
    int64_t *values = tn_verify_take(verify, stored->elements + 1, sizeof *values);
    if (values != NULL &&
        tn_store_read_i64(verify->golden, stored->name, values, stored->elements, &verify->failure) != TENEBRA_OK) {
        free(values);
        return NULL;
    }
    return values;
}

int64_t *tn_verify_ids(tn_verify *verify, const tn_stored *stored)
{
    int64_t *ids = tn_verify_integers(verify, stored);
    for (size_t i = 0; ids != NULL && i < stored->elements; i++)
        if (ids[i] < 0 || ids[i] > INT32_MAX) {
            tn_fail(&verify->failure, TENEBRA_ERROR_FORMAT, stored->name, "element %zu is not a token id: %lld", i,
                    (long long)ids[i]);
            free(ids);
            return NULL;
        }
    return ids;
}

/* Patterns for fnmatch: the names in the README of the golden sets. */
static const char *const of_pictures[] = { "bicubic.*.out", "smart_resize.table", "qwen_full.pixel_values",
                                           "qwen_full.grid_thw", NULL };
static const char *const of_models[] = {
    "vision.embeds", "vision.patch_embed", "vision.block.*", "vq.codes", "vq.token_ids", "vq.prequant", "vq.mid.attn",
    "multi.embeds", "plain.*.logits_last24", "plain.logits_last32", "plain.hidden.*",
    "plain.*.hidden_last", "plain.arange.hidden.*", "plain.mrope.position_ids", "plain.mrope.delta",
    "textonly.last_logits", "ivtlr.K*.N*.any.*", "ivtlr.K*.N*.cuda.*", "ivtlr.K*.N*.desc.*", "ivtlr.K*.N*.asc.*",
    "eos.*.generated", "batch2.loss", "batch2.selected", "batch2.single_losses", "batch2.position_ids",
    "stage*.loss", "stage*.last_logits", "stage*.selected", "stage*.grad.*",
    "stage*.grad_norm", "stage*.after.*", "seq.*.loss", "seq.*.grad_norm", "seq.*.after.*", "seq.*.position_ids", NULL };

static bool is_among(const char *name, const char *const *patterns)
{
    while (*patterns != NULL && fnmatch(*patterns, name, 0) != 0)
        patterns++;
    return *patterns != NULL;
}

bool tn_verify_is_result(const char *name, bool *needs_model)
{
    *needs_model = is_among(name, of_models);
    return *needs_model || is_among(name, of_pictures);
}

static void add_row(tn_verify *verify, tn_verify_row row)
{
    if (TN_GROW(verify->rows, verify->row_count, row.name, &verify->failure) == TENEBRA_OK) /* else a difference could be lost */
        verify->rows[verify->row_count++] = row;
}

void tn_verify_count(tn_verify *verify, const char *name, size_t differing)
{
    const tn_stored *stored = tn_verify_input(verify, "%s", name);
    if (stored != NULL)
        add_row(verify, (tn_verify_row){ .name = stored->name, .exact = true, .absolute = (double)differing,
                                         .passed = differing == 0 });
}

void tn_verify_fail(tn_verify *verify, const char *name)
{
    const tn_stored *stored = tn_verify_input(verify, "%s", name);
    if (stored != NULL)
        add_row(verify, (tn_verify_row){ .name = stored->name, .absolute = NAN, .relative = NAN, .passed = false });
}

/* The largest finite magnitude, not counting the lowest number, which stands for a token that is never generated; 0 if none. */
static double largest_of(const float *values, size_t count)
{
    double largest = 0;
    for (size_t i = 0; i < count; i++)
        if (isfinite(values[i]) && values[i] > -FLT_MAX)
            largest = fmax(largest, fabs((double)values[i]));
    return largest;
}

/* The first element that is out of bounds. */
static void note_wrong(tn_verify_row *row, size_t at, double got, double expected)
{
    if (row->passed) {
        row->at = at;
        row->got = got;
        row->expected = expected;
    }
    row->passed = false;
}

/* bound < 0: TN_VERIFY_BOUND of the largest expected magnitude. */
static void compare(tn_verify *verify, const char *name, const tn_real *got, size_t count, double bound, const bool *leave_out)
{
    const tn_stored *stored = tn_verify_input(verify, "%s", name);
    if (stored == NULL)
        return;
    float *expected = stored->elements == count ? tn_verify_floats(verify, stored) : NULL;
    if (expected == NULL) {
        tn_verify_fail(verify, name);
        return;
    }
    bool relative = bound < 0;
    double largest = largest_of(expected, count), scale = relative && count == 1 ? fmax(1, largest) : largest;
    tn_verify_row row = { .name = stored->name, .bound = relative ? TN_VERIFY_BOUND * scale : bound, .passed = true };
    size_t left_out = 0;
    for (size_t i = 0; i < count; i++) {
        double a = (double)got[i], b = (double)expected[i], absolute = fabs(a - b);
        if (relative && a == b) /* covers equal infinities */
            continue;
        if (leave_out != NULL && leave_out[i]) {
            left_out++;
            continue;
        }
        row.absolute = fmax(row.absolute, absolute);
        if (!(absolute <= row.bound))
            note_wrong(&row, i, a, b);
    }
    row.relative = row.absolute > 0 ? row.absolute / scale : 0;
    row.passed = row.passed && 2 * left_out <= count;
    add_row(verify, row);
    free(expected);
}

void tn_verify_compare(tn_verify *verify, const char *name, const tn_real *got, size_t count)
{
    compare(verify, name, got, count, -1, NULL);
}

void tn_verify_compare_absolute(tn_verify *verify, const char *name, const tn_real *got, size_t count, double bound,
                                const bool *leave_out)
{
    compare(verify, name, got, count, bound, leave_out);
}

void tn_verify_compare_integers(tn_verify *verify, const char *name, const int64_t *got, size_t count)
{
    const tn_stored *stored = tn_verify_input(verify, "%s", name);
    if (stored == NULL)
        return;
    int64_t *expected = stored->elements == count ? tn_verify_integers(verify, stored) : NULL;
    if (expected == NULL) {
        tn_verify_fail(verify, name);
        return;
    }
    tn_verify_row row = { .name = stored->name, .exact = true, .passed = true };
    for (size_t i = 0; i < count; i++)
        if (got[i] != expected[i]) {
            row.absolute++;
            note_wrong(&row, i, (double)got[i], (double)expected[i]);
        }
    add_row(verify, row);
    free(expected);
}
