/* Progress on stderr: one line that is redrawn, and never wider than the terminal. */
#include "app/app.h"

#include "base/checked.h"
#include "base/clock.h"
#include "text/utf8.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

enum { BAR_MIN = 10, BAR_MAX = 30, LINE_SIZE = 2048, COLUMNS_MAX = 400, PIECE_GAP = 2 };

size_t tn_app_columns(void)
{
    struct winsize window;
    if (ioctl(STDERR_FILENO, TIOCGWINSZ, &window) == 0 && window.ws_col > 0)
        return tn_min(window.ws_col, COLUMNS_MAX);
    const char *columns = getenv("COLUMNS");
    long number = columns != NULL ? strtol(columns, NULL, 10) : 0;
    return number > 0 ? tn_min((size_t)number, COLUMNS_MAX) : 80;
}

char *tn_app_duration(char text[TN_DURATION_SIZE], double seconds)
{
    unsigned long whole = seconds > 0 && seconds < 1e9 ? (unsigned long)(seconds + 0.5) : 0;
    if (whole >= 3600)
        snprintf(text, TN_DURATION_SIZE, "%lu:%02lu:%02lu", whole / 3600, whole / 60 % 60, whole % 60);
    else
        snprintf(text, TN_DURATION_SIZE, "%lu:%02lu", whole / 60, whole % 60);
    return text;
}

/* ---------------------------------------------------------------- the line -- */

typedef struct line {
    char text[LINE_SIZE];
    size_t used, columns;
} line;

/* Appends at most `columns` characters of a text; "..." replaces the middle of a longer one. A character that is not
 * printable ASCII becomes '?', because its width on the terminal is not known. */
static void put(line *to, const char *text, size_t columns)
{
    enum { DOTS = 3 };
    size_t length = strlen(text), shown = tn_min(length, columns);
    bool cut = length > columns && columns > DOTS + 2;
    size_t head = cut ? (columns - DOTS + 1) / 2 : shown, tail = cut ? columns - DOTS - head : 0;
    for (size_t i = 0; i < shown && to->used + 1 < sizeof to->text; i++) {
        bool dot = cut && i >= head && i < head + DOTS;
        char c = dot ? '.' : cut && i >= head ? text[length - tail + (i - head - DOTS)] : text[i];
        to->text[to->used++] = c >= ' ' && c < 0x7F ? c : '?';
    }
    to->text[to->used] = '\0';
    to->columns += shown;
}

static void put_bar(line *to, size_t width, size_t done, size_t total)
{
    char bar[BAR_MAX + 1];
    size_t filled = total > 0 ? (size_t)((double)tn_min(done, total) / (double)total * (double)width) : 0;
    for (size_t i = 0; i < width; i++)
        bar[i] = i < filled ? '#' : '.';
    bar[width] = '\0';
    put(to, "[", 1);
    put(to, bar, width);
    put(to, "] ", 2);
}

/* Divides `room` columns among the parts of a line, by priority: count and time (already subtracted), the shortest bar,
 * the label, the pieces, a longer bar. */
typedef struct shares {
    size_t bar, label, pieces;
} shares;

static shares divide(const tn_progress *progress, size_t room)
{
    enum { FRAME = 3 };
    shares s = { 0 };
    size_t label = progress->label != NULL ? strlen(progress->label) : 0;
    if (room >= BAR_MIN + FRAME) {
        s.bar = BAR_MIN;
        room -= BAR_MIN + FRAME;
    }
    if (label > 0 && room > 4) {
        s.label = tn_min(label, room - 1);
        room -= s.label + 1;
    }
    while (s.pieces < progress->piece_count && strlen(progress->pieces[s.pieces]) + PIECE_GAP <= room)
        room -= strlen(progress->pieces[s.pieces++]) + PIECE_GAP;
    s.bar += s.bar > 0 ? tn_min(room, BAR_MAX - BAR_MIN) : 0;
    return s;
}

static void compose(line *to, const tn_progress *progress, size_t columns)
{
    char count[64], time[TN_DURATION_SIZE + 16] = "", duration[TN_DURATION_SIZE];
    snprintf(count, sizeof count, "%zu/%zu", progress->done, progress->total);
    if (progress->seconds_left >= 0)
        snprintf(time, sizeof time, "  %s to go", tn_app_duration(duration, progress->seconds_left));
    size_t taken = strlen(count) + strlen(time);
    shares s = divide(progress, columns > taken ? columns - taken : 0);
    if (s.label > 0) {
        put(to, progress->label, s.label);
        put(to, " ", 1);
    }
    if (s.bar > 0)
        put_bar(to, s.bar, progress->done, progress->total);
    put(to, count, columns - to->columns);
    for (size_t i = 0; i < s.pieces; i++) {
        put(to, "  ", PIECE_GAP);
        put(to, progress->pieces[i], columns - to->columns);
    }
    if (strlen(time) <= columns - to->columns)
        put(to, time, columns - to->columns);
}

/* The last column stays empty, because some terminals move to the next line when it is written. */
void tn_app_draw_progress(const tn_progress *progress)
{
    line drawn = { .used = 0 };
    size_t columns = tn_app_columns();
    compose(&drawn, progress, columns > 1 ? columns - 1 : 1);
    fprintf(stderr, "\r%s\033[K", drawn.text);
}

void tn_app_erase_progress(void)
{
    fputs("\r\033[K", stderr);
}

void tn_app_progress(const char *label, size_t done, size_t total, double started_ms)
{
    if (total == 0 || !isatty(STDERR_FILENO))
        return;
    double seconds = (tn_clock_ms() - started_ms) / 1e3;
    const tn_progress progress = { .label = label, .done = done, .total = total,
                                   .seconds_left = done > 0 ? seconds * (double)(total - done) / (double)done : -1 };
    tn_app_draw_progress(&progress);
    if (done == total)
        fputc('\n', stderr);
}

/* -------------------------------------------------------- signs of life -- */

void tn_app_show_loading(tn_waiting *waiting, const char *directory)
{
    line drawn = { .used = 0 };
    if (!isatty(STDERR_FILENO))
        return;
    size_t columns = tn_app_columns() - 1;
    put(&drawn, "loading ", columns);
    put(&drawn, directory, columns - drawn.columns);
    fprintf(stderr, "\r%s\033[K", drawn.text);
    waiting->shown = true;
}

void tn_app_show_work(tn_waiting *waiting, const tenebra_event *event)
{
    enum { QUIET_MS = 400, DRAW_MS = 100 };
    double now = tn_clock_ms();
    if (event->index == 0 || waiting->work != event->text)
        waiting->started = now;
    waiting->work = event->text;
    double spent = now - waiting->started;
    if (!isatty(STDERR_FILENO) || spent < QUIET_MS || now - waiting->drawn < DRAW_MS)
        return;
    const tn_progress progress = { .label = event->text, .done = event->index, .total = event->count,
                                   .seconds_left = spent / 1e3 * (double)(event->count - event->index) / (double)event->index };
    tn_app_draw_progress(&progress);
    waiting->shown = true;
    waiting->drawn = now;
}

void tn_app_end_waiting(tn_waiting *waiting)
{
    if (waiting->shown)
        tn_app_erase_progress();
    waiting->shown = false;
}
