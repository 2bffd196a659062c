/* Charts as SVG, drawn for a column of 360 units and scaled with it. Classes set colours and sizes in page.css: every
 * series has the style of its method ("a0".. with latent steps, "b0".. without), and marks distinguish them, too. Names
 * may be any text. Numbers that are not finite are left out. */
#ifndef TN_REPORT_CHART_H
#define TN_REPORT_CHART_H

#include "report/markup.h"

/* The frame of a chart. `about`: a description for readers who cannot see it. */
typedef struct tn_chart_head {
    const char *title, *note, *about;
} tn_chart_head;

/* Opens and closes <figure> with its title and note. */
void tn_chart_open(tn_markup *out, const tn_chart_head *head, double height);
void tn_chart_close(tn_markup *out, const tn_chart_head *head);

/* ----------------------------------------------------------------- axes -- */

typedef struct tn_axis {
    double low, high, step; /* of the numbers: high > low, ticks at low + n step */
    double from, to;        /* of the drawing                                    */
    int decimals;           /* of tick labels                                    */
} tn_axis;

/* An axis over low..high, widened to round ticks, about `ticks` of them, but not beyond `floor_low` and `ceiling` (NaN:
 * no limit). */
tn_axis tn_axis_make(double low, double high, int ticks, double floor_low, double ceiling);
double tn_axis_at(const tn_axis *axis, double value);

/* Vertical lines with labels at the bottom, for charts of rows; horizontal lines with labels at the left, for charts
 * over two axes. */
void tn_axis_draw_x(tn_markup *out, const tn_axis *axis, double top, double bottom);
void tn_axis_draw_y(tn_markup *out, const tn_axis *axis, double left, double right);

/* Draws the mark of a style at a point: circle, square, diamond, triangle, in turn. */
void tn_chart_mark(tn_markup *out, const char *style, double x, double y);

/* A text of at most `most` characters. A longer one is truncated with an ellipsis, and a <title> has the complete text. */
void tn_chart_label(tn_markup *out, const char *css, double x, double y, const char *text, size_t most);

/* ----------------------------------------------------------------- rows -- */

enum { TN_CHART_PARTS = 4 };

typedef struct tn_chart_row {
    const char *name, *style;
    double value, low, high;          /* intervals: low and high NaN: none         */
    double five[5];                   /* boxes: 5 %, 25 %, 50 %, 75 %, 95 %        */
    double parts[TN_CHART_PARTS];     /* stacks                                    */
} tn_chart_row;

/* Values with intervals; `reference` (NaN: none) is a separate line with a name. */
void tn_chart_intervals(tn_markup *out, const tn_chart_head *head, const tn_chart_row *rows, size_t count, double reference,
                        const char *reference_name);
/* Distributions; `unit` follows the median. */
void tn_chart_boxes(tn_markup *out, const tn_chart_head *head, const tn_chart_row *rows, size_t count, const char *unit);
/* Sums of parts with their names. */
void tn_chart_stacks(tn_markup *out, const tn_chart_head *head, const tn_chart_row *rows, size_t count,
                     const char *const names[TN_CHART_PARTS], const char *unit);

/* --------------------------------------------------------------- planes -- */

typedef struct tn_chart_point {
    double x, y, low, high; /* low NaN: no interval */
} tn_chart_point;

typedef struct tn_chart_series {
    const char *name, *style;
    tn_chart_point *points; /* [count], rising x */
    size_t count;
} tn_chart_series;

/* Lines over a few integers, with a list of the series below. */
void tn_chart_lines(tn_markup *out, const tn_chart_head *head, const tn_chart_series *series, size_t count, const char *x_name,
                    double ceiling);
/* Single points (the first of each series), with names beside them. */
void tn_chart_scatter(tn_markup *out, const tn_chart_head *head, const tn_chart_series *series, size_t count, const char *x_name);

#endif
