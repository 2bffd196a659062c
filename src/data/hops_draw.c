/* Draws scenes. The colour of every pixel follows from its signed distance, in pixels, to the edge of the object in its cell,
 * which also smooths the edges. Each object lies completely inside its cell. */
#include "data/hops.h"

#include <math.h>
#include <string.h>

/* R, G, B of tn_hops_colour_names. */
static const unsigned char palette[TN_HOPS_COLOURS][3] = {
    { 220, 40, 40 },   { 40, 160, 60 },  { 45, 80, 225 },  { 240, 205, 30 }, { 150, 50, 190 }, { 40, 190, 210 },
    { 245, 135, 30 },  { 245, 130, 190 }, { 135, 85, 40 }, { 140, 140, 140 }, { 200, 165, 235 }, { 165, 225, 60 },
    { 20, 120, 125 },  { 25, 30, 105 },  { 125, 20, 50 },  { 215, 180, 130 },
};
static const float black[3] = { 25, 25, 25 };

/* An object as it is painted; lengths are in pixels. */
typedef struct painted {
    float x, y;       /* centre                               */
    float radius;
    float tip;        /* from the centre to the arrow's point */
    float along[2];   /* the arrow's direction                */
    size_t shape;
    float colour[3];
    float ground[3];  /* colour of the background             */
} painted;

static float largest(float a, float b, float c)
{
    return fmaxf(a, fmaxf(b, c));
}

/* Distances to the edge of each shape around (0, 0), negative inside; near the edge they approximate the true distance. `r` is
 * a radius; shapes are scaled to look equally large. */
static float triangle_distance(float x, float y, float r)
{
    /* Sides at 30 degrees to the vertical, base below: half planes at distance r / 2 from the centre. */
    return largest(y, -0.5f * y + 0.8660254f * x, -0.5f * y - 0.8660254f * x) - 0.5f * r;
}

static float shape_distance(size_t shape, float x, float y, float r)
{
    float ax = fabsf(x), ay = fabsf(y);
    switch (shape) {
    case 0: /* circle */
        return sqrtf(x * x + y * y) - r;
    case 1: /* square */
        return fmaxf(ax, ay) - 0.88f * r;
    case 2: /* triangle, moved down so that it fills its circle */
        return triangle_distance(x, y - 0.2f * r, 1.25f * r);
    case 3: /* diamond */
        return (ax + ay - 1.2f * r) * 0.7071068f;
    case 4: /* star of six points */
        return fminf(triangle_distance(x, y, 1.15f * r), triangle_distance(x, -y, 1.15f * r));
    default: /* cross */
        return fminf(fmaxf(ax - r, ay - 0.36f * r), fmaxf(ay - r, ax - 0.36f * r));
    }
}

/* The distance to the arrow head, which lies between the shape and the border of the cell and points outwards. */
static float arrow_distance(const painted *figure, float x, float y)
{
    float along = x * figure->along[0] + y * figure->along[1];
    float across = fabsf(x * figure->along[1] - y * figure->along[0]);
    float length = 0.33f * figure->tip, back = figure->tip - length;
    return fmaxf(back - along, (across + along - figure->tip) * 0.7071068f);
}

static float between(tn_rng *rng, float low, float high)
{
    return low + (high - low) * (float)tn_rng_uniform(rng);
}

static painted place(tn_rng *rng, const tn_hops_scene *scene, size_t cell, float side)
{
    static const float directions[4][2] = { { 0, -1 }, { 1, 0 }, { 0, 1 }, { -1, 0 } };
    size_t kind = scene->kind[cell], arrow = scene->arrow[cell];
    float slack = 0.045f * side;
    painted figure = { .shape = tn_hops_shape(kind), .radius = side * between(rng, 0.20f, 0.25f), .tip = 0.45f * side };
    figure.x = side * ((float)(cell % scene->grid) + 0.5f) + between(rng, -slack, slack);
    figure.y = side * ((float)(cell / scene->grid) + 0.5f) + between(rng, -slack, slack);
    for (size_t i = 0; i < 2; i++)
        figure.along[i] = directions[arrow][i];
    for (size_t i = 0; i < 3; i++)
        figure.colour[i] = fminf(255, fmaxf(0, (float)palette[tn_hops_colour(kind)][i] + between(rng, -14, 14)));
    return figure;
}

