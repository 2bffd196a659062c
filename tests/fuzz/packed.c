/* Fuzz target: weights of any type and order, packed ones above all, from a hostile file.
 *
 * The input is a header of safetensors without its length; its last byte says how many of the bytes before it are the data, times
 * 16. Every weight that is accepted is unpacked, whole and in parts, and brought into the other order and back. */
#include "store/format.h"

#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size);

enum { MOST = 1 << 16 }; /* values that are unpacked of one tensor */

static void require(bool truth)
{
    if (!truth)
        abort();
}

static void check_row(const tn_matrix *w, size_t row, tn_real *whole, tn_real *parts)
{
    size_t block = tn_dtype_of(w->type)->block, piece = block > 32 ? block : 32;
    tn_matrix_unpack(w, row, 0, w->cols, whole);
    for (size_t begin = 0; begin < w->cols; begin += piece)
        tn_matrix_unpack(w, row, begin, w->cols - begin < piece ? w->cols - begin : piece, parts + begin);
    require(memcmp(whole, parts, w->cols * sizeof *whole) == 0);
}

/* Rows that panels were made from, as a matrix of rows; the values are the same. */
static void check_order(const tn_matrix *w, size_t row, const tn_real *whole, tn_real *parts)
{
    unsigned char *line = malloc(tn_dtype_row_bytes(w->type, w->cols));
    require(line != NULL);
    tn_panel_row(w->type, (const char *)w->data + row / TN_PANEL * tn_panel_bytes(w->type, w->cols), row % TN_PANEL, w->cols, line);
    const tn_matrix rows = { w->type, 1, w->cols, line, TN_ROWS };
    tn_matrix_unpack(&rows, 0, 0, w->cols, parts);
    require(memcmp(whole, parts, w->cols * sizeof *whole) == 0);
    free(line);
}

static void check_tensor(const tn_stored *tensor)
{
    if (!tensor->form.is_weight || tensor->form.elements == 0 || tensor->form.elements > MOST || tensor->form.rank == 0)
        return;
    const tn_matrix w = tn_form_matrix(&tensor->form, tensor->data);
    require(tn_matrix_fits(&w) && tn_matrix_bytes(&w) == tensor->bytes && w.rows * w.cols == tensor->form.elements);
    tn_real *whole = malloc(w.cols * sizeof *whole), *parts = malloc(w.cols * sizeof *parts);
    require(whole != NULL && parts != NULL);
    for (size_t row = 0; row < w.rows; row++) {
        check_row(&w, row, whole, parts);
        if (w.order == TN_PANELS)
            check_order(&w, row, whole, parts);
    }
    free(whole);
    free(parts);
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size)
{
    if (size == 0)
        return 0;
    size_t data = 16 * (size_t)bytes[size - 1];
    data = data < size ? data : size - 1;
    size_t header = size - 1 - data, length = 8 + size - 1;
    uint8_t *file = malloc(length);
    require(file != NULL);
    for (size_t i = 0; i < 8; i++)
        file[i] = (uint8_t)((uint64_t)header >> (8 * i));
    memcpy(file + 8, bytes, size - 1);
    tn_contents parsed;
    tenebra_error error = { 0 };
    tenebra_code code = tn_contents_open(&parsed, file, length, "input.safetensors", &error);
    require(code == error.code);
    for (size_t i = 0; i < parsed.count; i++)
        check_tensor(&parsed.tensors[i]);
    tn_contents_close(&parsed);
    free(file);
    return 0;
}
