/* Makes log.csv and curves.html from the lines of the log. */
#include "base/checked.h"
#include "base/file.h"
#include "base/output.h"
#include "train/log.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { LOG_MAX = 1 << 30, WIDTH = 720, HEIGHT = 220, LEFT = 64, RIGHT = 12, TOP = 28, BOTTOM = 26, POINTS = 600 };

/* Columns of the table; the members of a line distinguish updates and validations. */
static const char *const columns[] = { "update", "epoch", "stage", "loss", "lr", "grad_norm", "token_accuracy", "labels",
                                       "tokens", "tokens_per_second", "mfu", "validation_accuracy", "validation_count" };
/* Further numbers of a line, such as losses of the method by name, are columns after these. */
enum { COLUMNS = sizeof columns / sizeof *columns, FURTHER = 8, NAME_SIZE = 40 };
enum { UPDATE = 0, STAGE = 2, LOSS = 3, LR = 4, NORM = 5, TOKENS = 6, VALIDATION = 11 };

typedef struct log_row {
    double values[COLUMNS + FURTHER]; /* NaN: missing in the line */
} log_row;

typedef struct log_table {
    log_row *rows;
    size_t count;
    char further[FURTHER][NAME_SIZE];
    size_t further_count;
} log_table;

static const char *column_name(const log_table *table, size_t column)
{
    return column < COLUMNS ? columns[column] : table->further[column - COLUMNS];
}

/* The column of a member; SIZE_MAX: there is no room for another one. A name with other characters than words have is none of ours. */
static size_t column_of(log_table *table, const char *name)
{
    static const char letters[] = "abcdefghijklmnopqrstuvwxyz_";
    size_t count = COLUMNS + table->further_count;
    for (size_t i = 0; i < count; i++)
        if (strcmp(column_name(table, i), name) == 0)
            return i;
    if (table->further_count == FURTHER || strlen(name) >= NAME_SIZE || name[strspn(name, letters)] != '\0')
        return SIZE_MAX;
    strcpy(table->further[table->further_count++], name);
    return count;
}

static tenebra_code add_row(log_table *table, json_t *line, const char *path, tenebra_error *error)
{
    const char *name;
    json_t *value;
    TN_TRY(TN_GROW(table->rows, table->count, path, error));
    log_row *row = &table->rows[table->count++];
    for (size_t i = 0; i < COLUMNS + FURTHER; i++)
        row->values[i] = NAN;
    json_object_foreach(line, name, value) {
        size_t column = json_is_number(value) ? column_of(table, name) : SIZE_MAX;
        if (column != SIZE_MAX)
            row->values[column] = json_number_value(value);
    }
    return TENEBRA_OK;
}

static tenebra_code read_table(log_table *table, const char *path, tenebra_error *error)
{
    tn_file file;
    TN_TRY(tn_file_read(&file, path, LOG_MAX, error));
    tenebra_code code = TENEBRA_OK;
    const char *at = (const char *)file.data, *end = file.size > 0 ? at + file.size : at;
    while (code == TENEBRA_OK && at < end) {
        const char *newline = memchr(at, '\n', (size_t)(end - at));
        size_t size = newline != NULL ? (size_t)(newline - at) : (size_t)(end - at);
        json_t *line = json_loadb(at, size, 0, NULL);
        if (json_is_object(line))
            code = add_row(table, line, path, error);
        json_decref(line);
        at = newline != NULL ? newline + 1 : end;
    }
    tn_file_close(&file);
    return code;
}

static void print_table(FILE *out, const log_table *table)
{
    size_t count = COLUMNS + table->further_count;
    for (size_t i = 0; i < count; i++)
        fprintf(out, "%s%c", column_name(table, i), i + 1 < count ? ',' : '\n');
    for (size_t row = 0; row < table->count; row++) {
        for (size_t i = 0; i < count; i++) {
            if (!isnan(table->rows[row].values[i]))
                fprintf(out, "%.9g", table->rows[row].values[i]);
            fputc(i + 1 < count ? ',' : '\n', out);
        }
    }
}

/* --------------------------------------------------------------- panels -- */

typedef struct range {
    double low, high;
} range;

static range range_of(const log_table *table, size_t column)
{
    range r = { INFINITY, -INFINITY };
    for (size_t i = 0; i < table->count; i++) {
        double value = table->rows[i].values[column];
        if (isfinite(value)) {
            r.low = fmin(r.low, value);
            r.high = fmax(r.high, value);
        }
    }
    return r;
}

