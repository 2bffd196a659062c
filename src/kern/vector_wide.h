/* Products of 8-bit x with weights in blocks of 256 (Q8_256, Q4_256).
 *
 * A block is summed in integers, exactly, and added to the sums as one fused
 *     sum += (scale of w * scale of x) * integer
 * in ascending order of blocks: one scale for 64 product instructions of a sum instead of 8. The 4-bit codes times
 * their factor are numbers of 8 bits. If many rows read them, they are unpacked in this form. For few rows, the codes
 * are multiplied as they are stored and the sum of a part by its factor, which gives the same integers.
 *
 * Included by vector_codes.h only. A set's file also defines ivec_mul, ivec_factor and ivec_times. */
#ifndef TN_KERN_VECTOR_WIDE_H
#define TN_KERN_VECTOR_WIDE_H

enum {
    WIDE_SLAB = CODES_SLAB * TN_UNIT / TN_WIDE_BLOCK, /* units: the same number of inputs as a slab of blocks of 32 */
    WIDE_LINES = TN_WIDE_BLOCK / 4,                   /* of 8-bit codes in a unit                         */
    WIDE_BYTES = TN_LINE * (1 + WIDE_LINES),
    WIDE_HEAD_4 = 2 * TN_LINE,
    WIDE_BYTES_4 = WIDE_HEAD_4 + TN_LINE * WIDE_LINES / 2,
    WIDE_OFFSET = 128, WIDE_OFFSET_4 = 15
};

/* ------------------------------------------------------------- x to 8 bits -- */

/* One block, as codes_block. */
TN_INLINE void wide_block(const float *x, int8_t *codes, tn_wide_sums *sums)
{
    vec most = vec_abs(vec_load(x));
    for (size_t i = LANES; i < TN_WIDE_BLOCK; i += LANES)
        most = vec_max_nan(most, vec_abs(vec_load(x + i)));
    const float amplitude = vec_largest(most);
    *sums = (tn_wide_sums){ .scale = amplitude / 127 };
    if (!(amplitude >= 0x1p-100f && amplitude <= 0x1p127f)) {
        memset(codes, 0, TN_WIDE_BLOCK);
        sums->scale = amplitude < 0x1p-100f ? 0 : NAN;
        return;
    }
    const vec inverse = vec_set(127 / amplitude);
    int32_t all = 0;
    for (size_t p = 0; p < TN_PARTS; p++) {
        ivec sum = ivec_set(0);
        TN_UNROLL
        for (size_t i = p * TN_BLOCK; i < (p + 1) * TN_BLOCK; i += LANES)
            sum = ivec_add(sum, vec_to_bytes(vec_mul(vec_load(x + i), inverse), codes + i));
        const int32_t part = ivec_sum(sum);
        sums->parts[p] = -WIDE_OFFSET_4 * part;
        all += part;
    }
    sums->start = -WIDE_OFFSET * all;
}

static void wide_input(const tn_matrix *w, const float *x, size_t ldx, size_t begin, size_t end, size_t m, void *input)
{
    const size_t units = w->cols / TN_WIDE_BLOCK;
    const tn_wide_codes to = tn_wide_codes_at(input, m, units);
    for (size_t i = begin; i < end; i++)
        for (size_t u = 0; u < units; u++)
            wide_block(x + i * ldx + u * TN_WIDE_BLOCK, to.codes + (i * units + u) * TN_WIDE_BLOCK, &to.sums[i * units + u]);
}

/* ---------------------------------------------------------------- tiles -- */

/* The x of a tile, and its panels. */
typedef struct tn_wide_sources {
    const int8_t *codes;
    const tn_wide_sums *x;
    const unsigned char *panels[THIN_VECTORS];
} tn_wide_sources;

TN_INLINE tn_wide_sources wide_sources(size_t vectors, const tn_tile *tile)
{
    const tn_wide_codes x = tn_wide_codes_at(tile->input, tile->m, tile->all_units);
    const size_t at = tile->row * tile->all_units + tile->unit;
    tn_wide_sources from = { .codes = x.codes + at * TN_WIDE_BLOCK, .x = x.sums + at };
    TN_UNROLL
    for (size_t v = 0; v < vectors; v++)
        from.panels[v] = panel_of(tile, v);
    return from;
}

