/* Charts with one row per method: intervals, distributions, sums of parts. */
#include "report/chart.h"

#include <math.h>
#include <stdio.h>

/* The name of a row is above its drawing; values are at the right. */
enum { TOP = 6, ROW = 38, NAME_AT = 12, BAR_AT = 23, LEFT = 6, RIGHT = 292, NUMBER_AT = 354, NAME_CHARACTERS = 54, NARROW = 5 };

static double bottom_of(size_t count)
{
    return TOP + (double)count * ROW;
}

static void widen(double value, double *low, double *high)
{
    if (isfinite(value)) {
        *low = isfinite(*low) ? fmin(*low, value) : value;
        *high = isfinite(*high) ? fmax(*high, value) : value;
    }
}

static void number_text(char text[32], double value)
{
    double size = fabs(value);
    snprintf(text, 32, size >= 100 ? "%.0f" : size >= 10 ? "%.1f" : size >= 1 ? "%.2f" : "%.3f", value);
}

void tn_chart_intervals(tn_markup *out, const tn_chart_head *head, const tn_chart_row *rows, size_t count, double reference,
                        const char *reference_name)
{
    double low = (double)NAN, high = (double)NAN, bottom = bottom_of(count);
    widen(reference, &low, &high);
    for (size_t i = 0; i < count; i++) {
        widen(rows[i].value, &low, &high);
        widen(rows[i].low, &low, &high);
        widen(rows[i].high, &low, &high);
    }
    tn_axis axis = tn_axis_make(low, high, 5, 0, 100);
    axis.from = LEFT + 4;
    axis.to = RIGHT;
    tn_chart_open(out, head, bottom + (isfinite(reference) ? 34 : 20));
    tn_axis_draw_x(out, &axis, TOP, bottom);
    if (isfinite(reference)) {
        double x = tn_axis_at(&axis, reference);
        tn_markup_format(out, "<path class=\"reference\" d=\"M%.1f %dV%.1f\"/><text class=\"tick %s\" x=\"%.1f\" y=\"%.1f\">", x, TOP,
                         bottom, x < 60 ? "start" : "mid", x < 60 ? x - 4 : x, bottom + 28);
        tn_markup_text(out, reference_name);
        tn_markup_put(out, "</text>\n");
    }
    for (size_t i = 0; i < count; i++) {
        const tn_chart_row *row = &rows[i];
        double y = TOP + (double)i * ROW + BAR_AT;
        tn_chart_label(out, "name", LEFT, y - BAR_AT + NAME_AT, row->name, NAME_CHARACTERS);
        if (!isfinite(row->value))
            continue;
        if (isfinite(row->low) && isfinite(row->high))
            tn_markup_format(out, "<path class=\"whisker %s\" d=\"M%.1f %.1fH%.1f\"/>", row->style, tn_axis_at(&axis, row->low), y,
                             tn_axis_at(&axis, row->high));
        tn_chart_mark(out, row->style, tn_axis_at(&axis, row->value), y);
        tn_markup_format(out, "<text class=\"number end\" x=\"%d\" y=\"%.1f\">%.1f %%</text>\n", NUMBER_AT, y + 4, row->value);
    }
    tn_chart_close(out, head);
}

static void draw_box(tn_markup *out, const tn_chart_row *row, const tn_axis *axis, double y)
{
    double at[5];
    for (size_t i = 0; i < 5; i++)
        at[i] = tn_axis_at(axis, row->five[i]);
    tn_markup_format(out, "<path class=\"whisker %s\" d=\"M%.1f %.1fH%.1fM%.1f %.1fH%.1f\"/>", row->style, at[0], y, at[1], at[3], y,
                     at[4]);
    if (at[3] - at[1] < NARROW) { /* a box that would be invisible */
        tn_markup_format(out, "<path class=\"tall %s\" d=\"M%.1f %.1fv11\"/>", row->style, at[2], y - 5.5);
        return;
    }
    tn_markup_format(out, "<rect class=\"box %s\" x=\"%.1f\" y=\"%.1f\" width=\"%.1f\" height=\"11\" rx=\"2\"/>", row->style, at[1],
                     y - 5.5, at[3] - at[1]);
    tn_markup_format(out, "<path class=\"median %s\" d=\"M%.1f %.1fv11\"/>", row->style, at[2], y - 5.5);
}

