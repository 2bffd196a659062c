#include "kern/panel.h"

#include "base/checked.h"

#include <string.h>

enum { SCALE_BYTES = 2 };

bool tn_panel_has(tn_dtype type, size_t cols)
{
    const tn_dtype_traits *traits = tn_dtype_of(type);
    return traits->bits > 0 && cols % traits->block == 0;
}

size_t tn_unit_bytes(tn_dtype type)
{
    size_t bits = tn_dtype_of(type)->bits, codes = TN_PANEL * TN_UNIT / 8 * bits;
    return bits == 0 || bits == 16 ? codes : TN_LINE + codes;
}

size_t tn_panel_bytes(tn_dtype type, size_t cols)
{
    return tn_pieces(cols, TN_UNIT) * tn_unit_bytes(type);
}

size_t tn_matrix_bytes(const tn_matrix *w)
{
    return w->order == TN_PANELS ? tn_pieces(w->rows, TN_PANEL) * tn_panel_bytes(w->type, w->cols)
                                 : w->rows * tn_dtype_row_bytes(w->type, w->cols);
}

bool tn_matrix_fits(const tn_matrix *w)
{
    size_t rows, cols, bytes;
    if (w->cols % tn_dtype_of(w->type)->block != 0 || (w->order == TN_PANELS && !tn_panel_has(w->type, w->cols)))
        return false;
    /* No value takes more than 8 bytes, filling included. */
    return tn_size_add(w->rows, TN_PANEL, &rows) && tn_size_add(w->cols, TN_UNIT, &cols) &&
           tn_size_mul(rows, cols, &bytes) && tn_size_mul(bytes, 8, &bytes);
}

/* ------------------------------------------------------------- packing -- */

static void pack_16(const unsigned char *row, size_t output, size_t cols, unsigned char *panel)
{
    for (size_t k = 0; k < cols; k++)
        memcpy(panel + k / 2 * TN_LINE + 4 * output + 2 * (k % 2), row + 2 * k, 2);
}

/* Where the scale of a block stands, and where the codes of its unit begin. */
static size_t scale_place(size_t unit_bytes, size_t block, size_t output)
{
    return block / 2 * unit_bytes + (block % 2 * TN_PANEL + output) * SCALE_BYTES;
}

static size_t line_place(size_t unit_bytes, size_t lines, size_t block, size_t line)
{
    return block / 2 * unit_bytes + TN_LINE + (block % 2 * lines + line) * TN_LINE;
}

static void pack_8(const unsigned char *row, size_t output, size_t cols, unsigned char *panel)
{
    const size_t unit = tn_unit_bytes(TN_Q8_0);
    for (size_t b = 0; b < cols / TN_BLOCK; b++, row += SCALE_BYTES + TN_BLOCK) {
        memcpy(panel + scale_place(unit, b, output), row, SCALE_BYTES);
        for (size_t k = 0; k < TN_BLOCK; k++)
            panel[line_place(unit, 8, b, k / 4) + 4 * output + k % 4] = row[SCALE_BYTES + k] ^ 0x80;
    }
}

static unsigned nibble(const unsigned char *codes, size_t k)
{
    return k < TN_BLOCK / 2 ? codes[k] & 15u : codes[k - TN_BLOCK / 2] >> 4;
}

static void pack_4(const unsigned char *row, size_t output, size_t cols, unsigned char *panel)
{
    const size_t unit = tn_unit_bytes(TN_Q4_0), row_block = SCALE_BYTES + TN_BLOCK / 2;
    for (size_t b = 0; b < cols / TN_BLOCK; b++, row += row_block) {
        memcpy(panel + scale_place(unit, b, output), row, SCALE_BYTES);
        for (size_t j = 0; j < 4; j++)
            for (size_t t = 0; t < 4; t++)
                panel[line_place(unit, 4, b, j) + 4 * output + t] =
                    (unsigned char)(nibble(row + SCALE_BYTES, 8 * j + t) |
                                    nibble(row + SCALE_BYTES, 8 * j + 4 + t) << 4);
    }
}

void tn_panel_pack(tn_dtype type, const void *rows, size_t row_bytes, size_t count, size_t cols, void *panel)
{
    size_t bits = tn_dtype_of(type)->bits;
    memset(panel, 0, tn_panel_bytes(type, cols));
    for (size_t output = 0; output < count; output++) {
        const unsigned char *row = (const unsigned char *)rows + output * row_bytes;
        (bits == 16 ? pack_16 : bits == 8 ? pack_8 : pack_4)(row, output, cols, panel);
    }
}

