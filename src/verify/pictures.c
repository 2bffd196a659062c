/* Verifies the image encoder against a golden case, and makes the image of the case for the other parts. */
#include "verify/parts.h"

#include "model/pieces.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

tn_image tn_verify_image(tn_verify *verify, const tn_stored *stored)
{
    tn_image image = { 0 };
    if (stored != NULL && stored->type == TN_STORE_U8 && stored->rank == 3 && stored->shape[2] == 3 &&
        tn_image_new(&image, stored->shape[1], stored->shape[0], 3, &verify->failure) == TENEBRA_OK)
        memcpy(image.pixels, stored->data, stored->bytes);
    return image;
}

size_t tn_verify_side(const tn_model *model, const char *name)
{
    return tn_encoder_size(model->backbone->encoder, &model->config.vision, name);
}

/* ------------------------------------------------------------ comparing -- */

/* Whether a stored tensor is a map [1, channels, height, width] of one row of `columns` channels for each pixel. */
static bool is_map(const tn_stored *stored, size_t rows, size_t columns)
{
    return stored != NULL && stored->rank == 4 && stored->shape[0] == 1 && stored->shape[1] == columns && rows > 0 &&
           stored->elements == rows * columns;
}

/* From rows of channels to planes of pixels. */
static void turn(const tn_real *from, size_t rows, size_t columns, tn_real *to)
{
    for (size_t row = 0; row < rows; row++)
        for (size_t column = 0; column < columns; column++)
            to[column * rows + row] = from[row * columns + column];
}

/* Compares rows of channels with the tensor `name`, which may be a map. */
static void compare_rows(tn_verify *verify, const char *name, const tn_real *values, size_t rows, size_t columns)
{
    if (!is_map(tn_store_find(verify->golden, name), rows, columns)) {
        tn_verify_compare(verify, name, values, rows * columns);
        return;
    }
    tn_real *map = tn_verify_take(verify, rows * columns, sizeof *map);
    if (map != NULL) {
        turn(values, rows, columns, map);
        tn_verify_compare(verify, name, map, rows * columns);
    }
    free(map);
}

void tn_verify_compare_tensor(tn_verify *verify, const char *name, tn_tensor value)
{
    const tn_real *values = tn_op_view(&verify->session->engine->ops, value);
    if (values != NULL)
        compare_rows(verify, name, values, value.rows, value.cols);
}

/* ------------------------------------------------------------- encoding -- */

enum { PICTURES = 64 };

/* The encoder's input for some images. */
typedef struct inputs {
    size_t count;
    tn_prepared prepared[PICTURES];
    tn_image_rows rows[PICTURES];
} inputs;

static void close_inputs(inputs *in)
{
    for (size_t i = 0; i < in->count; i++)
        tn_prepared_free(&in->prepared[i]);
    in->count = 0;
}

