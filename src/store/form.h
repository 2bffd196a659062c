/* The meaning of a stored tensor's values, if its file type does not define it.
 *
 * Quantised blocks and panels (kern/panel.h) are stored as tensors of bytes, U8 [rows, bytes of a row] or [panels,
 * bytes of a panel]. A string in the file's __metadata__ with the key TN_FORM_KEY<name of the tensor> describes the
 * bytes: "TYPE ORDER DIMENSION DIMENSION ...", such as "Q4_0 panels 18944 3584". docs/formats.md describes the format. */
#ifndef TN_STORE_FORM_H
#define TN_STORE_FORM_H

#include "kern/panel.h"
#include "store/type.h"

#define TN_FORM_KEY "tenebra.weight."

enum { TN_FORM_TEXT = 256 }; /* largest size of a form's text in bytes */

typedef struct tn_form {
    bool is_weight; /* kernels read it */
    tn_dtype type;  /* only if is_weight, as is `order` */
    tn_order order;
    size_t rank, shape[TN_STORED_RANK_MAX]; /* of the values, not of the bytes */
    size_t elements;
} tn_form;

/* True if weights of this form are stored as bytes with a string of metadata. Plain types row by row are not, because
 * the file's own types describe them completely. */
bool tn_form_is_packed(const tn_form *form);

/* The matrix [shape[0], product of the rest] of a weight with rank >= 1; trailing dimensions count as one, since a
 * convolution's kernel is a matrix. */
tn_matrix tn_form_matrix(const tn_form *form, const void *data);

/* Reads the text of a packed form. False if it is invalid: unknown words, fewer than 2 or too many dimensions, a
 * dimension of 0, numbers that are not plain decimal, impossible sizes, or a form that is not packed. */
bool tn_form_parse(const char *text, tn_form *form);

/* The text of a packed form. */
void tn_form_print(const tn_form *form, char text[TN_FORM_TEXT]);

/* The shape of the bytes of a packed form: rows or panels, and bytes of each. */
void tn_form_bytes(const tn_form *form, size_t shape[2]);

const char *tn_order_name(tn_order order);

#endif
