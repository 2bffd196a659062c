#include "kern/panel.h"

#include "base/checked.h"

#include <string.h>

/* Lines before the codes of a unit: with scales, and with the factors of 256 4-bit values. */
enum { SCALE_BYTES = 2, WIDE_WORD = 4, HEAD_8 = 1, HEAD_4 = 2 };

bool tn_panel_has(tn_dtype type, size_t cols)
{
    const tn_dtype_traits *traits = tn_dtype_of(type);
    return traits->bits > 0 && cols % traits->block == 0;
}

static bool is_wide(tn_dtype type)
{
    return tn_dtype_of(type)->block == TN_WIDE_BLOCK;
}

size_t tn_unit_inputs(tn_dtype type)
{
    return is_wide(type) ? TN_WIDE_BLOCK : TN_UNIT;
}

size_t tn_unit_bytes(tn_dtype type)
{
    size_t bits = tn_dtype_of(type)->bits, codes = TN_PANEL * tn_unit_inputs(type) / 8 * bits;
    return bits == 0 || bits == 16 ? codes : TN_LINE * (is_wide(type) && bits == 4 ? HEAD_4 : HEAD_8) + codes;
}

size_t tn_panel_bytes(tn_dtype type, size_t cols)
{
    return tn_pieces(cols, tn_unit_inputs(type)) * tn_unit_bytes(type);
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
    /* No value takes more than 8 bytes, padding included. */
    return tn_size_add(w->rows, TN_PANEL, &rows) && tn_size_add(w->cols, TN_WIDE_BLOCK, &cols) &&
           tn_size_mul(rows, cols, &bytes) && tn_size_mul(bytes, 8, &bytes);
}

/* ------------------------------------------------------------- packing -- */

static void pack_16(const unsigned char *row, size_t output, size_t cols, unsigned char *panel)
{
    for (size_t k = 0; k < cols; k++)
        memcpy(panel + k / 2 * TN_LINE + 4 * output + 2 * (k % 2), row + 2 * k, 2);
}

/* The position of a block's scale, and the start of the codes of its unit. */
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

/* The start of an output's bytes in a line of a unit of 256 inputs. */
static size_t word_place(size_t line, size_t output)
{
    return line * TN_LINE + output * WIDE_WORD;
}

static void pack_wide_8(const unsigned char *row, size_t output, size_t cols, unsigned char *panel)
{
    for (size_t u = 0; u < cols / TN_WIDE_BLOCK; u++, panel += tn_unit_bytes(TN_Q8_256)) {
        memcpy(panel + word_place(0, output), row, WIDE_WORD);
        row += WIDE_WORD;
        for (size_t k = 0; k < TN_WIDE_BLOCK; k++)
            panel[word_place(HEAD_8 + k / 4, output) + k % 4] = row[k] ^ 0x80;
        row += TN_WIDE_BLOCK;
    }
}

static void pack_wide_4(const unsigned char *row, size_t output, size_t cols, unsigned char *panel)
{
    for (size_t u = 0; u < cols / TN_WIDE_BLOCK; u++, panel += tn_unit_bytes(TN_Q4_256)) {
        for (size_t line = 0; line < HEAD_4; line++, row += WIDE_WORD) /* the scale, the factors */
            memcpy(panel + word_place(line, output), row, WIDE_WORD);
        for (size_t part = 0; part < TN_PARTS; part++, row += TN_BLOCK / 2)
            for (size_t j = 0; j < 4; j++)
                for (size_t t = 0; t < 4; t++)
                    panel[word_place(HEAD_4 + 4 * part + j, output) + t] =
                        (unsigned char)(nibble(row, 8 * j + t) | nibble(row, 8 * j + 4 + t) << 4);
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
        for (size_t k = 0; k < TN_BLOCK / 2; k++) { /* inputs k and k + 16 are two lines apart */
            size_t shift = k / 4 % 2 * 4, place = 4 * output + k % 4;
            unsigned low = panel[line_place(unit, 4, b, k / 8) + place] >> shift & 15u;
            unsigned high = panel[line_place(unit, 4, b, k / 8 + 2) + place] >> shift & 15u;
            row[SCALE_BYTES + k] = (unsigned char)(low | high << 4);
        }
    }
}

static void row_wide_8(const unsigned char *panel, size_t output, size_t cols, unsigned char *row)
{
    for (size_t u = 0; u < cols / TN_WIDE_BLOCK; u++, panel += tn_unit_bytes(TN_Q8_256)) {
        memcpy(row, panel + word_place(0, output), WIDE_WORD);
        row += WIDE_WORD;
        for (size_t k = 0; k < TN_WIDE_BLOCK; k++)
            row[k] = panel[word_place(HEAD_8 + k / 4, output) + k % 4] ^ 0x80;
        row += TN_WIDE_BLOCK;
    }
}

