#include "model/finite.h"

#include "model/lora.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

bool tn_stored_is_finite(const tn_stored *stored, size_t *row, size_t *col)
{
    const tn_form *form = &stored->form;
    tn_matrix matrix = form->rank >= 2 ? tn_form_matrix(form, stored->data)
                                       : (tn_matrix){ form->type, 1, form->elements, stored->data, TN_ROWS };
    tn_real *values = form->is_weight && matrix.cols > 0 ? malloc(matrix.cols * sizeof *values) : NULL;
    bool finite = true;
    for (size_t r = 0; values != NULL && finite && r < matrix.rows; r++) {
        tn_matrix_unpack(&matrix, r, 0, matrix.cols, values);
        finite = tn_all_finite(values, matrix.cols);
        *row = r;
        for (*col = 0; !finite && tn_all_finite(values + *col, 1);)
            ++*col;
    }
    free(values);
    return finite;
}

/* --------------------------------------------------------------- weights -- */

/* Fails if the stored tensor contains such a value. */
static bool blame_tensor(const tn_model *model, const tn_place *of, const char *place, tenebra_error *error)
{
    const tn_stored *stored = tn_place_stored(&model->networks, of, model->store, NULL);
    size_t row, col;
    if (stored == NULL || tn_stored_is_finite(stored, &row, &col))
        return false;
    tn_fail(error, TENEBRA_ERROR_FORMAT, stored->name, "contains a value that is NaN or infinite (row %zu, column %zu), so nothing can be "
                                                       "computed with %s; get the weights again", row, col, place);
    return true;
}

/* The same for the adapters on this tensor. */
static bool blame_adapter(const tn_model *model, const char *canonical, const char *place, tenebra_error *error)
{
    for (size_t i = 0; i < model->adapter_count; i++)
        for (size_t m = 0; m < model->adapters[i]->module_count; m++) {
            const tn_adapter_module *module = &model->adapters[i]->modules[m];
            size_t length = strlen(module->name);
            if (strncmp(canonical, module->name, length) != 0 || strcmp(canonical + length, ".weight") != 0 ||
                (tn_all_finite(module->a, module->rank * module->inputs) &&
                 tn_all_finite(module->b, module->outputs * module->rank)))
                continue;
            tn_fail(error, TENEBRA_ERROR_FORMAT, module->name,
                    "adapter %zu contains a value here that is NaN or infinite, so nothing can be computed with %s", i + 1, place);
            return true;
        }
    return false;
}

typedef struct suspicion {
    const tn_model *model;
    tn_network_kind kind;
    size_t group, number;
    const char *place; /* as text, for messages */
} suspicion;

static tenebra_code blame_place(void *user, const tn_place *place, tenebra_error *error)
{
    const suspicion *s = user;
    bool meant = place->network->layout->kind == s->kind && place->row->group == s->group && place->number == s->number;
    tenebra_error problem;
    if (meant && place->row->dims[0] != TN_SIZE_FREE &&
        (blame_tensor(s->model, place, s->place, &problem) || blame_adapter(s->model, place->name, s->place, &problem)))
        return tn_fail(error, problem.code, problem.where, "%s", problem.sentence);
    return TENEBRA_OK;
}

/* Searches the weights of one layer or block, or those that a network has only once (except embedding and head). If they are
 * all finite, the error says that the numbers grew too large. */
static tenebra_code blame(const tn_model *model, tn_network_kind kind, size_t group, size_t number, const char *place,
                          tenebra_error *error)
{
    suspicion s = { model, kind, group, number, place };
    TN_TRY(tn_networks_each(&model->networks, blame_place, &s, error));
    return tn_fail(error, TENEBRA_ERROR_FORMAT, place, "gives numbers that are NaN or infinite, although its weights are not: they grew "
                   "too large here; are these the weights of this configuration, and the adapters at the right strength?");
}

/* -------------------------------------------------------------- tracing -- */

enum { NOWHERE = -1 };

typedef struct search {
    tn_ops *ops;
    const char *first, *each; /* names of watched values: one at the start, and one for each layer */
    long found;               /* index of the first layer value that is not finite, or NOWHERE  */
    bool at_first;            /* the first watched value was not finite                         */
} search;

static void look(void *user, const char *name, size_t index, const tn_tensor *value)
{
    search *s = user;
    if (s->found != NOWHERE || s->at_first || tn_op_is_finite(s->ops, *value))
        return;
    if (s->first != NULL && strcmp(name, s->first) == 0)
        s->at_first = true;
    else if (strcmp(name, s->each) == 0)
        s->found = (long)index;
}

