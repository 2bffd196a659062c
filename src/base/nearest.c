#include "base/nearest.h"

#include "base/checked.h"

#include <ctype.h>
#include <stdio.h>
#include <string.h>

static char plain(char c)
{
    return c == '_' ? '-' : (char)tolower((unsigned char)c);
}

tn_nearest tn_nearest_of(const char *word, size_t length)
{
    tn_nearest nearest = { .distance = 0 };
    if (length > TN_NEAREST_LONGEST)
        return nearest;
    memcpy(nearest.word, word, length);
    nearest.distance = (length + 2) / 3 + 1;
    return nearest;
}

/* Optimal string alignment: the last three rows of the table of distances between prefixes of a and of b. */
static size_t distance_between(const char *a, size_t m, const char *b, size_t n)
{
    size_t rows[3][TN_NEAREST_LONGEST + 1];
    for (size_t j = 0; j <= n; j++)
        rows[0][j] = j;
    for (size_t i = 1; i <= m; i++) {
        size_t *row = rows[i % 3], *above = rows[(i + 2) % 3], *second = rows[(i + 1) % 3];
        row[0] = i;
        for (size_t j = 1; j <= n; j++) {
            char x = plain(a[i - 1]), y = plain(b[j - 1]);
            row[j] = tn_min(above[j - 1] + (x != y), tn_min(above[j], row[j - 1]) + 1);
            if (i > 1 && j > 1 && x == plain(b[j - 2]) && plain(a[i - 2]) == y)
                row[j] = tn_min(row[j], second[j - 2] + 1);
        }
    }
    return rows[m % 3][n];
}

static void compare(tn_nearest *nearest, const char *name, size_t length)
{
    size_t word = strlen(nearest->word);
    if (word == 0 || length == 0 || length > TN_NEAREST_LONGEST)
        return;
    size_t distance = distance_between(nearest->word, word, name, length);
    if (distance >= nearest->distance || distance >= tn_max(word, length)) /* nothing in common */
        return;
    nearest->distance = distance;
    memcpy(nearest->name, name, length);
    nearest->name[length] = '\0';
}

void tn_nearest_try(tn_nearest *nearest, const char *name)
{
    compare(nearest, name, strlen(name));
}

void tn_nearest_try_list(tn_nearest *nearest, const char *names, char separator)
{
    const char ends[] = { separator, '\0' };
    while (*names != '\0') {
        size_t length = strcspn(names, ends);
        compare(nearest, names, length);
        names += length + (names[length] != '\0');
    }
}

const char *tn_nearest_hint(tn_nearest *nearest)
{
    if (nearest->name[0] == '\0')
        return "";
    snprintf(nearest->hint, sizeof nearest->hint, "; did you mean '%s'?", nearest->name);
    return nearest->hint;
}
