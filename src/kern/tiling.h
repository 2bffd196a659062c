/* Products with weights in panels: how the work is divided, for all sets.
 *
 * A set provides a tile: a few rows of x by a few panels over a few units of inputs. The sums of a tile continue from
 * the values in y, in ascending order of inputs, so that neither the division nor the number of rows changes a bit.
 *
 *   few rows    one tile of all units: every weight is read once, from memory
 *   more rows   units are processed in slabs; the weights of a slab stay in the cache for all rows. Weights that
 *               are not in panels, or in a narrower form than the tile multiplies, are repacked in scratch memory,
 *               once per slab ("relay"). */
#ifndef TN_KERN_TILING_H
#define TN_KERN_TILING_H

#include "base/checked.h"
#include "kern/kernels.h"

typedef struct tn_tile {
    const unsigned char *panels; /* start of the first unit of the first panel          */
    size_t stride;               /* bytes from panel to panel                           */
    size_t unit, units;          /* the first unit, counted from the start of x; their number */
    const float *x;              /* as passed to linear, or NULL                        */
    size_t ldx;
    const void *input;           /* of `m` rows of `all_units`                          */
    size_t m, all_units, cols;
    size_t row, rows;            /* of x and y                                          */
    float *y;                    /* of output 0 of the tile, row `row`                  */
    size_t ldy, outputs;         /* of which this many exist                            */
    bool first;                  /* no sums yet: y is undefined                         */
    bool stream;                 /* weights come from memory: prefetch them             */
    const unsigned char *soon;   /* what is needed next, to be prefetched meanwhile:    */
    size_t soon_stride;          /* bytes from panel to panel                           */
    size_t soon_step;            /* bytes per line of a unit; 0: nothing                */
} tn_tile;

typedef void tn_tile_fn(const tn_tile *tile);

/* Repacks `units` units from `unit` on of panel `panel` of w into `to`, in the form that a tile reads. */
typedef void tn_relay_fn(const tn_matrix *w, size_t panel, size_t unit, size_t units, unsigned char *to);

typedef struct tn_tiling {
    tn_tile_fn *direct;     /* reads panels unchanged; NULL: panels are always repacked           */
    tn_tile_fn *relaid;     /* reads the output of `relay`                                        */
    tn_relay_fn *relay;
    size_t relaid_bytes;    /* of a unit of relay's output                                        */
    bool widens;            /* repacked weights multiply faster, even if they were in panels before */
    size_t rows;            /* most rows of a tile                                                */
    size_t panels;          /* most panels of a tile                                              */
    size_t slab;            /* units                                                              */
    size_t thin_rows;       /* a tile with up to this many rows has                               */
    size_t thin_panels;     /* this many panels: more streams from memory, more work in flight    */
    size_t unit;            /* inputs of a unit                                                   */
} tn_tiling;

/* Reals of scratch, with room to align them. */
size_t tn_tiling_scratch(const tn_tiling *tiling);

/* An entry `linear` of a set; `adds`: y is added to. */
void tn_tiling_run(const tn_tiling *tiling, const tn_matrix *w, size_t begin, size_t end, const float *x, size_t ldx,
                   const void *input, size_t m, bool adds, float *y, size_t ldy, float *scratch);

/* A relay for weights in rows: packs them into a panel. */
void tn_relay_rows(const tn_matrix *w, size_t panel, size_t unit, size_t units, unsigned char *to);

/* ------------------------------------------------------------- 8-bit x -- */

/* x in blocks of 32 inputs, value = scale * code. A sum of stored weight codes starts at `starts` so that their offset
 * cancels: -offset * sum of the codes of the block. Rows are padded with zeros to whole units. */
typedef struct tn_codes {
    int8_t *codes;    /* [m, units * 64] */
    float *scales;    /* [m, units * 2]  */
    int32_t *starts;  /* [m, units * 2]  */
} tn_codes;

/* For weights in blocks of 256, x also has blocks of 256: value = scale * code. */
typedef struct tn_wide_sums {
    float scale;
    int32_t start;           /* of a sum of codes + 128: -128 * sum of the codes of the block  */
    int32_t parts[TN_PARTS]; /* of a sum of stored 4-bit codes: -offset * sum of the codes of a part */
} tn_wide_sums;

typedef struct tn_wide_codes {
    int8_t *codes;      /* [m, units * 256] */
    tn_wide_sums *sums; /* [m, units]       */
} tn_wide_codes;

/* Bytes of m rows in the form for weights of the type of w. */
static inline size_t tn_codes_bytes(const tn_matrix *w, size_t m)
{
    const size_t inputs = tn_unit_inputs(w->type), units = tn_pieces(w->cols, inputs);
    return m * units * (inputs + (inputs > TN_UNIT ? sizeof(tn_wide_sums) : 2 * (sizeof(float) + sizeof(int32_t))));
}

static inline tn_wide_codes tn_wide_codes_at(const void *input, size_t m, size_t units)
{
    unsigned char *bytes = (unsigned char *)(uintptr_t)input;
    return (tn_wide_codes){ (int8_t *)bytes, (tn_wide_sums *)(void *)(bytes + m * units * TN_WIDE_BLOCK) };
}

static inline tn_codes tn_codes_at(const void *input, size_t m, size_t units)
{
    unsigned char *bytes = (unsigned char *)(uintptr_t)input;
    return (tn_codes){ (int8_t *)bytes, (float *)(void *)(bytes + m * units * TN_UNIT),
                       (int32_t *)(void *)(bytes + m * units * (TN_UNIT + 2 * sizeof(float))) };
}

/* For sets without such products. */
static inline const tn_tiling *tn_no_codes_tiling(tn_dtype type)
{
    (void)type;
    return NULL;
}

static inline double tn_no_codes_spin(size_t turns, float *sink)
{
    (void)turns, (void)sink;
    return 0;
}

static inline void tn_no_codes_input(const tn_matrix *w, const float *x, size_t ldx, size_t begin, size_t end, size_t m,
                                     void *input)
{
    (void)w, (void)x, (void)ldx, (void)begin, (void)end, (void)m, (void)input;
}

#endif