/* The grids of images; 0 if the tensor does not contain grids. */
static size_t read_grids(tn_verify *verify, const tn_stored *sides, tn_grid grids[PICTURES], size_t *patches)
{
    bool fits = sides != NULL && sides->rank == 2 && sides->shape[1] == 3 && sides->shape[0] >= 1 && sides->shape[0] <= PICTURES;
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

/* Patches of images with their grids. */
static bool read_patches(tn_verify *verify, const tn_stored *stored, const tn_stored *sides, inputs *in)
{
    const tn_model *model = verify->model;
    size_t columns = tn_verify_side(model, "patch_values"), side = tn_verify_side(model, "patch_size"), needed = 0;
    tn_grid grids[PICTURES];
    size_t count = read_grids(verify, sides, grids, &needed);
    bool good = count > 0 && columns > 0 && stored->rank == 2 && stored->shape[1] == columns && stored->shape[0] == needed;
    float *numbers = good ? tn_verify_floats(verify, stored) : NULL;
    const float *at = numbers;
    good = numbers != NULL;
    for (size_t i = 0; good && i < count; i++) {
        size_t rows = tn_grid_patches(grids[i]);
        tn_real *values = tn_verify_take(verify, rows * columns, sizeof *values);
        in->prepared[i] = (tn_prepared){ rows, columns, { grids[i].t, grids[i].h, grids[i].w }, 0, values };
        in->rows[i] = tn_model_measure(model, grids[i].w * side, grids[i].h * side);
        in->rows[i].frames = grids[i].t;
        in->rows[i].rows *= grids[i].t;
        in->count++;
        good = values != NULL;
        if (good)
            memcpy(values, at, rows * columns * sizeof *values);
        at += rows * columns;
    }
    free(numbers);
    return good;
}

/* One image, prepared as the encoder does it, but with the values of the case. */
static bool read_pixels(tn_verify *verify, const tn_stored *stored, const tn_stored *pixels, inputs *in)
{
    const tn_model *model = verify->model;
    tn_image image = tn_verify_image(verify, pixels);
    tn_prepared *prepared = &in->prepared[0];
    bool good = image.pixels != NULL &&
                model->backbone->encoder->prepare(model->rule, &image, prepared, &verify->failure) == TENEBRA_OK;
    float *numbers = NULL;
    in->count = good;
    if (good) {
        in->rows[0] = tn_model_measure(model, image.width, image.height);
        good = stored->elements == prepared->rows * prepared->columns;
        numbers = good ? tn_verify_floats(verify, stored) : NULL;
    }
    if (numbers != NULL && is_map(stored, prepared->rows, prepared->columns))
        turn(numbers, prepared->columns, prepared->rows, prepared->values); /* planes are rows of another shape */
    else if (numbers != NULL)
        memcpy(prepared->values, numbers, stored->elements * sizeof *numbers);
    free(numbers);
    tn_image_free(&image);
    return numbers != NULL;
}

/* Encodes the values called `values` of images with the grids called `sides`, or of the image `pixels`. The rows of all images
 * are stored in the session like those of one, with the grid of the first. */
static bool encode(tn_verify *verify, const char *values, const char *sides, const char *pixels, inputs *in, tn_image_rows *all)
{
    const tn_stored *stored = tn_verify_input(verify, "%s", values), *grids = tn_verify_input(verify, "%s", sides);
    const tn_stored *image = tn_verify_input(verify, "%s", pixels);
    const tn_prepared *from[PICTURES];
    tn_image_rows *to[PICTURES];
    *all = (tn_image_rows){ 0 };
    in->count = 0;
    if (stored == NULL || !(grids != NULL ? read_patches(verify, stored, grids, in) : read_pixels(verify, stored, image, in)))
        return false;
    for (size_t i = 0; i < in->count; i++) {
        from[i] = &in->prepared[i];
        to[i] = &in->rows[i];
    }
    if (tn_engine_encode(verify->session->engine, from, to, in->count, &verify->session->kept, &verify->failure) != TENEBRA_OK)
        return false;
    *all = in->rows[0]; /* the others' lie after them */
    for (size_t i = 1; i < in->count; i++)
        all->rows += in->rows[i].rows;
    all->embeds.rows = all->ids != NULL ? 0 : all->rows;
    return true;
}

/* ------------------------------------------------------------ comparing -- */

/* Values inside the encoder, under their names or, of a block, with its number. Two have other names in cases. */
static void watch_vision(void *user, const char *name, size_t index, const tn_tensor *value)
{
    char full[64];
    if (strcmp(name, "vision.vectors") == 0)
        name = "vq.prequant";
    if (strcmp(name, "vision.attention") == 0)
        name = "vq.mid.attn";
    if (strcmp(name, "vision.block") == 0)
        snprintf(full, sizeof full, "%s.%zu", name, index);
    else
        snprintf(full, sizeof full, "%s", name);
    tn_verify_compare_tensor(user, full, *value);
}

static void check_prepared(tn_verify *verify)
{
    tn_image image = tn_verify_image(verify, tn_verify_input(verify, "image_u8"));
    tn_prepared prepared = { 0 };
    const tn_model *model = verify->model;
    if (image.pixels != NULL && model->backbone->encoder->prepare(model->rule, &image, &prepared, &verify->failure) == TENEBRA_OK) {
        int64_t sides[3] = { (int64_t)prepared.sides[0], (int64_t)prepared.sides[1], (int64_t)prepared.sides[2] };
        compare_rows(verify, "pixel_values", prepared.values, prepared.rows, prepared.columns);
        tn_verify_compare_integers(verify, "image_grid_thw", sides, 3);
    } else if (tn_verify_has(verify, "image_u8")) {
        tn_verify_fail(verify, "pixel_values");
    }
    tn_prepared_free(&prepared);
    tn_image_free(&image);
}

/* The tokens of an image, and their codes. */
static void compare_codes(tn_verify *verify, const tn_image_rows *picture)
{
    const tn_encoder_config *config = &verify->model->config.vision;
    int64_t *ids = tn_verify_take(verify, picture->rows, sizeof *ids), *codes = tn_verify_take(verify, picture->rows, sizeof *codes);
    for (size_t i = 0; ids != NULL && codes != NULL && i < picture->rows; i++) {
        ids[i] = picture->ids[i];
        while ((size_t)codes[i] + 1 < config->code_count && config->ids[codes[i]] != picture->ids[i])
            codes[i]++;
    }
    if (ids != NULL && codes != NULL) {
        tn_verify_compare_integers(verify, "vq.token_ids", ids, picture->rows);
        tn_verify_compare_integers(verify, "vq.codes", codes, picture->rows);
    }
    free(ids);
    free(codes);
}

static void check_rows(tn_verify *verify, bool encoded, const char *name, const tn_image_rows *picture)
{
    if (!encoded)
        tn_verify_fail(verify, name);
    else if (picture->ids != NULL)
        compare_codes(verify, picture);
    else
        tn_verify_compare_tensor(verify, name, picture->embeds);
}

void tn_verify_vision(tn_verify *verify)
{
    inputs in;
    tn_image_rows picture;
    check_prepared(verify);
    tn_session_reset(verify->session);
    verify->session->engine->ops.watch = watch_vision;
    verify->session->engine->ops.watch_user = verify;
    bool encoded = encode(verify, "pixel_values", "image_grid_thw", "image_u8", &in, &picture);
    verify->session->engine->ops.watch = NULL;
    check_rows(verify, encoded, "vision.embeds", &picture);
    close_inputs(&in);
    if (tn_verify_has(verify, "multi.embeds")) {
        encoded = encode(verify, "multi.pixel_values", "multi.image_grid_thw", "multi.image_u8", &in, &picture);
        check_rows(verify, encoded, "multi.embeds", &picture);
        close_inputs(&in);
    }
}

/* ------------------------------------------------------- for other parts -- */

/* Copies the encoded rows, because those in the session are lost with the next question. */
static bool keep_rows(tn_verify *verify, tn_verify_picture *picture)
{
    tn_image_rows *rows = &picture->rows;
    tn_ops *ops = &verify->session->engine->ops;
    if (rows->ids != NULL) {
        picture->ids = tn_verify_take(verify, rows->rows, sizeof *picture->ids);
        if (picture->ids != NULL)
            memcpy(picture->ids, rows->ids, rows->rows * sizeof *picture->ids);
        rows->ids = picture->ids;
        return picture->ids != NULL;
    }
    const tn_tensor embeds = rows->embeds;
    picture->embeds = tn_verify_take(verify, embeds.rows * embeds.cols, sizeof *picture->embeds);
    if (picture->embeds == NULL || !tn_op_read(ops, embeds, picture->embeds))
        return false;
    rows->embeds = tn_op_import(ops, embeds.rows, embeds.cols, picture->embeds);
    return true;
}

bool tn_verify_open_picture(tn_verify *verify, tn_verify_picture *picture)
{
    const tn_stored *image = tn_store_find(verify->golden, "image_u8");
    size_t cell = tn_verify_side(verify->model, "patch_size") * tn_verify_side(verify->model, "spatial_merge_size");
    inputs in;
    memset(picture, 0, sizeof *picture);
    tn_session_reset(verify->session);
    bool good = encode(verify, "pixel_values", "image_grid_thw", "image_u8", &in, &picture->rows) && in.count == 1 &&
                (cell > 0 || image != NULL) && keep_rows(verify, picture);
    if (good) {
        picture->prepared = in.prepared[0];
        in.prepared[0] = (tn_prepared){ 0 };
        picture->width = cell > 0 ? picture->rows.grid_columns * cell : image->shape[1];
        picture->height = cell > 0 ? picture->rows.grid_rows * cell : image->shape[0];
    }
    close_inputs(&in);
    if (!good)
        tn_verify_close_picture(picture);
    return good;
}

void tn_verify_close_picture(tn_verify_picture *picture)
{
    tn_prepared_free(&picture->prepared);
    free(picture->embeds);
    free(picture->ids);
    *picture = (tn_verify_picture){ 0 };
}
