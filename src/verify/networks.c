/* Verifies preprocessing and plain forward passes against a golden case. */
#include "verify/parts.h"

#include "image/patches.h"
#include "model/pieces.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* ------------------------------------------------------------- images -- */

static void check_resize(tn_verify *verify, size_t number)
{
    char name[64];
    snprintf(name, sizeof name, "bicubic.%zu.out", number);
    const tn_stored *out = tn_verify_input(verify, "%s", name);
    tn_image source = tn_verify_image(verify, tn_verify_input(verify, "bicubic.%zu.src", number)), got = { 0 };
    size_t differing = 0;
    if (out != NULL && out->type == TN_STORE_U8 && out->rank == 3 && out->shape[2] == 3 && source.pixels != NULL &&
        tn_image_resize(&source, out->shape[1], out->shape[0], TN_RESAMPLE_BICUBIC, &got, &verify->failure) == TENEBRA_OK) {
        for (size_t i = 0; i < out->elements; i++)
            differing += got.pixels[i] != ((const unsigned char *)out->data)[i];
        tn_verify_count(verify, name, differing);
    } else {
        tn_verify_fail(verify, name);
    }
    tn_image_free(&source);
    tn_image_free(&got);
}

static void check_smart_resize(tn_verify *verify)
{
    const tn_stored *table = tn_verify_input(verify, "smart_resize.table");
    int64_t *rows = table && table->rank == 2 && table->shape[1] == 7 ? tn_verify_integers(verify, table) : NULL;
    if (rows == NULL) {
        tn_verify_fail(verify, "smart_resize.table");
        return;
    }
    size_t differing = 0;
    for (size_t r = 0; r < table->shape[0]; r++) {
        const int64_t *row = rows + 7 * r;
        size_t height = 0, width = 0;
        if (tn_smart_resize((size_t)row[0], (size_t)row[1], (size_t)row[2], (size_t)row[3], (size_t)row[4], &height,
                            &width, NULL) != TENEBRA_OK || (int64_t)height != row[5] || (int64_t)width != row[6])
            differing++;
    }
    tn_verify_count(verify, table->name, differing);
    free(rows);
}

/* The case states its own limits: min_pixels 784, max_pixels 1568 (README of the preprocess set). */
static void check_full(tn_verify *verify)
{
    tn_image source = tn_verify_image(verify, tn_verify_input(verify, "qwen_full.src"));
    if (source.pixels == NULL)
        return;
    tn_patch_config config = tn_patch_config_default();
    tn_patches patches = { 0 };
    config.min_pixels = 784;
    config.max_pixels = 1568;
    if (tn_patches_make(&config, &source, &patches, &verify->failure) == TENEBRA_OK) {
        int64_t sides[3] = { (int64_t)patches.grid_t, (int64_t)patches.grid_h, (int64_t)patches.grid_w };
        tn_verify_compare(verify, "qwen_full.pixel_values", patches.values, patches.count * patches.columns);
        tn_verify_compare_integers(verify, "qwen_full.grid_thw", sides, 3);
    } else {
        tn_verify_fail(verify, "qwen_full.pixel_values");
    }
    tn_patches_free(&patches);
    tn_image_free(&source);
}

void tn_verify_preprocess(tn_verify *verify)
{
    for (size_t number = 0; tn_verify_has(verify, "bicubic.%zu.out", number); number++)
        check_resize(verify, number);
    check_smart_resize(verify);
    check_full(verify);
}

/* -------------------------------------------------------- plain forwards -- */

/* A plain forward that is being watched. */
typedef struct watching {
    tn_verify *verify;
    const char *prefix;
} watching;

static void watch_hidden(void *user, const char *name, size_t index, const tn_tensor *value)
{
    const watching *w = user;
    char full[64];
    if (strcmp(name, "decoder.layer") != 0)
        return;
    snprintf(full, sizeof full, "%s.hidden.%zu", w->prefix, index);
    tn_verify_compare_tensor(w->verify, full, *value);
}

/* Logits of the last of `total` normed rows, as many as the case holds. */
static void compare_last_logits(tn_verify *verify, const char *name, const tn_real *normed, size_t total)
{
    const tn_stored *stored = tn_verify_input(verify, "%s", name);
    if (stored == NULL)
        return;
    size_t rows = stored->rank == 2 ? stored->shape[0] : 1;
    tn_session *session = verify->session;
    size_t cols = verify->model->config.decoder.hidden_size, vocabulary = session->logits.cols;
    tn_real *logits = rows <= total ? tn_verify_take(verify, rows * vocabulary + 1, sizeof *logits) : NULL;
    if (logits == NULL) {
        tn_verify_fail(verify, name);
        return;
    }
    const tn_tensor last = tn_op_import(&session->engine->ops, rows, cols, normed + (total - rows) * cols);
    tn_engine_logits(session->engine, last, logits, &verify->failure);
    tn_verify_compare(verify, name, logits, rows * vocabulary);
    free(logits);
}

