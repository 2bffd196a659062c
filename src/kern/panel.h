/* Weight matrices in memory: row by row, or in panels, the order in which products read them.
 *
 * A panel is 16 outputs (rows); the last one is padded with zeros. It is a sequence of units of 64 inputs (256 if a
 * block has 256), the last of which is also padded:
 *   16 bits  32 lines of 64 bytes; line p holds inputs 2p, 2p+1 of output 0, of output 1, ...
 *    8 bits  a line of scales (F16: first block of outputs 0 .. 15, second block), then 16 lines of codes; line q
 *            holds inputs 4q .. 4q+3 of output 0, of output 1, ... A code is the stored byte + 128.
 *    4 bits  a line of scales, then 8 lines; byte 4n+t of line j holds input 8j+t of output n in its lower and
 *            input 8j+4+t in its upper half.
 *   of 256   8 bits: a line of scales (F32), 64 lines of codes as above; 4 bits: a line of scales, a line with the factors of
 *            each output, 32 lines of codes as above.
 * A line is one operand of a product instruction for 16 outputs, and a matrix is read from start to end. A panel of
 * quantised values holds exactly the values of the blocks from which it was made. */
#ifndef TN_KERN_PANEL_H
#define TN_KERN_PANEL_H

#include "kern/blocks.h"

#include <stdint.h>

enum { TN_PANEL = 16, TN_UNIT = 64, TN_LINE = 64 };

/* How a matrix is stored in memory. */
typedef enum tn_order { TN_ROWS, TN_PANELS } tn_order;

/* A weight matrix [rows, cols] = [outputs, inputs] in its own type. */
typedef struct tn_matrix {
    tn_dtype type;
    size_t rows, cols;
    const void *data;
    tn_order order;
} tn_matrix;

/* True if the type has panels and cols is a whole number of its blocks. */
bool tn_panel_has(tn_dtype type, size_t cols);

/* Inputs of a unit; bytes of a unit; bytes of a panel of `cols` inputs. 0 if there are no panels. */
size_t tn_unit_inputs(tn_dtype type);
size_t tn_unit_bytes(tn_dtype type);
size_t tn_panel_bytes(tn_dtype type, size_t cols);

/* Bytes of a matrix in either order. The caller checks for overflow with tn_matrix_fits. */
size_t tn_matrix_bytes(const tn_matrix *w);

/* True if a matrix of this form can exist: its rows are whole blocks, and its size in bytes does not overflow. */
bool tn_matrix_fits(const tn_matrix *w);

/* Packs `count` <= 16 rows of `cols` inputs, which start row_bytes apart, into one panel. */
void tn_panel_pack(tn_dtype type, const void *rows, size_t row_bytes, size_t count, size_t cols, void *panel);

/* The row of `cols` inputs from which output `output` < 16 of a panel was made, bit for bit. */
void tn_panel_row(tn_dtype type, const void *panel, size_t output, size_t cols, void *row);

/* Inputs begin .. begin+count-1 of one output; begin and count are multiples of the type's block, or of 32 if the block
 * is longer. Threads: any. */
void tn_matrix_unpack(const tn_matrix *w, size_t row, size_t begin, size_t count, tn_real *values);

#endif