/* 1, 2 or 5 times a power of ten: about five of them make `span`. */
static double tick_step(double span)
{
    double raw = span / 5, power = pow(10, floor(log10(raw))), unit = raw / power;
    return power * (unit <= 1 ? 1 : unit <= 2 ? 2 : unit <= 5 ? 5 : 10);
}

static double x_of(double update, range x)
{
    return LEFT + (WIDTH - LEFT - RIGHT) * (x.high > x.low ? (update - x.low) / (x.high - x.low) : 0.5);
}

static double y_of(double value, range y)
{
    return HEIGHT - BOTTOM - (HEIGHT - TOP - BOTTOM) * (value - y.low) / (y.high - y.low);
}

static void print_axes(FILE *out, range x, range y)
{
    double step = tick_step(y.high - y.low), first = ceil(y.low / step);
    for (int i = 0; (first + i) * step <= y.high + step * 1e-9; i++) {
        double tick = (first + i) * step, at = y_of(tick, y);
        fprintf(out, "<line class=\"grid\" x1=\"%d\" x2=\"%d\" y1=\"%.1f\" y2=\"%.1f\"/><text x=\"%d\" y=\"%.1f\" "
                "text-anchor=\"end\">%.4g</text>\n", LEFT, WIDTH - RIGHT, at, at, LEFT - 6, at + 4,
                fabs(tick) < step * 1e-6 ? 0 : tick);
    }
    step = fmax(1, tick_step(fmax(1, x.high - x.low)));
    first = ceil(x.low / step);
    for (int i = 0; (first + i) * step <= x.high + step * 1e-9; i++)
        fprintf(out, "<text x=\"%.1f\" y=\"%d\" text-anchor=\"middle\">%.10g</text>\n", x_of((first + i) * step, x), HEIGHT - 8,
                (first + i) * step);
}

/* Draws the start of a stage. */
static void print_stages(FILE *out, const log_table *table, range x)
{
    double stage = NAN;
    for (size_t i = 0; i < table->count; i++) {
        double here = table->rows[i].values[STAGE];
        if (isnan(here) || here == stage)
            continue;
        double at = x_of(table->rows[i].values[UPDATE], x);
        fprintf(out, "<line class=\"stage\" x1=\"%.1f\" x2=\"%.1f\" y1=\"%d\" y2=\"%d\"/><text class=\"stage\" x=\"%.1f\" "
                "y=\"%d\">stage %.0f</text>\n", at, at, TOP, HEIGHT - BOTTOM, at + 3, TOP + 11, here);
        stage = here;
    }
}

/* The means of at most POINTS runs of neighbours; if there are few values, they get marks. */
static void print_line(FILE *out, const log_table *table, size_t column, range x, range y, const char *class)
{
    size_t given = 0, seen = 0;
    for (size_t i = 0; i < table->count; i++)
        given += isfinite(table->rows[i].values[column]);
    size_t run = tn_max(1, tn_pieces(given, POINTS));
    double sum = 0, place = 0;
    fprintf(out, "<polyline class=\"%s\" points=\"", class);
    for (size_t i = 0; i < table->count; i++) {
        const double *values = table->rows[i].values;
        if (!isfinite(values[column]) || !isfinite(values[UPDATE]))
            continue;
        sum += values[column];
        place += values[UPDATE];
        if (++seen % run == 0 || seen == given) {
            double size = (double)((seen - 1) % run + 1);
            fprintf(out, "%.1f,%.1f ", x_of(place / size, x), y_of(sum / size, y));
            sum = place = 0;
        }
    }
    fprintf(out, "\"/>\n");
    for (size_t i = 0; i < table->count && given <= 60; i++) {
        const double *values = table->rows[i].values;
        if (isfinite(values[column]) && isfinite(values[UPDATE]))
            fprintf(out, "<circle class=\"%s\" cx=\"%.1f\" cy=\"%.1f\" r=\"2.5\"><title>%.0f: %.6g</title></circle>\n", class,
                    x_of(values[UPDATE], x), y_of(values[column], y), values[UPDATE], values[column]);
    }
}