static void row_wide_4(const unsigned char *panel, size_t output, size_t cols, unsigned char *row)
{
    for (size_t u = 0; u < cols / TN_WIDE_BLOCK; u++, panel += tn_unit_bytes(TN_Q4_256)) {
        for (size_t line = 0; line < HEAD_4; line++, row += WIDE_WORD)
            memcpy(row, panel + word_place(line, output), WIDE_WORD);
        for (size_t i = 0; i < TN_WIDE_BLOCK / 2; i++) { /* inputs k and k + 16 of a part are two lines apart */
            size_t part = i / 16, k = i % 16, shift = k / 4 % 2 * 4, line = HEAD_4 + 4 * part + k / 8;
            unsigned low = panel[word_place(line, output) + k % 4] >> shift & 15u;
            unsigned high = panel[word_place(line + 2, output) + k % 4] >> shift & 15u;
            row[i] = (unsigned char)(low | high << 4);
        }
        row += TN_WIDE_BLOCK / 2;
    }
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

static void unpack_wide(tn_dtype type, const unsigned char *panel, size_t output, size_t begin, size_t count,
                        tn_real *values)
{
    const tn_dtype_traits *traits = tn_dtype_of(type);
    for (size_t i = 0; i < count; i++) {
        size_t k = (begin + i) % TN_WIDE_BLOCK;
        const unsigned char *unit = panel + (begin + i) / TN_WIDE_BLOCK * tn_unit_bytes(type);
        float scale;
        uint32_t factors;
        int code;
        memcpy(&scale, unit + word_place(0, output), sizeof scale);
        if (traits->bits == 8) {
            code = unit[word_place(HEAD_8 + k / 4, output) + k % 4] - traits->offset;
        } else {
            memcpy(&factors, unit + word_place(1, output), sizeof factors);
            code = traits->codebook[unit[word_place(HEAD_4 + k / 8, output) + k % 4] >> (k / 4 % 2 * 4) & 15] - traits->offset;
            code *= tn_factor(factors, k / TN_BLOCK);
        }
        values[i] = (tn_real)scale * (tn_real)code;
    }
}

/* ------------------------------------------------------ the kinds of panels -- */

typedef struct tn_layout {
    void (*pack)(const unsigned char *row, size_t output, size_t cols, unsigned char *panel);
    void (*row)(const unsigned char *panel, size_t output, size_t cols, unsigned char *row);
    void (*unpack)(tn_dtype type, const unsigned char *panel, size_t output, size_t begin, size_t count, tn_real *values);
} tn_layout;

static const tn_layout *layout_of(tn_dtype type)
{
    static const tn_layout pairs = { pack_16, row_16, unpack_16 };
    static const tn_layout codes[2] = { { pack_4, row_4, unpack_codes }, { pack_8, row_8, unpack_codes } };
    static const tn_layout wide[2] = { { pack_wide_4, row_wide_4, unpack_wide }, { pack_wide_8, row_wide_8, unpack_wide } };
    const size_t bits = tn_dtype_of(type)->bits;
    return bits == 16 ? &pairs : &(is_wide(type) ? wide : codes)[bits == 8];
}

void tn_panel_pack(tn_dtype type, const void *rows, size_t row_bytes, size_t count, size_t cols, void *panel)
{
    memset(panel, 0, tn_panel_bytes(type, cols));
    for (size_t output = 0; output < count; output++)
        layout_of(type)->pack((const unsigned char *)rows + output * row_bytes, output, cols, panel);
}

void tn_panel_row(tn_dtype type, const void *panel, size_t output, size_t cols, void *row)
{
    layout_of(type)->row(panel, output, cols, row);
}

/* The same for a block of 256, complete or in part. */
static void unpack_parts(tn_dtype type, const unsigned char *row, size_t begin, size_t count, tn_real *values)
{
    tn_real block[TN_WIDE_BLOCK];
    for (size_t done = 0, some; done < count; done += some) {
        size_t at = begin + done, in = at % TN_WIDE_BLOCK;
        some = tn_min(TN_WIDE_BLOCK - in, count - done);
        tn_dtype_of(type)->unpack(row + tn_dtype_row_bytes(type, at - in), TN_WIDE_BLOCK, block);
        memcpy(values + done, block + in, some * sizeof *values);
    }
}

void tn_matrix_unpack(const tn_matrix *w, size_t row, size_t begin, size_t count, tn_real *values)
{
    const unsigned char *data = w->data;
    if (w->order == TN_PANELS) {
        data += row / TN_PANEL * tn_panel_bytes(w->type, w->cols);
        layout_of(w->type)->unpack(w->type, data, row % TN_PANEL, begin, count, values);
        return;
    }
    data += row * tn_dtype_row_bytes(w->type, w->cols);
    if (is_wide(w->type))
        unpack_parts(w->type, data, begin, count, values);
    else
        tn_dtype_of(w->type)->unpack(data + tn_dtype_row_bytes(w->type, begin), count, values);
}
