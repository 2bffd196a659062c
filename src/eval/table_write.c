/* Tables as text, Markdown, CSV and LaTeX. */
#include "eval/table.h"

#include "text/visible.h"

#include <math.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

typedef struct text {
    char *bytes;
    size_t length, capacity;
    bool full; /* an allocation failed */
} text;

static void put_bytes(text *out, const char *bytes, size_t length)
{
    if (out->length + length + 1 > out->capacity && !out->full) {
        size_t capacity = 2 * (out->length + length) + 256;
        char *grown = realloc(out->bytes, capacity);
        if (grown != NULL) {
            out->bytes = grown;
            out->capacity = capacity;
        }
        out->full = grown == NULL;
    }
    if (out->full)
        return;
    memcpy(out->bytes + out->length, bytes, length);
    out->length += length;
    out->bytes[out->length] = '\0';
}

static void put(text *out, const char *string)
{
    put_bytes(out, string, strlen(string));
}

static void put_spaces(text *out, size_t count)
{
    while (count-- > 0)
        put(out, " ");
}

/* ---------------------------------------------------------------- cells -- */

static void print_number(char *cell, const char *kind, double value)
{
    if (strcmp(kind, "count") == 0)
        snprintf(cell, TN_TABLE_CELL, "%.0f", value);
    else if (strcmp(kind, "probability") == 0)
        snprintf(cell, TN_TABLE_CELL, value < 0.0001 ? "%.1e" : "%.4f", value);
    else if (strcmp(kind, "seconds") == 0)
        snprintf(cell, TN_TABLE_CELL, "%.3f", value);
    else
        snprintf(cell, TN_TABLE_CELL, fabs(value) < 10 ? "%.3f" : "%.2f", value);
}

void tn_table_cell(char cell[TN_TABLE_CELL], const char *kind, const json_t *value)
{
    const json_t *low = json_object_get(value, "low"), *middle = json_object_get(value, "value");
    if (json_is_string(value))
        snprintf(cell, TN_TABLE_CELL, "%s", json_string_value(value));
    else if (json_is_number(value))
        print_number(cell, kind, json_number_value(value));
    else if (json_is_number(low))
        snprintf(cell, TN_TABLE_CELL, "%.2f [%.2f, %.2f]", json_number_value(middle), json_number_value(low),
                 json_number_value(json_object_get(value, "high")));
    else if (json_is_number(middle))
        snprintf(cell, TN_TABLE_CELL, "%.2f", json_number_value(middle));
    else
        snprintf(cell, TN_TABLE_CELL, "-");
}

static const char *column_text(const json_t *table, size_t column, const char *key)
{
    return json_string_value(json_object_get(json_array_get(json_object_get(table, "columns"), column), key));
}

static size_t column_count(const json_t *table)
{
    return json_array_size(json_object_get(table, "columns"));
}

/* Cell of row `row`; the row before the first contains the names of the columns. */
static void cell_text(char *cell, const json_t *table, size_t row, size_t column)
{
    if (row == 0)
        snprintf(cell, TN_TABLE_CELL, "%s", column_text(table, column, "name"));
    else
        tn_table_cell(cell, column_text(table, column, "kind"),
                   json_array_get(json_array_get(json_object_get(table, "rows"), row - 1), column));
}

bool tn_table_is_hidden(const json_t *table, size_t column)
{
    return json_is_true(json_object_get(json_array_get(json_object_get(table, "columns"), column), "hidden"));
}

static bool is_text(const json_t *table, size_t column)
{
    return strcmp(column_text(table, column, "kind"), "text") == 0;
}

static size_t row_count(const json_t *table)
{
    return json_array_size(json_object_get(table, "rows"));
}

/* ---------------------------------------------------------------- forms -- */

/* A cell of a table of columns: on one line, and as wide as it will be shown. */
static void visible_cell(char *cell, const json_t *table, size_t row, size_t column)
{
    char whole[TN_TABLE_CELL];
    cell_text(whole, table, row, column);
    tn_visible_line(whole, cell, TN_TABLE_CELL);
}

static size_t column_width(const json_t *table, size_t column)
{
    char cell[TN_TABLE_CELL];
    size_t widest = 0;
    for (size_t row = 0; row <= row_count(table); row++) {
        visible_cell(cell, table, row, column);
        size_t width = tn_visible_width(cell);
        widest = width > widest ? width : widest;
    }
    return widest;
}

