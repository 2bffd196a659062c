/* Charts over two axes: lines of several series, and points with names. */
#include "report/chart.h"

#include <math.h>
#include <stdlib.h>

/* The minimum range of an axis of lines, as a share of its middle value. */
#define LEAST_SPAN 0.05

enum { TOP = 10, HEIGHT = 190, LEFT = 38, RIGHT = 350, BELOW = 36, NAMES_MAX = 64, NAME_CHARACTERS = 24 };

static void widen(double value, double *low, double *high)
{
    if (isfinite(value)) {
        *low = isfinite(*low) ? fmin(*low, value) : value;
        *high = isfinite(*high) ? fmax(*high, value) : value;
    }
}

static void bounds(const tn_chart_series *series, size_t count, double x[2], double y[2])
{
    x[0] = x[1] = y[0] = y[1] = (double)NAN;
    for (size_t s = 0; s < count; s++)
        for (size_t i = 0; i < series[s].count; i++) {
            const tn_chart_point *point = &series[s].points[i];
            if (!isfinite(point->x) || !isfinite(point->y))
                continue;
            widen(point->x, &x[0], &x[1]);
            widen(point->y, &y[0], &y[1]);
            widen(point->low, &y[0], &y[1]);
            widen(point->high, &y[0], &y[1]);
        }
}

/* Series with intervals are drawn slightly apart, so that the intervals do not overlap. */
static bool has_intervals(const tn_chart_series *series, size_t count)
{
    for (size_t s = 0; s < count; s++)
        for (size_t i = 0; i < series[s].count; i++)
            if (isfinite(series[s].points[i].low))
                return true;
    return false;
}

static void draw_x_name(tn_markup *out, const char *name)
{
    tn_markup_format(out, "<text class=\"tick mid\" x=\"%.1f\" y=\"%d\">", (LEFT + RIGHT) / 2.0, HEIGHT + 30);
    tn_markup_text(out, name);
    tn_markup_put(out, "</text>\n");
}

/* ---------------------------------------------------------------- lines -- */

/* The distinct integers among the x of all series, sorted. They are drawn at equal distances, because 1, 8, 32, 64 is a
 * list of choices and not a measure. The caller frees it. */
static double *collect_places(const tn_chart_series *series, size_t count, size_t *places)
{
    size_t most = 1;
    for (size_t s = 0; s < count; s++)
        most += series[s].count;
    double *values = malloc(most * sizeof *values);
    *places = 0;
    for (size_t s = 0; s < count && values != NULL; s++)
        for (size_t i = 0; i < series[s].count; i++) {
            double x = series[s].points[i].x;
            size_t at = 0;
            while (at < *places && values[at] < x)
                at++;
            if (!isfinite(x) || (at < *places && values[at] == x))
                continue;
            for (size_t k = *places; k > at; k--)
                values[k] = values[k - 1];
            values[at] = x;
            ++*places;
        }
    return values;
}

static double place_of(const double *values, size_t places, double x)
{
    size_t at = 0;
    while (at + 1 < places && values[at] < x)
        at++;
    return LEFT + (RIGHT - LEFT) * ((double)at + 0.5) / (double)places;
}

static void draw_series(tn_markup *out, const tn_chart_series *series, const tn_axis *axis, const double *values, size_t places,
                        double aside)
{
    bool begun = false;
    tn_markup_format(out, "<path class=\"line %s\" d=\"", series->style);
    for (size_t i = 0; i < series->count; i++) {
        const tn_chart_point *point = &series->points[i];
        if (!isfinite(point->y))
            continue;
        tn_markup_format(out, "%c%.1f %.1f", begun ? 'L' : 'M', place_of(values, places, point->x) + aside, tn_axis_at(axis, point->y));
        begun = true;
    }
    tn_markup_put(out, "\"/>");
    for (size_t i = 0; i < series->count; i++) {
        const tn_chart_point *point = &series->points[i];
        double x = place_of(values, places, point->x) + aside;
        if (!isfinite(point->y))
            continue;
        if (isfinite(point->low) && isfinite(point->high))
            tn_markup_format(out, "<path class=\"thin %s\" d=\"M%.1f %.1fV%.1f\"/>", series->style, x, tn_axis_at(axis, point->low),
                             tn_axis_at(axis, point->high));
        tn_chart_mark(out, series->style, x, tn_axis_at(axis, point->y));
    }
    tn_markup_put(out, "\n");
}

static void draw_key(tn_markup *out, const tn_chart_series *series, size_t count)
{
    tn_markup_put(out, "<ul class=\"key\">");
    for (size_t s = 0; s < count; s++) {
        tn_markup_put(out, "<li><svg viewBox=\"0 0 12 12\" aria-hidden=\"true\">");
        tn_chart_mark(out, series[s].style, 6, 6);
        tn_markup_put(out, "</svg> ");
        tn_markup_text(out, series[s].name);
        tn_markup_put(out, "</li>");
    }
    tn_markup_put(out, "</ul>\n");
}

