#include "report/chart.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

void tn_chart_open(tn_markup *out, const tn_chart_head *head, double height)
{
    tn_markup_put(out, "<figure class=\"chart\"><figcaption>");
    tn_markup_text(out, head->title);
    tn_markup_format(out, "</figcaption>\n<svg viewBox=\"0 0 360 %.0f\" role=\"img\" aria-label=\"", height);
    tn_markup_text(out, head->title);
    tn_markup_put(out, ". ");
    tn_markup_text(out, head->about);
    tn_markup_put(out, "\">\n");
}

void tn_chart_close(tn_markup *out, const tn_chart_head *head)
{
    tn_markup_put(out, "</svg>\n");
    if (head->note != NULL) {
        tn_markup_put(out, "<p class=\"note\">");
        tn_markup_text(out, head->note);
        tn_markup_put(out, "</p>\n");
    }
    tn_markup_put(out, "</figure>\n");
}

/* ----------------------------------------------------------------- axes -- */

/* 1, 2 or 5 times a power of ten, at least `rough`. */
static double round_step(double rough)
{
    double power = pow(10, floor(log10(rough))), rest = rough / power;
    return power * (rest <= 1 ? 1 : rest <= 2 ? 2 : rest <= 5 ? 5 : 10);
}

tn_axis tn_axis_make(double low, double high, int ticks, double floor_low, double ceiling)
{
    if (!(isfinite(low) && isfinite(high)))
        low = high = 0;
    if (!(high - low > 1e-9 * fabs(high))) {
        double room = high != 0 ? 0.5 * fabs(high) : 1;
        low -= room;
        high += room;
    }
    low = fmax(low, isfinite(floor_low) ? floor_low : low);
    high = fmin(high, isfinite(ceiling) ? ceiling : high);
    if (!(high > low))
        high = low + 1;
    double step = round_step((high - low) / ticks);
    tn_axis axis = { .low = step * floor(low / step + 1e-9), .high = step * ceil(high / step - 1e-9), .step = step };
    axis.decimals = step < 1 ? (int)fmin(9, ceil(-log10(step) - 1e-9)) : 0;
    return axis;
}

double tn_axis_at(const tn_axis *axis, double value)
{
    double inside = fmin(fmax(value, axis->low), axis->high);
    return axis->from + (axis->to - axis->from) * (inside - axis->low) / (axis->high - axis->low);
}

/* The ticks of an axis, one by one; false after the last. */
static bool next_tick(const tn_axis *axis, int number, double *value, char label[32])
{
    *value = axis->low + number * axis->step;
    if (number > 100 || *value > axis->high + axis->step / 1e3)
        return false;
    double shown = fabs(*value) < axis->step / 1e3 ? 0 : *value;
    snprintf(label, 32, "%.*f", axis->decimals, shown);
    return true;
}

void tn_axis_draw_x(tn_markup *out, const tn_axis *axis, double top, double bottom)
{
    char label[32];
    double value;
    for (int i = 0; next_tick(axis, i, &value, label); i++) {
        double x = tn_axis_at(axis, value);
        tn_markup_format(out, "<path class=\"grid\" d=\"M%.1f %.1fV%.1f\"/><text class=\"tick mid\" x=\"%.1f\" y=\"%.1f\">%s</text>\n", x,
                         top, bottom, x, bottom + 14, label);
    }
}

void tn_axis_draw_y(tn_markup *out, const tn_axis *axis, double left, double right)
{
    char label[32];
    double value;
    for (int i = 0; next_tick(axis, i, &value, label); i++) {
        double y = tn_axis_at(axis, value);
        tn_markup_format(out, "<path class=\"grid\" d=\"M%.1f %.1fH%.1f\"/><text class=\"tick end\" x=\"%.1f\" y=\"%.1f\">%s</text>\n",
                         left, y, right, left - 6, y + 3.5, label);
    }
}

/* ---------------------------------------------------------------- marks -- */

void tn_chart_mark(tn_markup *out, const char *style, double x, double y)
{
    static const char *const shapes[] = {
        "m-4.2 0a4.2 4.2 0 1 0 8.4 0a4.2 4.2 0 1 0-8.4 0z", /* circle   */
        "m-3.8-3.8h7.6v7.6h-7.6z",                          /* square   */
        "m0-5.2l5.2 5.2l-5.2 5.2l-5.2-5.2z",                /* diamond  */
        "m0-4.9l4.9 8.6h-9.8z",                             /* triangle */
    };
    size_t number = style[0] != '\0' && style[1] >= '0' && style[1] <= '9' ? (size_t)(style[1] - '0') : 0;
    tn_markup_format(out, "<path class=\"mark %s\" d=\"M%.1f %.1f%s\"/>", style, x, y, shapes[number % 4]);
}

/* Bytes of the first `most` code points; all if there are no more. */
static size_t cut_at(const char *text, size_t most)
{
    size_t at = 0, seen = 0, length = strlen(text);
    while (at < length && seen < most) {
        int32_t code_point;
        at += tn_utf8_read(text + at, length - at, &code_point);
        seen++;
    }
    return at;
}

void tn_chart_label(tn_markup *out, const char *css, double x, double y, const char *text, size_t most)
{
    bool cut = text[cut_at(text, most)] != '\0';
    tn_markup_format(out, "<text class=\"%s\" x=\"%.1f\" y=\"%.1f\">", css, x, y);
    if (cut) {
        tn_markup_put(out, "<title>");
        tn_markup_text(out, text);
        tn_markup_put(out, "</title>");
    }
    tn_markup_text_bytes(out, text, cut_at(text, cut ? most - 1 : most));
    tn_markup_put(out, cut ? "\xE2\x80\xA6</text>\n" : "</text>\n");
}
