/* Opens, verifies and closes a case. */
#include "verify/parts.h"

#include "base/file.h"

#include <stdlib.h>
#include <string.h>

/* Inputs from which other names are computed, and quantities that are for information only. */
static bool needs_no_result(const char *name)
{
    size_t length = strlen(name);
    return strcmp(name, "prompt_ids") == 0 || strcmp(name, "latent_token_id") == 0 || strcmp(name, "eos_token_id") == 0 ||
           strstr(name, ".native.") != NULL || (length > 4 && strncmp(name, "ids.", 4) == 0);
}

bool tn_verify_is_covered(const tn_verify *verify, size_t index)
{
    return (verify->handled != NULL && verify->handled[index]) || needs_no_result(tn_store_at(verify->golden, index)->name);
}

char *tn_verify_beside(tn_verify *verify, const char *name)
{
    const char *path = tn_store_file_path(verify->golden, 0), *slash = strrchr(path, '/');
    size_t length = slash ? (size_t)(slash - path) + 1 : 0;
    char *joined = tn_verify_take(verify, length + strlen(name) + 1, 1);
    if (joined != NULL) {
        memcpy(joined, path, length);
        strcpy(joined + length, name);
    }
    return joined;
}

/* Only a case of nothing but images requires no model. */
static bool needs_model(const tn_verify *verify)
{
    bool needed = false;
    for (size_t i = 0; i < tn_store_count(verify->golden) && !needed; i++)
        tn_verify_is_result(tn_store_at(verify->golden, i)->name, &needed);
    return needed;
}

/* 16-bit matrices as F32 in memory, as the reference computed: no kernel set rounds activations for those. The head of tied
 * embeddings follows its twin. */
static tenebra_code widen(void *user, const tn_place *place, tenebra_error *error)
{
    tn_verify *verify = user;
    tn_weight *weights = place->slot;
    if (place->row->role == TN_ROLE_HEAD && verify->model->networks.tied)
        weights->matrix = verify->model->decoder.embed.matrix;
    for (size_t part = 0; tn_place_is_matrix(place) && part < place->row->parts; part++) {
        tn_matrix *matrix = &weights[part].matrix;
        if (matrix->data == NULL || (matrix->type != TN_BF16 && matrix->type != TN_F16))
            continue;
        tn_real *values = tn_arena_take(&verify->wide, matrix->rows * matrix->cols, sizeof *values);
        if (values == NULL)
            return tn_fail(error, TENEBRA_ERROR_MEMORY, place->name, "no memory for it as F32");
        for (size_t row = 0; row < matrix->rows; row++)
            tn_matrix_unpack(matrix, row, 0, matrix->cols, values + row * matrix->cols);
        *matrix = (tn_matrix){ TN_F32, matrix->rows, matrix->cols, values, TN_ROWS };
    }
    return TENEBRA_OK;
}

static tenebra_code widen_all(tn_verify *verify, tenebra_error *error)
{
    size_t values = 0;
    for (size_t i = 0; i < tn_store_count(verify->model->store); i++) {
        const tn_form *form = &tn_store_at(verify->model->store, i)->form;
        values += form->is_weight ? form->elements + TN_ARENA_ALIGNMENT : 0;
    }
    TN_TRY(tn_arena_open(&verify->wide, values * sizeof(tn_real), error));
    return tn_networks_each(&verify->model->networks, widen, verify, error);
}

static tenebra_code open_model(tn_verify *verify, const tn_verify_options *options, tenebra_error *error)
{
    tn_model_options model = { .kernels = options->kernels, .base = options->base, .lora_alpha = options->lora_alpha, .no_text = true };
    tn_session_options session = { .threads = options->threads };
    char *beside = options->model == NULL ? tn_verify_beside(verify, "model") : NULL;
    const char *directory = beside != NULL ? beside : options->model;
    tenebra_code code = verify->failure.code;
    if (directory != NULL)
        code = tn_model_open(directory, &model, &verify->model, error);
    else
        *error = verify->failure;
    free(beside);
    TN_TRY(code);
    TN_TRY(widen_all(verify, error));
    return tn_session_open(verify->model, &session, &verify->session, error);
}

tenebra_code tn_verify_open(tn_verify *verify, const char *path, const tn_verify_options *options, tenebra_error *error)
{
    tenebra_error local;
    error = error ? error : &local;
    memset(verify, 0, sizeof *verify);
    TN_TRY(tn_store_open(path, &verify->golden, error));
    verify->handled = calloc(tn_store_count(verify->golden) + 1, sizeof *verify->handled);
    if (verify->handled == NULL)
        return tn_fail(error, TENEBRA_ERROR_MEMORY, path, "no memory");
    return needs_model(verify) ? open_model(verify, options, error) : TENEBRA_OK;
}

/* Reports known names that were left out because an input is missing or misshapen. */
static void fail_the_rest(tn_verify *verify)
{
    for (size_t i = 0; i < tn_store_count(verify->golden); i++) {
        const char *name = tn_store_at(verify->golden, i)->name;
        bool unused;
        if (!tn_verify_is_covered(verify, i) && tn_verify_is_result(name, &unused))
            tn_verify_fail(verify, name);
    }
}

void tn_verify_run(tn_verify *verify)
{
    tn_verify_preprocess(verify);
    if (verify->session != NULL) {
        tn_verify_vision(verify);
        tn_verify_plain(verify);
        tn_verify_latent(verify);
        tn_verify_batch(verify);
        tn_verify_train(verify);
    }
    fail_the_rest(verify);
}

void tn_verify_close(tn_verify *verify)
{
    tn_session_close(verify->session);
    tn_model_close(verify->model);
    tn_arena_close(&verify->wide);
    tn_store_close(verify->golden);
    free(verify->handled);
    free(verify->rows);
    memset(verify, 0, sizeof *verify);
}
