/* Verifies preprocessing, the vision tower, and plain forward passes against a golden case. */
#include "verify/parts.h"

#include "image/patches.h"
#include "model/pieces.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* ------------------------------------------------------------- images -- */

/* A stored u8 image [h, w, 3]; pixels are NULL if it is not one. */
static tn_image picture_of(tn_verify *verify, const tn_stored *stored)
{
    tn_image image = { 0 };
    if (stored != NULL && stored->type == TN_STORE_U8 && stored->rank == 3 && stored->shape[2] == 3 &&
        tn_image_new(&image, stored->shape[1], stored->shape[0], 3, &verify->failure) == TENEBRA_OK)
        memcpy(image.pixels, stored->data, stored->bytes);
    return image;
}

static void check_resize(tn_verify *verify, size_t number)
{
    char name[64];
    snprintf(name, sizeof name, "bicubic.%zu.out", number);
    const tn_stored *out = tn_verify_input(verify, "%s", name);
    tn_image source = picture_of(verify, tn_verify_input(verify, "bicubic.%zu.src", number)), got = { 0 };
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
    tn_image source = picture_of(verify, tn_verify_input(verify, "qwen_full.src"));
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

/* --------------------------------------------------------- vision tower -- */

static void compare_tensor(tn_verify *verify, const char *name, tn_tensor value)
{
    const tn_real *values = tn_op_view(&verify->session->engine->ops, value);
    if (values != NULL)
        tn_verify_compare(verify, name, values, value.rows * value.cols);
}

static void watch_vision(void *user, const char *name, size_t index, const tn_tensor *value)
{
    char full[64];
    if (strcmp(name, "vision.block") == 0)
        snprintf(full, sizeof full, "%s.%zu", name, index);
    else
        snprintf(full, sizeof full, "%s", name);
    if (strncmp(name, "vision.", 7) == 0)
        compare_tensor(user, full, *value);
}

size_t tn_verify_side(const tn_model *model, const char *name)
{
    return tn_encoder_size(model->backbone->encoder, &model->config.vision, name);
}

/* The grids of up to 64 images; 0 if the tensor does not contain grids. */
static size_t read_grids(tn_verify *verify, const tn_stored *sides, tn_grid grids[64], size_t *patches)
{
    bool fits = sides != NULL && sides->rank == 2 && sides->shape[1] == 3 && sides->shape[0] >= 1 && sides->shape[0] <= 64;
    int64_t *numbers = fits ? tn_verify_integers(verify, sides) : NULL;
    bool ok = numbers != NULL;
    *patches = 0;
    for (size_t i = 0; ok && i < sides->shape[0]; i++) {
        for (size_t axis = 0; axis < 3; axis++)
            ok = ok && numbers[3 * i + axis] > 0 && numbers[3 * i + axis] < 65536;
        grids[i] = (tn_grid){ (size_t)numbers[3 * i], (size_t)numbers[3 * i + 1], (size_t)numbers[3 * i + 2] };
        *patches += tn_grid_patches(grids[i]);
    }
    free(numbers);
    return ok ? sides->shape[0] : 0;
}

/* Encodes the patches called `values` with the grids called `sides`. The embeddings of all images are stored in the session
 * like those of one image, with the grid of the first. */
static bool encode(tn_verify *verify, const char *values, const char *sides, tn_image_rows *all)
{
    const tn_stored *stored = tn_verify_input(verify, "%s", values);
    const tn_model *model = verify->model;
    size_t columns = tn_verify_side(model, "patch_values"), side = tn_verify_side(model, "patch_size"), needed = 0;
    tn_grid grids[64];
    tn_prepared prepared[64];
    tn_image_rows pictures[64];
    const tn_prepared *from[64];
    tn_image_rows *to[64];
    size_t count = read_grids(verify, tn_verify_input(verify, "%s", sides), grids, &needed);
    float *numbers = count > 0 && stored != NULL && stored->rank == 2 && stored->shape[1] == columns && stored->shape[0] == needed
                         ? tn_verify_floats(verify, stored) : NULL;
    tn_real *at = numbers;
    *all = (tn_image_rows){ 0 };
    for (size_t i = 0; numbers != NULL && i < count; i++) {
        prepared[i] = (tn_prepared){ tn_grid_patches(grids[i]), columns, { grids[i].t, grids[i].h, grids[i].w }, 0, at };
        pictures[i] = tn_model_measure(model, grids[i].w * side, grids[i].h * side);
        pictures[i].frames = grids[i].t;
        pictures[i].rows *= grids[i].t;
        from[i] = &prepared[i];
        to[i] = &pictures[i];
        at += prepared[i].rows * columns;
    }
    bool ok = numbers != NULL && tn_engine_encode(verify->session->engine, from, to, count, &verify->session->kept,
                                                  &verify->failure) == TENEBRA_OK;
    free(numbers);
    if (!ok)
        return false;
    *all = pictures[0]; /* the others' lie after them */
    for (size_t i = 1; i < count; i++)
        all->rows += pictures[i].rows;
    all->embeds.rows = all->rows;
    return true;
}

void tn_verify_vision(tn_verify *verify)
{
    tn_image image = picture_of(verify, tn_verify_input(verify, "image_u8"));
    tn_prepared prepared = { 0 };
    tn_image_rows picture;
    const tn_model *model = verify->model;
    if (image.pixels != NULL && model->backbone->encoder->prepare(model->rule, &image, &prepared, &verify->failure) == TENEBRA_OK) {
        int64_t sides[3] = { (int64_t)prepared.sides[0], (int64_t)prepared.sides[1], (int64_t)prepared.sides[2] };
        tn_verify_compare(verify, "pixel_values", prepared.values, prepared.rows * prepared.columns);
        tn_verify_compare_integers(verify, "image_grid_thw", sides, 3);
    } else if (tn_verify_has(verify, "image_u8")) {
        tn_verify_fail(verify, "pixel_values");
    }
    tn_prepared_free(&prepared);
    tn_image_free(&image);

    tn_session_reset(verify->session);
    verify->session->engine->ops.watch = watch_vision;
    verify->session->engine->ops.watch_user = verify;
    bool ok = encode(verify, "pixel_values", "image_grid_thw", &picture);
    verify->session->engine->ops.watch = NULL;
    if (ok)
        compare_tensor(verify, "vision.embeds", picture.embeds);
    else
        tn_verify_fail(verify, "vision.embeds");
    if (tn_verify_has(verify, "multi.embeds")) {
        if (encode(verify, "multi.pixel_values", "multi.image_grid_thw", &picture))
            compare_tensor(verify, "multi.embeds", picture.embeds);
        else
            tn_verify_fail(verify, "multi.embeds");
    }
}

bool tn_verify_open_picture(tn_verify *verify, tn_verify_picture *picture)
{
    memset(picture, 0, sizeof *picture);
    tn_session_reset(verify->session);
    if (!encode(verify, "pixel_values", "image_grid_thw", &picture->rows))
        return false;
    const tn_tensor embeds = picture->rows.embeds;
    size_t cell = tn_verify_side(verify->model, "patch_size") * tn_verify_side(verify->model, "spatial_merge_size");
    tn_ops *ops = &verify->session->engine->ops;
    picture->embeds = tn_verify_take(verify, embeds.rows * embeds.cols, sizeof *picture->embeds);
    if (picture->embeds == NULL || !tn_op_read(ops, embeds, picture->embeds))
        return false;
    picture->rows.embeds = tn_op_import(ops, embeds.rows, embeds.cols, picture->embeds);
    picture->width = picture->rows.grid_columns * cell;
    picture->height = picture->rows.grid_rows * cell;
    return true;
}

/* -------------------------------------------------------- plain forwards -- */

static void watch_hidden(void *user, const char *name, size_t index, const tn_tensor *value)
{
    char full[64];
    if (strcmp(name, "decoder.layer") != 0)
        return;
    snprintf(full, sizeof full, "plain.arange.hidden.%zu", index);
    compare_tensor(user, full, *value);
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

/* The rows of a prompt, with positions. */
static bool make_rows(tn_verify *verify, const int64_t *ids, size_t count, const tn_verify_picture *picture, bool mrope, tn_row *rows)
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
    if (!good || !mrope)
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

/* One forward pass of the ids named `ids_name`; compares the tensors whose names start with `prefix`. */
static void check_forward(tn_verify *verify, const char *ids_name, const char *prefix, bool mrope,
                          const tn_verify_picture *picture)
{
    const tn_stored *stored = tn_verify_input(verify, "%s", ids_name);
    int64_t *ids = stored ? tn_verify_ids(verify, stored) : NULL;
    if (ids == NULL)
        return;
    tn_session *session = verify->session;
    const tn_decoder_config *config = &verify->model->config.decoder;
    size_t count = stored->elements, cols = config->hidden_size, layers = config->num_hidden_layers;
    tn_row *rows = tn_verify_take(verify, count, sizeof *rows);
    tn_real *normed = tn_verify_take(verify, count * cols, sizeof *normed);
    bool ok = rows != NULL && normed != NULL;
    if (ok) {
        tn_session_reset(session);
        session->engine->ops.watch = strcmp(prefix, "plain.arange") == 0 ? watch_hidden : NULL;
        session->engine->ops.watch_user = verify;
        ok = make_rows(verify, ids, count, picture, mrope, rows) &&
             tn_session_append(session, rows, count, NULL, normed, &verify->failure) == TENEBRA_OK;
        session->engine->ops.watch = NULL;
    }
    static const char *const outputs[] = { "hidden_last", "logits_last24", "last_logits" };
    for (size_t i = 0; i < 3; i++) {
        char name[96];
        snprintf(name, sizeof name, "%s.%s", prefix, outputs[i]);
        if (!ok)
            tn_verify_fail(verify, name);
        else if (i == 0)
            tn_verify_compare(verify, name, normed, count * cols);
        else
            compare_last_logits(verify, name, normed, count);
    }
    char last[64];
    snprintf(last, sizeof last, "%s.hidden.%zu", prefix, layers);
    if (ok)
        tn_verify_compare(verify, last, normed, count * cols);
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
    free(picture.embeds);
}