static void print_panel(FILE *out, const log_table *table, const char *title, size_t column, size_t second, const range *fixed)
{
    range x = range_of(table, UPDATE), y = fixed != NULL ? *fixed : range_of(table, column);
    if (!(x.high >= x.low) || !(y.high >= y.low))
        return;
    if (y.high - y.low < 1e-12 * fmax(1, fabs(y.high))) {
        double around = fmax(fabs(y.high) * 0.1, 1e-12);
        y = (range){ y.low - around, y.high + around };
    }
    fprintf(out, "<svg viewBox=\"0 0 %d %d\" role=\"img\" aria-label=\"%s\">\n<text class=\"title\" x=\"%d\" y=\"16\">%s</text>\n",
            WIDTH, HEIGHT, title, LEFT, title);
    print_axes(out, x, y);
    print_stages(out, table, x);
    print_line(out, table, column, x, y, "first");
    if (second != 0)
        print_line(out, table, second, x, y, "second");
    fprintf(out, "</svg>\n");
}

static void print_escaped(FILE *out, const char *text)
{
    for (; *text != '\0'; text++) {
        switch (*text) {
        case '<': fputs("&lt;", out); break;
        case '>': fputs("&gt;", out); break;
        case '&': fputs("&amp;", out); break;
        case '"': fputs("&quot;", out); break;
        default: fputc(*text, out);
        }
    }
}

static void print_page(FILE *out, const log_table *table, const char *title)
{
    static const range share = { 0, 1 };
    fputs("<!doctype html>\n<html lang=\"en\"><head><meta charset=\"utf-8\"><meta name=\"viewport\" "
          "content=\"width=device-width\"><title>", out);
    print_escaped(out, title);
    fputs("</title><style>\n"
          ":root{color-scheme:light dark;--back:#fff;--ink:#1d2733;--soft:#66717d;--grid:#e3e7eb;--a:#1668b8;--b:#b8561a}\n"
          "@media(prefers-color-scheme:dark){:root{--back:#12171d;--ink:#dde4ea;--soft:#8b97a3;--grid:#2a323b;--a:#63aef2;"
          "--b:#f0a060}}\nbody{background:var(--back);color:var(--ink);font:14px/1.5 system-ui,sans-serif;max-width:760px;"
          "margin:24px auto;padding:0 12px}\n"
          "svg{width:100%;height:auto;margin:8px 0}text{fill:var(--soft);font-size:11px}.title{fill:var(--ink);font-size:13px}\n"
          ".grid{stroke:var(--grid)}line.stage{stroke:var(--soft);stroke-dasharray:3 3}\n"
          "polyline{fill:none;stroke-width:1.5}polyline.first{stroke:var(--a)}polyline.second{stroke:var(--b)}\n"
          "circle.first{fill:var(--a)}circle.second{fill:var(--b)}\n</style></head><body>\n<h1>", out);
    print_escaped(out, title);
    fputs("</h1>\n", out);
    print_panel(out, table, "loss: mean cross entropy of the labelled tokens", LOSS, 0, NULL);
    for (size_t i = 0; i < table->further_count; i++)
        print_panel(out, table, table->further[i], COLUMNS + i, 0, NULL);
    print_panel(out, table, "accuracy: labelled tokens (first choice), and validation answers (second line)", TOKENS,
                VALIDATION, &share);
    print_panel(out, table, "learning rate", LR, 0, NULL);
    print_panel(out, table, "gradient norm before clipping", NORM, 0, NULL);
    fputs("<p>All numbers are in log.csv and log.jsonl beside this page.</p>\n</body></html>\n", out);
}

/* ---------------------------------------------------------------- files -- */

static tenebra_code write_file(const char *directory, const char *name, const log_table *table, const char *title,
                               tenebra_error *error)
{
    char *bytes = NULL;
    size_t length = 0;
    FILE *out = open_memstream(&bytes, &length);
    tenebra_code code = TENEBRA_OK;
    if (out != NULL && title != NULL)
        print_page(out, table, title);
    else if (out != NULL)
        print_table(out, table);
    if (out == NULL || fclose(out) != 0)
        code = tn_fail(error, TENEBRA_ERROR_MEMORY, name, "no memory for its text");
    if (code == TENEBRA_OK)
        code = tn_output_put_in(directory, name, bytes, length, error);
    free(bytes);
    return code;
}

tenebra_code tn_curves_write(const char *path, const char *directory, const char *title, tenebra_error *error)
{
    log_table table = { 0 };
    tenebra_code code = read_table(&table, path, error);
    if (code == TENEBRA_OK)
        code = write_file(directory, "log.csv", &table, NULL, error);
    if (code == TENEBRA_OK)
        code = write_file(directory, "curves.html", &table, title, error);
    free(table.rows);
    return code;
}