/* ----------------------------------------------------------- unpacking -- */

static void row_16(const unsigned char *panel, size_t output, size_t cols, unsigned char *row)
{
    for (size_t k = 0; k < cols; k++)
        memcpy(row + 2 * k, panel + k / 2 * TN_LINE + 4 * output + 2 * (k % 2), 2);
}

static void row_8(const unsigned char *panel, size_t output, size_t cols, unsigned char *row)
{
    const size_t unit = tn_unit_bytes(TN_Q8_0);
    for (size_t b = 0; b < cols / TN_BLOCK; b++, row += SCALE_BYTES + TN_BLOCK) {
        memcpy(row, panel + scale_place(unit, b, output), SCALE_BYTES);
        for (size_t k = 0; k < TN_BLOCK; k++)
            row[SCALE_BYTES + k] = panel[line_place(unit, 8, b, k / 4) + 4 * output + k % 4] ^ 0x80;
    }
}

static void row_4(const unsigned char *panel, size_t output, size_t cols, unsigned char *row)
{
    const size_t unit = tn_unit_bytes(TN_Q4_0), row_block = SCALE_BYTES + TN_BLOCK / 2;
    for (size_t b = 0; b < cols / TN_BLOCK; b++, row += row_block) {
        memcpy(row, panel + scale_place(unit, b, output), SCALE_BYTES);
        for (size_t k = 0; k < TN_BLOCK / 2; k++) { /* inputs k and k + 16 lie two lines apart */
            size_t shift = k / 4 % 2 * 4, place = 4 * output + k % 4;
            unsigned low = panel[line_place(unit, 4, b, k / 8) + place] >> shift & 15u;
            unsigned high = panel[line_place(unit, 4, b, k / 8 + 2) + place] >> shift & 15u;
            row[SCALE_BYTES + k] = (unsigned char)(low | high << 4);
        }
    }
}

void tn_panel_row(tn_dtype type, const void *panel, size_t output, size_t cols, void *row)
{
    size_t bits = tn_dtype_of(type)->bits;
    (bits == 16 ? row_16 : bits == 8 ? row_8 : row_4)(panel, output, cols, row);
}

static void unpack_16(tn_dtype type, const unsigned char *panel, size_t output, size_t begin, size_t count,
                      tn_real *values)
{
    for (size_t i = 0; i < count; i++) {
        size_t k = begin + i;
        tn_dtype_of(type)->unpack(panel + k / 2 * TN_LINE + 4 * output + 2 * (k % 2), 1, values + i);
    }
}

static void unpack_codes(tn_dtype type, const unsigned char *panel, size_t output, size_t begin, size_t count,
                         tn_real *values)
{
    const tn_dtype_traits *traits = tn_dtype_of(type);
    const size_t unit = tn_unit_bytes(type), lines = traits->bits;
    tn_real scale = 0;
    for (size_t i = 0; i < count; i++) {
        size_t k = begin + i, b = k / TN_BLOCK, in = k % TN_BLOCK, code;
        if (in == 0)
            tn_dtype_of(TN_F16)->unpack(panel + scale_place(unit, b, output), 1, &scale);
        const unsigned char *line = panel + line_place(unit, lines, b, in / (TN_BLOCK / lines)) + 4 * output;
        if (traits->bits == 8)
            code = line[in % 4];
        else
            code = traits->codebook[line[in % 4] >> (in / 4 % 2 * 4) & 15];
        values[i] = scale * (tn_real)((int)code - traits->offset);
    }
}

void tn_matrix_unpack(const tn_matrix *w, size_t row, size_t begin, size_t count, tn_real *values)
{
    if (w->order == TN_ROWS) {
        const unsigned char *data = (const unsigned char *)w->data + row * tn_dtype_row_bytes(w->type, w->cols);
        tn_dtype_of(w->type)->unpack(data + tn_dtype_row_bytes(w->type, begin), count, values);
        return;
    }
    const unsigned char *panel = (const unsigned char *)w->data + row / TN_PANEL * tn_panel_bytes(w->type, w->cols);
    (tn_dtype_of(w->type)->bits == 16 ? unpack_16 : unpack_codes)(w->type, panel, row % TN_PANEL, begin, count, values);
}
