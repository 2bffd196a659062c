/* What the values of a stored tensor are, where its file type does not say it.
 *
 * Quantised blocks and panels (kern/panel.h) are stored as tensors of bytes, U8 [rows, bytes of a row] or
 * [panels, bytes of a panel]. A string of the file's __metadata__ under TN_FORM_KEY<name of the tensor> says
 * what they hold: "TYPE ORDER DIMENSION DIMENSION ...", such as "Q4_0 panels 18944 3584".
 * docs/formats.md describes the format. */
#ifndef TN_STORE_FORM_H
#define TN_STORE_FORM_H

#include "kern/panel.h"
#include "store/type.h"

#define TN_FORM_KEY "tenebra.weight."

enum { TN_FORM_TEXT = 256 }; /* bytes that any form takes as text */

typedef struct tn_form {
    bool is_weight; /* kernels read it */
    tn_dtype type;  /* only if is_weight, as is `order` */
    tn_order order;
    size_t rank, shape[TN_STORED_RANK_MAX]; /* of the values, not of the bytes */
    size_t elements;
} tn_form;

/* Whether weights of this form are stored as bytes with a string of metadata. The plain types row by row
 * are not: the file's own types say all about them. */
bool tn_form_is_packed(const tn_form *form);

/* The matrix [shape[0], the rest] of a weight with rank >= 1; trailing dimensions count as one, since a
 * convolution's kernel is a matrix. */
tn_matrix tn_form_matrix(const tn_form *form, const void *data);

/* Reads the text of a packed form. False if it is not one: unknown words, fewer than 2 or too many dimensions,
 * one of 0, numbers that are not plain decimal, sizes that cannot be, or a form that is not packed. */
bool tn_form_parse(const char *text, tn_form *form);

/* The text of a packed form. */
void tn_form_print(const tn_form *form, char text[TN_FORM_TEXT]);

/* The shape of the bytes of a packed form: rows or panels, and bytes of each. */
void tn_form_bytes(const tn_form *form, size_t shape[2]);

const char *tn_order_name(tn_order order);

#endif