/* Gives the background of some cells the colour of the object that their arrow points to. If hints is 0, nothing is drawn from
 * `rng`. */
static void give_hints(tn_rng *rng, const tn_hops_scene *scene, double share, painted *figures)
{
    for (size_t cell = 0; cell < scene->cells && share > 0; cell++)
        if (tn_rng_uniform(rng) < share)
            for (size_t i = 0; i < 3; i++)
                figures[cell].ground[i] = 0.5f * (figures[cell].ground[i] + figures[scene->target[cell]].colour[i]);
}

/* The share of a pixel that lies inside an edge at this distance. */
static float cover(float distance)
{
    return fminf(1, fmaxf(0, 0.5f - distance));
}

static void shade(const painted *figure, const float ink[3], float x, float y, unsigned char pixel[3])
{
    float inside = cover(shape_distance(figure->shape, x - figure->x, y - figure->y, figure->radius));
    float dark = cover(arrow_distance(figure, x - figure->x, y - figure->y));
    for (size_t i = 0; i < 3; i++) {
        float value = figure->ground[i] + (figure->colour[i] - figure->ground[i]) * inside;
        value += (ink[i] - value) * dark;
        pixel[i] = (unsigned char)(value + 0.5f);
    }
}

/* Whether a pixel lies between two cells or at the border. */
static void draw_lines(const tn_hops_scene *scene, const tn_hops_look *look, size_t size, unsigned char *pixels)
{
    for (size_t y = 0; y < size; y++)
        for (size_t x = 0; x < size; x++) {
            bool line = x + 1 == size || y + 1 == size || x * scene->grid / size != (x + 1) * scene->grid / size ||
                        y * scene->grid / size != (y + 1) * scene->grid / size;
            for (size_t i = 0; i < 3 && line; i++) {
                unsigned char *value = &pixels[3 * (y * size + x) + i];
                *value = (unsigned char)((float)*value + (look->ink[i] - (float)*value) * look->lines + 0.5f);
            }
        }
}

void tn_hops_paint_look(tn_rng *rng, const tn_hops_scene *scene, double hints, const tn_hops_look *look, size_t size,
                        unsigned char *pixels)
{
    painted figures[TN_HOPS_CELLS_MAX];
    float side = (float)size / (float)scene->grid;
    for (size_t cell = 0; cell < scene->cells; cell++) {
        figures[cell] = place(rng, scene, cell, side);
        memcpy(figures[cell].ground, look->ground, sizeof look->ground);
    }
    give_hints(rng, scene, hints, figures);
    for (size_t y = 0; y < size; y++)
        for (size_t x = 0; x < size; x++) {
            size_t cell = y * scene->grid / size * scene->grid + x * scene->grid / size;
            shade(&figures[cell], look->ink, (float)x + 0.5f, (float)y + 0.5f, pixels + 3 * (y * size + x));
        }
    if (look->lines > 0)
        draw_lines(scene, look, size, pixels);
    if (scene->marked)
        tn_hops_paint_marks(rng, scene, size, pixels);
}

void tn_hops_paint(tn_rng *rng, const tn_hops_scene *scene, double hints, size_t size, unsigned char *pixels)
{
    float ground = between(rng, 232, 250) - (scene->marked ? 36 : 0); /* see hops_mark.c */
    tn_hops_look look = { .ground = { ground, ground, ground } };
    memcpy(look.ink, black, sizeof black);
    tn_hops_paint_look(rng, scene, hints, &look, size, pixels);
}