/* The sentences below a table, each on its own line. */
static void put_notes(text *out, const json_t *table, const char *front, void (*put_words)(text *, const char *))
{
    const json_t *notes = json_object_get(table, "notes");
    for (size_t i = 0; i < json_array_size(notes); i++) {
        put(out, front);
        put_words(out, json_string_value(json_array_get(notes, i)));
        put(out, "\n");
    }
}

static void write_text_row(text *out, const json_t *table, size_t row, const size_t *widths)
{
    char cell[TN_TABLE_CELL];
    bool first = true;
    size_t owed = 0; /* no trailing spaces at the end of a line */
    for (size_t column = 0; column < column_count(table); column++) {
        if (tn_table_is_hidden(table, column))
            continue;
        visible_cell(cell, table, row, column);
        size_t blank = widths[column] - tn_visible_width(cell);
        put_spaces(out, owed + (first ? 0 : 2) + (is_text(table, column) ? 0 : blank));
        put(out, cell);
        owed = is_text(table, column) ? blank : 0;
        first = false;
    }
    put(out, "\n");
}

static void write_text(text *out, const json_t *table)
{
    size_t *widths = calloc(column_count(table) + 1, sizeof *widths);
    out->full |= widths == NULL;
    if (widths == NULL)
        return;
    for (size_t column = 0; column < column_count(table); column++)
        widths[column] = column_width(table, column);
    put(out, json_string_value(json_object_get(table, "title")));
    put(out, "\n");
    for (size_t row = 0; row <= row_count(table); row++)
        write_text_row(out, table, row, widths);
    put_notes(out, table, "", put);
    put(out, "\n");
    free(widths);
}

static void put_escaped(text *out, const char *string, const char *special, const char *with)
{
    for (; *string != '\0'; string++) {
        if (strchr(special, *string) != NULL)
            put(out, with);
        put_bytes(out, string, 1);
    }
}

static void put_markdown(text *out, const char *string)
{
    put_escaped(out, string, "|\\*_`<", "\\");
}

static void write_markdown(text *out, const json_t *table)
{
    char cell[TN_TABLE_CELL];
    put(out, "**");
    put(out, json_string_value(json_object_get(table, "title")));
    put(out, "**\n\n");
    for (size_t row = 0; row <= row_count(table); row++) {
        for (size_t column = 0; column < column_count(table); column++) {
            if (tn_table_is_hidden(table, column))
                continue;
            cell_text(cell, table, row, column);
            put(out, "| ");
            put_markdown(out, cell);
            put(out, " ");
        }
        put(out, "|\n");
        for (size_t column = 0; row == 0 && column < column_count(table); column++)
            if (!tn_table_is_hidden(table, column))
                put(out, is_text(table, column) ? "|---" : "|---:");
        if (row == 0)
            put(out, "|\n");
    }
    put_notes(out, table, "\n", put_markdown);
    put(out, "\n");
}

/* True if a spreadsheet would read a text as a formula: it starts like one, and is not a number. Full-width signs
 * count, too. Source: OWASP, CSV injection. */
static bool is_formula(const char *string)
{
    static const char *const wide[] = { "\xEF\xBC\x9D", "\xEF\xBC\x8B", "\xEF\xBC\x8D", "\xEF\xBC\xA0" };
    char *end;
    if (string[0] == '\0')
        return false;
    for (size_t i = 0; i < sizeof wide / sizeof *wide; i++)
        if (strncmp(string, wide[i], 3) == 0)
            return true;
    if (strchr("=+-@\t\r\n", string[0]) == NULL)
        return false;
    (void)strtod(string, &end);
    return *end != '\0' || end == string || strpbrk(string, "xXnN") != NULL;
}

static void put_quoted(text *out, const char *string)
{
    bool formula = is_formula(string);
    if (!formula && strpbrk(string, ",\"\n\r") == NULL) {
        put(out, string);
        return;
    }
    put(out, formula ? "\"'" : "\"");
    put_escaped(out, string, "\"", "\"");
    put(out, "\"");
}

static void put_csv_number(text *out, const json_t *value)
{
    char cell[64] = "";
    if (json_is_number(value))
        snprintf(cell, sizeof cell, "%.10g", json_number_value(value));
    put(out, cell);
}

