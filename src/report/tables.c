#include "report/tables.h"

#include "report/chart.h"
#include "report/figures.h"

#include <string.h>

static const char *text_of(const json_t *object, const char *key)
{
    const char *text = json_string_value(json_object_get(object, key));
    return text != NULL ? text : "";
}

/* The mark of the method with that name, before it; nothing for other names. */
static void put_mark(tn_markup *out, const tn_table_groups *groups, const char *name)
{
    char style[TN_STYLE_SIZE];
    for (size_t g = 0; g < groups->count; g++)
        if (strcmp(groups->items[g].name, name) == 0) {
            tn_figure_style(groups, g, style);
            tn_markup_put(out, "<svg class=\"at\" viewBox=\"0 0 12 12\" aria-hidden=\"true\">");
            tn_chart_mark(out, style, 6, 6);
            tn_markup_put(out, "</svg>");
            return;
        }
}

static void put_head(tn_markup *out, const tn_table_groups *groups, const json_t *table)
{
    const json_t *columns = json_object_get(table, "columns");
    tn_markup_put(out, "<thead><tr>");
    for (size_t c = 0; c < json_array_size(columns); c++) {
        const json_t *column = json_array_get(columns, c);
        if (tn_table_is_hidden(table, c))
            continue;
        tn_markup_put(out, strcmp(text_of(column, "kind"), "text") == 0 ? "<th scope=\"col\" class=\"text\">" : "<th scope=\"col\">");
        put_mark(out, groups, text_of(column, "name"));
        tn_markup_text(out, text_of(column, "name"));
        tn_markup_put(out, "</th>");
    }
    tn_markup_put(out, "</tr></thead>\n");
}

/* A number, or the middle of a share followed by its interval in smaller type. */
static void put_number(tn_markup *out, const char *kind, const json_t *cell)
{
    char words[TN_TABLE_CELL];
    const json_t *middle = json_is_object(cell) ? json_object_get(cell, "value") : cell;
    tn_table_cell(words, kind, cell);
    if (!json_is_number(middle)) {
        tn_markup_put(out, "<td>\xE2\x80\x93</td>");
        return;
    }
    char *interval = strchr(words, '[');
    tn_markup_format(out, "<td><data value=\"%.9g\">", json_number_value(middle));
    tn_markup_text_bytes(out, words, interval != NULL ? (size_t)(interval - words) - 1 : strlen(words));
    tn_markup_put(out, "</data>");
    if (interval != NULL) {
        tn_markup_put(out, " <small>");
        tn_markup_text(out, interval);
        tn_markup_put(out, "</small>");
    }
    tn_markup_put(out, "</td>");
}

static void put_row(tn_markup *out, const tn_table_groups *groups, const json_t *table, const json_t *row)
{
    const json_t *columns = json_object_get(table, "columns");
    bool first = true;
    tn_markup_put(out, "<tr>");
    for (size_t c = 0; c < json_array_size(columns); c++) {
        const char *kind = text_of(json_array_get(columns, c), "kind");
        const json_t *cell = json_array_get(row, c);
        if (tn_table_is_hidden(table, c))
            continue;
        if (json_is_string(cell)) {
            tn_markup_put(out, first ? "<th scope=\"row\" class=\"text\">" : "<td class=\"text\">");
            put_mark(out, groups, json_string_value(cell));
            tn_markup_text(out, json_string_value(cell));
            tn_markup_put(out, first ? "</th>" : "</td>");
        } else {
            put_number(out, kind, cell);
        }
        first = false;
    }
    tn_markup_put(out, "</tr>\n");
}

static void put_notes(tn_markup *out, const json_t *notes)
{
    for (size_t i = 0; i < json_array_size(notes); i++) {
        tn_markup_put(out, "<p class=\"hint\">");
        tn_markup_text(out, json_string_value(json_array_get(notes, i)));
        tn_markup_put(out, "</p>\n");
    }
}

void tn_tables_write(tn_markup *out, const tn_table_groups *groups, const json_t *report)
{
    const json_t *tables = json_object_get(report, "tables");
    for (size_t t = 0; t < json_array_size(tables); t++) {
        const json_t *table = json_array_get(tables, t), *rows = json_object_get(table, "rows");
        tn_markup_put(out, "<figure class=\"table\"><figcaption id=\"caption-");
        tn_markup_text(out, text_of(table, "name"));
        tn_markup_put(out, "\">");
        tn_markup_text(out, text_of(table, "title"));
        tn_markup_put(out, "</figcaption>\n<div class=\"scroll\" tabindex=\"0\"><table id=\"table-");
        tn_markup_text(out, text_of(table, "name"));
        tn_markup_put(out, "\" aria-labelledby=\"caption-");
        tn_markup_text(out, text_of(table, "name"));
        tn_markup_put(out, "\">\n");
        put_head(out, groups, table);
        tn_markup_put(out, "<tbody>\n");
        for (size_t r = 0; r < json_array_size(rows); r++)
            put_row(out, groups, table, json_array_get(rows, r));
        tn_markup_put(out, "</tbody></table></div>\n");
        put_notes(out, json_object_get(table, "notes"));
        tn_markup_put(out, "</figure>\n");
    }
}