/* The rows of a prompt, with the positions of the backbone, or 0, 1, 2, ... */
static bool make_rows(tn_verify *verify, const int64_t *ids, size_t count, const tn_verify_picture *picture, bool own_positions,
                      tn_row *rows)
{
    const tn_model *model = verify->model;
    const tn_image_rows *pictures[] = { &picture->rows };
    int32_t *tokens = tn_verify_take(verify, count, sizeof *tokens);
    for (size_t i = 0; tokens != NULL && i < count; i++)
        tokens[i] = (int32_t)ids[i];
    bool good = tokens != NULL && tn_rows_of_ids(&model->config, tokens, count, pictures, picture->rows.rows > 0, rows,
                                                 &verify->failure) == TENEBRA_OK;
    free(tokens);
    for (size_t i = 0; good && i < count; i++)
        rows[i].position = (tn_position){ { (int32_t)i, (int32_t)i, (int32_t)i } };
    if (!good || !own_positions)
        return good;
    int64_t delta = (int64_t)model->backbone->positions(rows, count, 0) - (int64_t)count;
    int64_t *axes = tn_verify_take(verify, 3 * count, sizeof *axes);
    for (size_t i = 0; axes != NULL && i < 3 * count; i++)
        axes[i] = rows[i % count].position.axis[i / count];
    if (axes != NULL)
        tn_verify_compare_integers(verify, "plain.mrope.position_ids", axes, 3 * count);
    tn_verify_compare_integers(verify, "plain.mrope.delta", &delta, 1);
    free(axes);
    return true;
}

/* Whether the case has results whose names start with `prefix`. */
static bool has_outputs(const tn_verify *verify, const char *prefix)
{
    return tn_verify_has(verify, "%s.hidden.0", prefix) || tn_verify_has(verify, "%s.hidden_last", prefix) ||
           tn_verify_has(verify, "%s.last_logits", prefix) || tn_verify_has(verify, "%s.logits_last24", prefix) ||
           tn_verify_has(verify, "%s.logits_last32", prefix);
}

/* Compares the results of a forward with the tensors whose names start with `prefix`; normed [count, cols] is NULL if it
 * failed. */
static void compare_outputs(tn_verify *verify, const char *prefix, const tn_real *normed, size_t count)
{
    static const char *const logits[] = { "last_logits", "logits_last24", "logits_last32" };
    const tn_decoder_config *config = &verify->model->config.decoder;
    const char *const hidden[] = { "hidden_last", "hidden" };
    char name[96];
    for (size_t i = 0; i < sizeof logits / sizeof *logits; i++) {
        snprintf(name, sizeof name, "%s.%s", prefix, logits[i]);
        if (normed != NULL)
            compare_last_logits(verify, name, normed, count);
        else
            tn_verify_fail(verify, name);
    }
    for (size_t i = 0; i < 2; i++) {
        snprintf(name, sizeof name, i == 0 ? "%s.%s" : "%s.%s.%zu", prefix, hidden[i], config->num_hidden_layers);
        if (normed != NULL)
            tn_verify_compare(verify, name, normed, count * config->hidden_size);
        else
            tn_verify_fail(verify, name);
    }
}

/* One forward pass of the ids named `ids_name`, if the case has results with `prefix`. */
static void check_forward(tn_verify *verify, const char *ids_name, const char *prefix, bool own_positions,
                          const tn_verify_picture *picture)
{
    const tn_stored *stored = has_outputs(verify, prefix) ? tn_verify_input(verify, "%s", ids_name) : NULL;
    int64_t *ids = stored ? tn_verify_ids(verify, stored) : NULL;
    if (ids == NULL)
        return;
    tn_session *session = verify->session;
    size_t count = stored->elements;
    watching w = { verify, prefix };
    tn_row *rows = tn_verify_take(verify, count, sizeof *rows);
    tn_real *normed = tn_verify_take(verify, count * verify->model->config.decoder.hidden_size, sizeof *normed);
    bool ok = rows != NULL && normed != NULL;
    if (ok) {
        tn_session_reset(session);
        session->engine->ops.watch = watch_hidden;
        session->engine->ops.watch_user = &w;
        ok = make_rows(verify, ids, count, picture, own_positions, rows) &&
             tn_session_append(session, rows, count, NULL, normed, &verify->failure) == TENEBRA_OK;
        session->engine->ops.watch = NULL;
    }
    compare_outputs(verify, prefix, ok ? normed : NULL, count);
    free(ids);
    free(rows);
    free(normed);
}

void tn_verify_plain(tn_verify *verify)
{
    tn_verify_picture picture, none = { 0 };
    check_forward(verify, "textonly.ids", "textonly", false, &none);
    if (!tn_verify_open_picture(verify, &picture))
        return;
    check_forward(verify, "plain.ids", "plain.mrope", true, &picture);
    check_forward(verify, "plain.ids", "plain.arange", false, &picture);
    check_forward(verify, "plain.ids", "plain", true, &picture);
    tn_verify_close_picture(&picture);
}