void tn_chart_boxes(tn_markup *out, const tn_chart_head *head, const tn_chart_row *rows, size_t count, const char *unit)
{
    double low = 0, high = 0, bottom = bottom_of(count);
    for (size_t i = 0; i < count; i++)
        widen(rows[i].five[4], &low, &high);
    tn_axis axis = tn_axis_make(low, high > 0 ? high : 1, 4, 0, (double)NAN);
    axis.from = LEFT + 4;
    axis.to = RIGHT;
    tn_chart_open(out, head, bottom + 20);
    tn_axis_draw_x(out, &axis, TOP, bottom);
    for (size_t i = 0; i < count; i++) {
        char text[32];
        double y = TOP + (double)i * ROW + BAR_AT;
        tn_chart_label(out, "name", LEFT, y - BAR_AT + NAME_AT, rows[i].name, NAME_CHARACTERS);
        if (!isfinite(rows[i].five[2]))
            continue;
        draw_box(out, &rows[i], &axis, y);
        number_text(text, rows[i].five[2]);
        tn_markup_format(out, "<text class=\"number end\" x=\"%d\" y=\"%.1f\">%s%s</text>\n", NUMBER_AT, y + 4, text, unit);
    }
    tn_chart_close(out, head);
}

/* Names of the parts, with their colours, above the rows. */
static void draw_key(tn_markup *out, const char *const names[TN_CHART_PARTS])
{
    tn_markup_put(out, "<ul class=\"key\">");
    for (size_t p = 0; p < TN_CHART_PARTS; p++) {
        tn_markup_format(out, "<li><svg viewBox=\"0 0 12 12\" aria-hidden=\"true\"><rect class=\"part p%zu\" width=\"12\" height=\"12\""
                         " rx=\"2\"/></svg> ", p);
        tn_markup_text(out, names[p]);
        tn_markup_put(out, "</li>");
    }
    tn_markup_put(out, "</ul>\n");
}

void tn_chart_stacks(tn_markup *out, const tn_chart_head *head, const tn_chart_row *rows, size_t count,
                     const char *const names[TN_CHART_PARTS], const char *unit)
{
    double high = 0, bottom = bottom_of(count);
    for (size_t i = 0; i < count; i++)
        high = fmax(high, rows[i].value);
    tn_axis axis = tn_axis_make(0, high > 0 ? high : 1, 4, 0, (double)NAN);
    axis.from = LEFT + 4;
    axis.to = RIGHT;
    tn_chart_open(out, head, bottom + 20);
    tn_axis_draw_x(out, &axis, TOP, bottom);
    for (size_t i = 0; i < count; i++) {
        char text[32];
        double y = TOP + (double)i * ROW + BAR_AT, sum = 0;
        tn_chart_label(out, "name", LEFT, y - BAR_AT + NAME_AT, rows[i].name, NAME_CHARACTERS);
        for (size_t p = 0; p < TN_CHART_PARTS; p++) {
            if (!(rows[i].parts[p] > 0))
                continue;
            double from = tn_axis_at(&axis, sum), to = tn_axis_at(&axis, sum += rows[i].parts[p]);
            tn_markup_format(out, "<rect class=\"part p%zu\" x=\"%.2f\" y=\"%.1f\" width=\"%.2f\" height=\"11\"/>", p, from, y - 5.5,
                             to - from);
        }
        if (!isfinite(rows[i].value))
            continue;
        number_text(text, rows[i].value);
        tn_markup_format(out, "<text class=\"number end\" x=\"%d\" y=\"%.1f\">%s%s</text>\n", NUMBER_AT, y + 4, text, unit);
    }
    tn_markup_put(out, "</svg>\n");
    draw_key(out, names);
    tn_markup_put(out, "</figure>\n");
}
