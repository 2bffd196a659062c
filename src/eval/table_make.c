#include "eval/table_make.h"

#include "eval/statistics.h"

#include <stdlib.h>
#include <string.h>

void tn_table_start(tn_table_maker *maker, const char *name, const char *title)
{
    *maker = (tn_table_maker){ 0 };
    maker->table = json_pack("{s:s, s:s, s:[], s:[], s:[]}", "name", name, "title", title, "columns", "rows", "notes");
    maker->full = maker->table == NULL;
}

static bool append(tn_table_maker *maker, const char *list, json_t *item)
{
    bool fits = json_array_append_new(json_object_get(maker->table, list), item) == 0;
    maker->full |= !fits;
    return fits;
}

void tn_table_column(tn_table_maker *maker, const char *name, const char *kind)
{
    append(maker, "columns", json_pack("{s:s, s:s}", "name", name, "kind", kind));
}

void tn_table_row(tn_table_maker *maker)
{
    maker->row = json_array();
    if (!append(maker, "rows", maker->row))
        maker->row = NULL;
}

void tn_table_put(tn_table_maker *maker, json_t *cell)
{
    maker->full |= json_array_append_new(maker->row, cell) != 0;
}

void tn_table_columns(tn_table_maker *maker, const tn_table_field *fields)
{
    for (const tn_table_field *field = fields; field->name != NULL; field++)
        tn_table_column(maker, field->name, field->kind);
}

static json_t *cell_of(const tn_table_field *field, const void *row)
{
    const void *at = (const char *)row + field->offset;
    switch (field->type) {
    case TN_FIELD_TEXT:
        return json_string(*(const char *const *)at);
    case TN_FIELD_COUNT:
        return tn_cell_count(*(const size_t *)at);
    case TN_FIELD_NUMBER:
        return tn_cell_number(*(const double *)at);
    default:
        return *(json_t *const *)at;
    }
}

void tn_table_add(tn_table_maker *maker, const tn_table_field *fields, const void *row)
{
    tn_table_row(maker);
    for (const tn_table_field *field = fields; field->name != NULL; field++)
        tn_table_put(maker, cell_of(field, row));
}

void tn_table_note(tn_table_maker *maker, const char *sentence)
{
    append(maker, "notes", json_string(sentence));
}

/* True if all rows leave a column empty, or have the same small number. */
static bool is_idle(const json_t *rows, size_t column, const char *name)
{
    bool empty = true, zero = strcmp(name, "runs") == 0 || strcmp(name, "failed") == 0;
    double usual = strcmp(name, "runs") == 0 ? 1 : 0;
    for (size_t i = 0; i < json_array_size(rows) && (empty || zero); i++) {
        const json_t *value = json_array_get(json_array_get(rows, i), column);
        empty &= json_is_null(value);
        zero &= json_is_number(value) && json_number_value(value) == usual;
    }
    return empty || zero;
}

json_t *tn_table_finish(tn_table_maker *maker)
{
    json_t *columns = json_object_get(maker->table, "columns"), *rows = json_object_get(maker->table, "rows");
    for (size_t c = 0; c < json_array_size(columns); c++) {
        json_t *column = json_array_get(columns, c);
        if (is_idle(rows, c, json_string_value(json_object_get(column, "name"))))
            maker->full |= json_object_set_new(column, "hidden", json_true()) != 0;
    }
    if (!maker->full)
        return maker->table;
    json_decref(maker->table);
    return NULL;
}

/* ---------------------------------------------------------------- cells -- */

json_t *tn_cell_number(double value)
{
    return isfinite(value) ? json_real(value) : json_null();
}

json_t *tn_cell_count(size_t value)
{
    return json_integer((json_int_t)value);
}

json_t *tn_cell_share(double value, double low, double high, size_t total, size_t correct)
{
    return json_pack("{s:o, s:o, s:o, s:o, s:o}", "value", tn_cell_number(value), "low", tn_cell_number(low), "high",
                     tn_cell_number(high), "total", tn_cell_count(total), "correct",
                     correct != SIZE_MAX ? tn_cell_count(correct) : json_null());
}

json_t *tn_cell_rate(size_t part, size_t total)
{
    part = part < total ? part : total;
    tn_interval interval = tn_wilson(part, total, TN_Z95);
    return total == 0 ? json_null()
                      : tn_cell_share(100 * (double)part / (double)total, 100 * interval.low, 100 * interval.high, total, part);
}

json_t *tn_cell_accuracy(const size_t *right, const size_t *total, size_t runs)
{
    size_t all = 0, correct = 0, used = 0;
    double half, *means = calloc(runs + 1, sizeof *means);
    if (means == NULL)
        return NULL;
    for (size_t i = 0; i < runs; i++) {
        all += total[i];
        correct += right[i];
        if (total[i] > 0)
            means[used++] = (double)right[i] / (double)total[i];
    }
    double value = tn_table_mean(means, used, &half);
    free(means);
    if (runs == 1 || all == 0)
        return tn_cell_rate(correct, all);
    if (half == 0) { /* the runs have the same questions, so all together they are no larger sample of questions than one */
        size_t questions = all / used;
        tn_interval one = tn_wilson((size_t)lround(value * (double)questions), questions, TN_Z95);
        return tn_cell_share(100 * value, 100 * one.low, 100 * one.high, all, correct);
    }
    /* An accuracy is within 0..1, so the part of Student's interval outside can be cut off. NaN is kept. */
    double low = fmax(0, value - half) + 0 * half, high = fmin(1, value + half) + 0 * half;
    return tn_cell_share(100 * value, 100 * low, 100 * high, all, correct);
}