/* Finds the row of the decoder's input that is not finite. */
static tenebra_code blame_input(const tn_model *model, const tn_row *rows, size_t count, tenebra_error *error)
{
    const tn_matrix *embed = &model->decoder.embed.matrix;
    tn_real *values = malloc(embed->cols * sizeof *values);
    for (size_t i = 0; values != NULL && i < count; i++) {
        int32_t token = tn_row_token(&rows[i]);
        if (token < 0)
            continue;
        tn_matrix_unpack(embed, (size_t)token, 0, embed->cols, values);
        bool finite = tn_all_finite(values, embed->cols);
        if (finite)
            continue;
        free(values);
        return tn_fail(error, TENEBRA_ERROR_FORMAT, "embedding", "the row of token %d contains a value that is NaN or infinite; get the "
                       "weights again", (int)token);
    }
    free(values);
    return tn_fail(error, TENEBRA_ERROR_FORMAT, "embedding", "a row of input is NaN or infinite");
}

tenebra_code tn_fail_rows(tn_engine *engine, const tn_sequence *sequence, const tn_row *rows, size_t count, tenebra_error *error)
{
    const tn_model *model = engine->model;
    tn_ops *ops = &engine->ops;
    size_t mark = tn_ops_mark(ops);
    tn_ops before = *ops;
    search s = { ops, NULL, "decoder.layer", NOWHERE, false };
    char place[64];
    ops->watch = look;
    ops->watch_user = &s;
    const tn_decoder_part alone = { count, sequence->length, sequence->cache, NULL };
    const tn_tensor x = tn_rows_run(ops, &model->decoder, rows, count, &alone, 1);
    bool left = !tn_op_is_finite(ops, x);
    *ops = before;
    tn_ops_release(ops, mark);
    if (s.found == 0)
        return blame_input(model, rows, count, error);
    if (s.found == NOWHERE && !left)
        return blame(model, TN_NETWORK_DECODER, 0, 0, "the final norm", error);
    size_t layer = s.found == NOWHERE ? model->config.decoder.num_hidden_layers - 1 : (size_t)s.found - 1;
    snprintf(place, sizeof place, "decoder layer %zu", layer); /* the watched value is a layer's input */
    return blame(model, TN_NETWORK_DECODER, TN_DECODER_LAYER, layer, place, error);
}

tenebra_code tn_fail_pictures(tn_engine *engine, const tn_prepared *const *pictures, size_t count, tenebra_error *error)
{
    const tn_model *model = engine->model;
    tn_ops *ops = &engine->ops;
    tn_ops before = *ops;
    search s = { ops, "vision.patch_embed", "vision.block", NOWHERE, false };
    size_t mark = tn_ops_mark(ops);
    char place[64];
    ops->watch = look;
    ops->watch_user = &s;
    for (size_t i = 0; i < count && s.found == NOWHERE && !s.at_first; i++) {
        if (!tn_all_finite(pictures[i]->values, pictures[i]->rows * pictures[i]->columns)) {
            *ops = before;
            return tn_fail(error, TENEBRA_ERROR_FORMAT, "image", "its values are NaN or infinite after scaling as the processor file "
                           "says");
        }
        tn_networks_encode(ops, &model->networks, &pictures[i], 1);
        tn_ops_release(ops, mark);
    }
    *ops = before;
    if (s.found == NOWHERE)
        return blame(model, TN_NETWORK_IMAGES, 0, 0, s.at_first ? "the input of the blocks of the vision tower"
                                                                : "the layers after the blocks of the vision tower", error);
    snprintf(place, sizeof place, "vision block %ld", s.found);
    return blame(model, TN_NETWORK_IMAGES, TN_ENCODER_BLOCK, (size_t)s.found, place, error);
}

tenebra_code tn_fail_logits(const tn_model *model, const tn_real *normed, const tn_real *logits, tenebra_error *error)
{
    const tn_matrix *head = &model->decoder.head.matrix;
    size_t row = 0;
    if (!tn_all_finite(normed, head->cols))
        return tn_fail(error, TENEBRA_ERROR_FORMAT, "head", "its input is NaN or infinite");
    while (row + 1 < head->rows && tn_all_finite(logits + row, 1))
        row++;
    tn_real *values = malloc(head->cols * sizeof *values);
    bool weights = values == NULL;
    if (values != NULL) {
        tn_matrix_unpack(head, row, 0, head->cols, values);
        weights = tn_all_finite(values, head->cols);
    }
    free(values);
    return tn_fail(error, TENEBRA_ERROR_FORMAT, "head", weights ? "the logit of token %zu is NaN or infinite, although its weights are "
                   "not: numbers grew too large" : "the row of token %zu contains a value that is NaN or infinite; get the weights "
                   "again", row);
}