/* sums += scales * integers of unit u, whose scales are at `factors`. */
TN_INLINE void wide_add(size_t rows, size_t vectors, const tn_wide_sums *x, size_t stride, const vec *factors,
                        const ivec *integers, vec *sums)
{
    TN_UNROLL
    for (size_t i = 0; i < rows; i++) {
        const vec scale = vec_set(x[i * stride].scale);
        TN_UNROLL
        for (size_t v = 0; v < vectors; v++)
            sums[i * vectors + v] = vec_fma(vec_mul(factors[v], scale), ivec_to_vec(integers[i * vectors + v]),
                                            sums[i * vectors + v]);
    }
}

/* The start of vector v in a line. */
TN_INLINE size_t wide_lane(size_t v)
{
    return v * LANES % TN_PANEL * 4;
}

/* 8-bit codes. */
TN_INLINE void wide_tile_8(size_t rows, size_t vectors, const tn_tile *tile)
{
    const size_t units = tile->all_units, stride = units * TN_WIDE_BLOCK;
    tn_wide_sources from = wide_sources(vectors, tile);
    uintptr_t soon = (uintptr_t)(tile->soon_step > 0 ? tile->soon : tile->panels);
    vec sums[CODES_SUMS];
    sums_begin(rows, vectors, tile, sums);
    for (size_t u = 0; u < tile->units; u++) {
        ivec integers[CODES_SUMS];
        vec factors[THIN_VECTORS];
        TN_UNROLL
        for (size_t i = 0; i < rows; i++)
            TN_UNROLL
            for (size_t v = 0; v < vectors; v++)
                integers[i * vectors + v] = ivec_start(from.x[i * units + u].start, WIDE_OFFSET);
        for (size_t line = 0; line < WIDE_LINES; line++, soon += tile->soon_step) {
            ivec weights[THIN_VECTORS];
            TN_UNROLL
            for (size_t v = 0; v < vectors; v++) {
                if (rows > CODES_THIN)
                    __builtin_prefetch((const void *)(soon + v * tile->soon_stride), 0, 2);
                weights[v] = ivec_codes(from.panels[v] + u * WIDE_BYTES + (1 + line) * TN_LINE + wide_lane(v), WIDE_OFFSET);
            }
            codes_line(rows, vectors, integers, weights, from.codes + u * TN_WIDE_BLOCK + 4 * line, stride, WIDE_OFFSET);
        }
        TN_UNROLL
        for (size_t v = 0; v < vectors; v++)
            factors[v] = vec_load_f32(from.panels[v] + u * WIDE_BYTES + wide_lane(v));
        wide_add(rows, vectors, from.x + u, units, factors, integers, sums);
    }
    sums_finish(rows, vectors, tile, sums);
}

/* 4-bit codes as stored; `words` hold the factors of all parts, those of the next part in the lowest bits. */
TN_INLINE void wide_tile_4(size_t rows, size_t vectors, const tn_tile *tile)
{
    const size_t units = tile->all_units, stride = units * TN_WIDE_BLOCK;
    const ivec table = ivec_table(tn_codebook_q4_256, WIDE_OFFSET_4);
    tn_wide_sources from = wide_sources(vectors, tile);
    vec sums[CODES_SUMS];
    sums_begin(rows, vectors, tile, sums);
    for (size_t u = 0; u < tile->units; u++) {
        ivec totals[CODES_SUMS], words[THIN_VECTORS];
        vec factors[THIN_VECTORS];
        const unsigned char *lines[THIN_VECTORS];
        TN_UNROLL
        for (size_t v = 0; v < vectors; v++) {
            const unsigned char *unit = from.panels[v] + u * WIDE_BYTES_4 + wide_lane(v);
            factors[v] = vec_load_f32(unit);
            words[v] = ivec_load(unit + TN_LINE);
            lines[v] = unit + WIDE_HEAD_4;
        }
        TN_UNROLL
        for (size_t i = 0; i < rows * vectors; i++)
            totals[i] = ivec_set(0);
        for (size_t p = 0; p < TN_PARTS; p++) {
            ivec integers[CODES_SUMS];
            TN_UNROLL
            for (size_t i = 0; i < rows; i++)
                TN_UNROLL
                for (size_t v = 0; v < vectors; v++)
                    integers[i * vectors + v] = ivec_start(from.x[i * units + u].parts[p], WIDE_OFFSET_4);
            codes_sum(rows, vectors, 4, WIDE_OFFSET_4, table, integers, lines,
                      from.codes + u * TN_WIDE_BLOCK + p * TN_BLOCK, stride, 0, tile);
            TN_UNROLL
            for (size_t v = 0; v < vectors; v++) {
                const ivec factor = ivec_factor(&words[v]);
                lines[v] += BLOCK_LINES_4 * TN_LINE;
                TN_UNROLL
                for (size_t i = 0; i < rows; i++)
                    totals[i * vectors + v] = ivec_add(totals[i * vectors + v], ivec_mul(integers[i * vectors + v], factor));
            }
        }
        wide_add(rows, vectors, from.x + u, units, factors, totals, sums);
    }
    sums_finish(rows, vectors, tile, sums);
}

