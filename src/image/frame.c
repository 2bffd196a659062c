#include "image/frame.h"

#include <stdlib.h>

/* A row or a column of pixels, or a part of one: pixel i is at start[i * stride]. */
typedef struct line {
    const unsigned char *start;
    size_t count, stride; /* bytes */
} line;

/* What a frame looks like: its colour, and how far a pixel of it may be off in any channel. */
typedef struct paint {
    int colour[TN_IMAGE_CHANNELS], tolerance;
} paint;

static int distance(const unsigned char *pixel, const int colour[TN_IMAGE_CHANNELS])
{
    int most = 0;
    for (size_t c = 0; c < TN_IMAGE_CHANNELS; c++) {
        int off = abs(pixel[c] - colour[c]);
        most = off > most ? off : most;
    }
    return most;
}

/* The mean of a line, and what noise there is about it. False for a line that has more than one colour. */
static bool read_paint(const line *edge, paint *found)
{
    enum { NOISE = 12, SLACK = 3 };
    uint64_t sum[TN_IMAGE_CHANNELS] = { 0 }, off = 0;
    for (size_t i = 0; i < edge->count; i++)
        for (size_t c = 0; c < TN_IMAGE_CHANNELS; c++)
            sum[c] += edge->start[i * edge->stride + c];
    for (size_t c = 0; c < TN_IMAGE_CHANNELS; c++)
        found->colour[c] = (int)((sum[c] + edge->count / 2) / edge->count);
    for (size_t i = 0; i < edge->count; i++)
        off += (uint64_t)distance(edge->start + i * edge->stride, found->colour);
    uint64_t noise = (off + edge->count / 2) / edge->count;
    found->tolerance = SLACK + 3 * (int)noise;
    return noise <= NOISE;
}

/* How many pixels of a line differ from the paint. */
static size_t count_others(const line *at, const paint *frame)
{
    size_t others = 0;
    for (size_t i = 0; i < at->count; i++)
        others += distance(at->start + i * at->stride, frame->colour) > frame->tolerance;
    return others;
}

enum { TOP, BOTTOM, LEFT, RIGHT, SIDES };

/* Line number `depth` from a side, as far as it is inside the region. */
static line line_of(const tn_image *image, const tn_region *inside, int side, size_t depth)
{
    bool row = side == TOP || side == BOTTOM;
    size_t far = side == BOTTOM ? image->height - 1 - depth : side == RIGHT ? image->width - 1 - depth : depth;
    size_t x = row ? inside->x : far, y = row ? far : inside->y;
    return (line){ image->pixels + TN_IMAGE_CHANNELS * (y * image->width + x), row ? inside->width : inside->height,
                   TN_IMAGE_CHANNELS * (row ? 1 : image->width) };
}

/* The region without `depth` lines of each side. */
static tn_region cut(const tn_image *image, const size_t depth[SIDES])
{
    return (tn_region){ depth[LEFT], depth[TOP], image->width - depth[LEFT] - depth[RIGHT],
                        image->height - depth[TOP] - depth[BOTTOM] };
}

/* As many lines from the side on as hold nothing but the paint of its first; all but a fiftieth of their pixels count. */
static size_t measure(const tn_image *image, const tn_region *inside, int side, paint *frame)
{
    size_t third = (side == TOP || side == BOTTOM ? image->height : image->width) / 3, depth = 0;
    line edge = line_of(image, inside, side, 0);
    if (!read_paint(&edge, frame))
        return 0;
    while (depth < third && 50 * count_others(&edge, frame) <= edge.count)
        edge = line_of(image, inside, side, ++depth);
    return depth < third ? depth : 0;
}

/* Whether a line begins something else: nine of ten pixels differ. */
static bool ends_frame(const line *at, const paint *frame)
{
    return 10 * count_others(at, frame) >= 9 * at->count;
}

tn_region tn_frame_inside(const tn_image *image)
{
    enum { LEAST = 2 };
    const tn_region whole = { 0, 0, image->width, image->height };
    size_t depth[SIDES];
    paint frames[SIDES];
    if (image->width < 8 || image->height < 8)
        return whole;
    for (int side = 0; side < SIDES; side++)
        depth[side] = measure(image, &whole, side, &frames[side]);
    const tn_region inside = cut(image, depth);
    for (int side = 0; side < SIDES; side++) { /* what follows, or the line after it where an edge is soft */
        line first = line_of(image, &inside, side, depth[side]), second = line_of(image, &inside, side, depth[side] + 1);
        if (depth[side] < LEAST)
            depth[side] = 0;
        else if (!ends_frame(&first, &frames[side]))
            depth[side] = ends_frame(&second, &frames[side]) ? depth[side] + 1 : 0;
    }
    return cut(image, depth);
}