/* A share becomes three columns. */
static void put_csv_cell(text *out, const json_t *table, size_t row, size_t column)
{
    const char *name = column_text(table, column, "name");
    const json_t *value = row > 0 ? json_array_get(json_array_get(json_object_get(table, "rows"), row - 1), column) : NULL;
    bool share = strcmp(column_text(table, column, "kind"), "share") == 0;
    if (row == 0) {
        static const char *const ends[] = { "", " low", " high" };
        for (size_t i = 0; i < (share ? 3 : 1); i++) {
            char cell[TN_TABLE_CELL];
            snprintf(cell, sizeof cell, "%s%s", name, ends[i]);
            put(out, i > 0 ? "," : "");
            put_quoted(out, cell);
        }
    } else if (share) {
        put_csv_number(out, json_object_get(value, "value"));
        put(out, ",");
        put_csv_number(out, json_object_get(value, "low"));
        put(out, ",");
        put_csv_number(out, json_object_get(value, "high"));
    } else if (json_is_string(value)) {
        put_quoted(out, json_string_value(value));
    } else {
        put_csv_number(out, value);
    }
}

static void write_csv(text *out, const json_t *table)
{
    if (out->length > 0)
        put(out, "\n");
    for (size_t row = 0; row <= row_count(table); row++) {
        put_quoted(out, row == 0 ? "table" : json_string_value(json_object_get(table, "name")));
        for (size_t column = 0; column < column_count(table); column++) {
            put(out, ",");
            put_csv_cell(out, table, row, column);
        }
        put(out, "\n");
    }
}

static void put_latex(text *out, const char *string)
{
    for (; *string != '\0'; string++) {
        if (strchr("&%$#_{}", *string) != NULL)
            put(out, "\\");
        if (*string == '\\')
            put(out, "\\textbackslash{}");
        else if (*string == '~' || *string == '^')
            put(out, *string == '~' ? "\\textasciitilde{}" : "\\textasciicircum{}");
        else
            put_bytes(out, string, 1);
    }
}

static void write_latex(text *out, const json_t *table)
{
    char cell[TN_TABLE_CELL];
    put(out, "\\begin{table}\n\\caption{");
    put_latex(out, json_string_value(json_object_get(table, "title")));
    put(out, "}\n\\begin{tabular}{");
    for (size_t column = 0; column < column_count(table); column++)
        if (!tn_table_is_hidden(table, column))
            put(out, is_text(table, column) ? "l" : "r");
    put(out, "}\n\\hline\n");
    for (size_t row = 0; row <= row_count(table); row++) {
        bool first = true;
        for (size_t column = 0; column < column_count(table); column++) {
            if (tn_table_is_hidden(table, column))
                continue;
            cell_text(cell, table, row, column);
            put(out, first ? "" : " & ");
            put_latex(out, cell);
            first = false;
        }
        put(out, row == 0 ? " \\\\\n\\hline\n" : " \\\\\n");
    }
    put(out, "\\hline\n\\end{tabular}\n");
    put_notes(out, table, "\n", put_latex);
    put(out, "\\end{table}\n\n");
}

tenebra_code tn_table_write(char **written, const json_t *report, tn_table_form form, const char *only, tenebra_error *error)
{
    static void (*const writers[])(text *, const json_t *) = {
        [TN_TABLE_TEXT] = write_text, [TN_TABLE_MARKDOWN] = write_markdown, [TN_TABLE_CSV] = write_csv,
        [TN_TABLE_LATEX] = write_latex,
    };
    const json_t *tables = json_object_get(report, "tables");
    text out = { 0 };
    put(&out, "");
    bool found = only == NULL;
    for (size_t i = 0; i < json_array_size(tables); i++) {
        const json_t *table = json_array_get(tables, i);
        if (only != NULL && strcmp(only, json_string_value(json_object_get(table, "name"))) != 0)
            continue;
        found = true;
        writers[form](&out, table);
    }
    *written = found && !out.full ? out.bytes : NULL;
    if (*written != NULL)
        return TENEBRA_OK;
    free(out.bytes);
    return found ? tn_fail(error, TENEBRA_ERROR_MEMORY, "eval table", "no memory")
                 : tn_fail(error, TENEBRA_ERROR_ARGUMENT, "table", "these results make no table '%.100s'", only);
}