TN_INLINE void wide_tiles(size_t bits, const tn_tile *tile)
{
    const size_t vectors = tn_pieces(tile->outputs, LANES);
#define TILE(rows, vectors) (bits == 8 ? wide_tile_8((rows), (vectors), tile) : wide_tile_4((rows), (vectors), tile))
#define CASE(R)                                            \
    case (R):                                              \
        if ((R) <= CODES_THIN && vectors > CODES_VECTORS)  \
            TILE(tn_min((R), CODES_THIN), THIN_VECTORS);   \
        else if (vectors > 1)                              \
            TILE((R), CODES_VECTORS);                      \
        else                                               \
            TILE((R), 1);                                  \
        break;
    switch (tile->rows) { CODES_CASES(CASE) }
#undef CASE
#undef TILE
}

static void wide_tile_q8_256(const tn_tile *tile) { wide_tiles(8, tile); }
static void wide_tile_q4_256(const tn_tile *tile) { wide_tiles(4, tile); }

/* ------------------------------------------------ 4-bit weights made wider -- */

/* The codes of one unit times their factors, a byte each, plus 128. `levels`: the signed values of codes. */
static void wide_widen(const unsigned char *unit, ivec levels, unsigned char *to)
{
    memcpy(to, unit, TN_LINE);
    for (size_t at = 0; at < TN_LINE; at += LANES * 4) {
        const unsigned char *from = unit + WIDE_HEAD_4 + at;
        unsigned char *out = to + TN_LINE + at;
        ivec words = ivec_load(unit + TN_LINE + at);
        for (size_t p = 0; p < TN_PARTS; p++) {
            const ivec factor = ivec_factor(&words);
            TN_UNROLL
            for (size_t line = 0; line < BLOCK_LINES_4; line++, from += TN_LINE, out += 2 * TN_LINE) {
                ivec_store_bytes(out, ivec_times(ivec_bytes(from, 0, levels), factor));
                ivec_store_bytes(out + TN_LINE, ivec_times(ivec_bytes(from, 4, levels), factor));
            }
        }
    }
}

void TN_KERNEL(codes_relay_wide)(const tn_matrix *w, size_t panel, size_t unit, size_t units, unsigned char *to)
{
    const tn_dtype_traits *traits = tn_dtype_of(w->type);
    const size_t bytes = tn_unit_bytes(w->type);
    const unsigned char *from = (const unsigned char *)w->data + panel * tn_panel_bytes(w->type, w->cols) + unit * bytes;
    unsigned char packed[WIDE_BYTES], levels[16] = { 0 };
    for (size_t i = 0; i < 16 && traits->bits == 4; i++)
        levels[i] = (unsigned char)(traits->codebook[i] - traits->offset);
    const ivec table = ivec_table_bytes(levels);
    for (size_t u = 0; u < units; u++, to += WIDE_BYTES) {
        const unsigned char *at = from + u * bytes;
        if (w->order == TN_ROWS) {
            tn_relay_rows(w, panel, unit + u, 1, packed);
            at = packed;
        }
        if (traits->bits == 4)
            wide_widen(at, table, to);
        else
            memcpy(to, at, WIDE_BYTES);
    }
}

static const tn_tiling *wide_tiling(tn_dtype type)
{
    static const tn_tiling q8_256 = { wide_tile_q8_256, wide_tile_q8_256, TN_KERNEL(codes_relay_wide), WIDE_BYTES, false,
                                      CODES_ROWS, CODES_PANELS, WIDE_SLAB, CODES_THIN, THIN_PANELS, TN_WIDE_BLOCK };
    static const tn_tiling q4_256 = { wide_tile_q4_256, wide_tile_q8_256, TN_KERNEL(codes_relay_wide), WIDE_BYTES, true,
                                      CODES_ROWS, CODES_PANELS, WIDE_SLAB, CODES_THIN, THIN_PANELS, TN_WIDE_BLOCK };
    return type == TN_Q8_256 ? &q8_256 : type == TN_Q4_256 ? &q4_256 : NULL;
}

#endif
