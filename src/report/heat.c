#include "report/heat.h"

#include "report/markup.h"

#include <math.h>
#include <stdlib.h>

bool tn_heat_mask_border(double *map, size_t rows, size_t columns)
{
    if (rows < 3 || columns < 3)
        return false;
    for (size_t y = 0; y < rows; y++)
        for (size_t x = 0; x < columns; x++)
            if (y == 0 || x == 0 || y + 1 == rows || x + 1 == columns)
                map[y * columns + x] = 0;
    return true;
}

/* The sum; NaN if a number is NaN or negative. */
static double sum_of(const double *map, size_t count)
{
    double sum = 0;
    for (size_t i = 0; i < count; i++) {
        if (!(map[i] >= 0 && isfinite(map[i])))
            return (double)NAN;
        sum += map[i];
    }
    return sum;
}

bool tn_heat_relative(double *out, const double *raw, const double *neutral, size_t count)
{
    double all = sum_of(raw, count), base = sum_of(neutral, count);
    if (!(all > 0 && base > 0))
        return false;
    for (size_t i = 0; i < count; i++)
        out[i] = raw[i] / all / fmax(neutral[i] / base, 1e-3 / (double)count);
    return true;
}

json_t *tn_heat_json(const double *map, size_t count)
{
    double largest = 0;
    for (size_t i = 0; i < count; i++)
        largest = isfinite(map[i]) && map[i] > largest ? map[i] : largest;
    if (!(largest > 0))
        return json_null();
    unsigned char *cells = calloc(count, 1);
    tn_markup text = { 0 };
    json_t *result = NULL;
    if (cells != NULL) {
        for (size_t i = 0; i < count; i++)
            cells[i] = map[i] > 0 && isfinite(map[i]) ? (unsigned char)lround(255 * map[i] / largest) : 0;
        tn_markup_base64(&text, cells, count);
        if (!text.full)
            result = json_pack("[f, s]", largest, text.text.data);
    }
    tn_markup_free(&text);
    free(cells);
    return result;
}
