#include "store/form.h"

#include "base/checked.h"

#include <stdio.h>
#include <string.h>

enum { WORD_MAX = 31 };

static const char *const orders[] = { [TN_ROWS] = "rows", [TN_PANELS] = "panels" };

const char *tn_order_name(tn_order order)
{
    return orders[order];
}

bool tn_form_is_packed(const tn_form *form)
{
    return form->is_weight && (form->order == TN_PANELS || tn_dtype_of(form->type)->block > 1);
}

tn_matrix tn_form_matrix(const tn_form *form, const void *data)
{
    size_t rows = form->shape[0];
    return (tn_matrix){ .type = form->type, .rows = rows, .cols = rows > 0 ? form->elements / rows : 0,
                        .data = data, .order = form->order };
}

/* The next word, which a space or the end of the text must follow; false if it is empty or too long. */
static bool next_word(const char **text, char word[WORD_MAX + 1])
{
    size_t length = strcspn(*text, " ");
    if (length == 0 || length > WORD_MAX)
        return false;
    memcpy(word, *text, length);
    word[length] = '\0';
    *text += length;
    if (**text == ' ' && (*text)[1] != '\0')
        ++*text;
    return true;
}

static bool read_dimension(const char *word, size_t *out)
{
    size_t value = 0;
    if (word[0] == '0') /* nor is any dimension 0 */
        return false;
    for (; *word != '\0'; word++)
        if (*word < '0' || *word > '9' || !tn_size_mul(value, 10, &value) ||
            !tn_size_add(value, (size_t)(*word - '0'), &value))
            return false;
    *out = value;
    return true;
}

bool tn_form_parse(const char *text, tn_form *form)
{
    char word[WORD_MAX + 1];
    memset(form, 0, sizeof *form);
    form->is_weight = true;
    form->elements = 1;
    if (!next_word(&text, word) || !tn_dtype_by_name(word, &form->type) || !next_word(&text, word))
        return false;
    form->order = strcmp(word, orders[TN_PANELS]) == 0 ? TN_PANELS : TN_ROWS;
    if (strcmp(word, orders[form->order]) != 0)
        return false;
    while (*text != '\0') {
        if (form->rank == TN_STORED_RANK_MAX || !next_word(&text, word) ||
            !read_dimension(word, &form->shape[form->rank]) ||
            !tn_size_mul(form->elements, form->shape[form->rank], &form->elements))
            return false;
        form->rank++;
    }
    const tn_matrix matrix = tn_form_matrix(form, NULL);
    return form->rank >= 2 && tn_form_is_packed(form) && tn_matrix_fits(&matrix);
}

void tn_form_print(const tn_form *form, char text[TN_FORM_TEXT])
{
    size_t used = (size_t)snprintf(text, TN_FORM_TEXT, "%s %s", tn_dtype_of(form->type)->name, orders[form->order]);
    for (size_t i = 0; i < form->rank; i++)
        used += (size_t)snprintf(text + used, TN_FORM_TEXT - used, " %zu", form->shape[i]);
}

void tn_form_bytes(const tn_form *form, size_t shape[2])
{
    const tn_matrix matrix = tn_form_matrix(form, NULL);
    bool panels = form->order == TN_PANELS;
    shape[0] = panels ? tn_pieces(matrix.rows, TN_PANEL) : matrix.rows;
    shape[1] = panels ? tn_panel_bytes(form->type, matrix.cols) : tn_dtype_row_bytes(form->type, matrix.cols);
}