void tn_chart_lines(tn_markup *out, const tn_chart_head *head, const tn_chart_series *series, size_t count, const char *x_name,
                    double ceiling)
{
    double x[2], y[2];
    size_t places;
    double *values = collect_places(series, count, &places);
    if (values == NULL) {
        out->full = true;
        return;
    }
    bounds(series, count, x, y);
    double middle = (y[0] + y[1]) / 2, least = LEAST_SPAN * fabs(middle); /* keeps differences in the third digit from
                                                                           * filling the chart */
    if (y[1] - y[0] < least) {
        y[0] = middle - least / 2;
        y[1] = middle + least / 2;
    }
    tn_axis axis = tn_axis_make(y[0], y[1], 5, y[0] >= 0 ? 0 : (double)NAN, ceiling);
    axis.from = HEIGHT;
    axis.to = TOP;
    tn_chart_open(out, head, HEIGHT + BELOW);
    tn_axis_draw_y(out, &axis, LEFT, RIGHT);
    for (size_t i = 0; i < places; i++)
        tn_markup_format(out, "<text class=\"tick mid\" x=\"%.1f\" y=\"%d\">%g</text>", place_of(values, places, values[i]), HEIGHT + 15,
                         values[i]);
    draw_x_name(out, x_name);
    double room = has_intervals(series, count) ? fmin(0.5 * (RIGHT - LEFT) / (double)places, 9 * (double)count) : 0;
    for (size_t s = 0; s < count; s++)
        draw_series(out, &series[s], &axis, values, places, count > 1 ? room * ((double)s / (double)(count - 1) - 0.5) : 0);
    tn_markup_put(out, "</svg>\n");
    draw_key(out, series, count);
    if (head->note != NULL) {
        tn_markup_put(out, "<p class=\"note\">");
        tn_markup_text(out, head->note);
        tn_markup_put(out, "</p>\n");
    }
    tn_markup_put(out, "</figure>\n");
    free(values);
}

/* -------------------------------------------------------------- scatter -- */

typedef struct label {
    double x, y; /* of the point */
    double at;   /* of the text  */
    const tn_chart_series *series;
} label;

static int compare_labels(const void *a, const void *b)
{
    const label *first = a, *second = b;
    return first->y < second->y ? -1 : first->y > second->y;
}

/* Moves overlapping texts apart, downwards, then back up from the end. */
static void spread_labels(label *labels, size_t count)
{
    enum { LINE = 13 };
    qsort(labels, count, sizeof *labels, compare_labels);
    for (size_t i = 0; i < count; i++)
        labels[i].at = i > 0 ? fmax(labels[i].y, labels[i - 1].at + LINE) : fmax(labels[i].y, TOP);
    for (size_t i = count; i-- > 0;)
        labels[i].at = fmin(labels[i].at, i + 1 < count ? labels[i + 1].at - LINE : HEIGHT);
}

static void draw_point(tn_markup *out, const label *here, const tn_axis *y)
{
    const tn_chart_point *point = &here->series->points[0];
    bool left = here->x > (LEFT + RIGHT) / 2.0;
    if (isfinite(point->low) && isfinite(point->high))
        tn_markup_format(out, "<path class=\"thin %s\" d=\"M%.1f %.1fV%.1f\"/>", here->series->style, here->x, tn_axis_at(y, point->low),
                         tn_axis_at(y, point->high));
    tn_chart_mark(out, here->series->style, here->x, here->y);
    tn_chart_label(out, left ? "name end" : "name", here->x + (left ? -9 : 9), here->at + 4, here->series->name, NAME_CHARACTERS);
}

void tn_chart_scatter(tn_markup *out, const tn_chart_head *head, const tn_chart_series *series, size_t count, const char *x_name)
{
    double x[2], y[2];
    label labels[NAMES_MAX] = { 0 };
    size_t found = 0;
    bounds(series, count, x, y);
    tn_axis across = tn_axis_make(0, x[1], 5, 0, (double)NAN), up = tn_axis_make(y[0], y[1], 5, 0, 100);
    across.from = LEFT;
    across.to = RIGHT;
    up.from = HEIGHT;
    up.to = TOP;
    tn_chart_open(out, head, HEIGHT + BELOW);
    tn_axis_draw_y(out, &up, LEFT, RIGHT);
    tn_axis_draw_x(out, &across, HEIGHT, HEIGHT + 1);
    draw_x_name(out, x_name);
    for (size_t s = 0; s < count && found < NAMES_MAX; s++) {
        const tn_chart_point *point = series[s].points;
        if (series[s].count > 0 && isfinite(point->x) && isfinite(point->y))
            labels[found++] = (label){ tn_axis_at(&across, point->x), tn_axis_at(&up, point->y), 0, &series[s] };
    }
    spread_labels(labels, found);
    for (size_t i = 0; i < found; i++)
        draw_point(out, &labels[i], &up);
    tn_chart_close(out, head);
}
