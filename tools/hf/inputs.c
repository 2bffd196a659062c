/* What the program feeds its networks for a conversation, as tensors: a helper of tools/oracle.py.
 *
 *     oracle_inputs MODEL MESSAGES.json OUT.safetensors [no-exif]
 *
 * MESSAGES.json is as for `tenebra run --messages`, with contents that are lists. OUT holds input_ids [P] and
 * position_ids [3, P] (M-RoPE) as I64, and where there are pictures image_grid_thw [n, 3] I64,
 * pixel_values [patches, values] and image_embeds [J, C] F32. */
#include "image/decode.h"
#include "reason/parts.h"
#include "store/writer.h"

#include "base/checked.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { TURNS_MAX = 64, PARTS_MAX = 256 };

typedef struct job {
    tn_model *model;
    tn_session *session;
    tn_reasoner reasoner;
    tenebra_message messages[TURNS_MAX];
    tenebra_part parts[PARTS_MAX];
    tenebra_request request;
    size_t part_count;
    int64_t *ids, *positions;              /* [P], [3, P] */
    int64_t grids[3 * TN_PICTURES_MAX];
    tn_patches patches[TN_PICTURES_MAX];
    size_t patch_count, embed_count;
} job;

static tenebra_code read_messages(job *work, const json_t *json, tenebra_error *error)
{
    if (!json_is_array(json) || json_array_size(json) > TURNS_MAX)
        return tn_fail(error, TENEBRA_ERROR_FORMAT, "messages", "must be a list of at most %d turns", TURNS_MAX);
    for (size_t t = 0; t < json_array_size(json); t++) {
        const json_t *turn = json_array_get(json, t), *content = json_object_get(turn, "content");
        tenebra_message *message = &work->messages[work->request.message_count++];
        message->parts = &work->parts[work->part_count];
        message->part_count = json_array_size(content);
        if (message->part_count > PARTS_MAX - work->part_count)
            return tn_fail(error, TENEBRA_ERROR_FORMAT, "messages", "have more than %d parts", PARTS_MAX);
        TN_TRY(tn_json_string(turn, "role", &message->role, "messages", error));
        for (size_t p = 0; p < message->part_count; p++) {
            const json_t *from = json_array_get(content, p);
            tenebra_part *part = &work->parts[work->part_count++];
            part->kind = json_object_get(from, "image") ? TENEBRA_PART_IMAGE_FILE : TENEBRA_PART_TEXT;
            TN_TRY(tn_json_string(from, part->kind == TENEBRA_PART_TEXT ? "text" : "image", &part->text, "messages",
                                  error));
        }
    }
    work->request.messages = work->messages;
    return TENEBRA_OK;
}

/* The patches of every picture once more, since the reasoner keeps only what the tower makes of them. */
static tenebra_code cut_pictures(job *work, tenebra_error *error)
{
    size_t count = 0;
    for (size_t p = 0; p < work->part_count; p++) {
        if (work->parts[p].kind != TENEBRA_PART_IMAGE_FILE)
            continue;
        tn_image image = { 0 };
        tn_patches *patches = &work->patches[count];
        TN_TRY(tn_image_read(&image, work->parts[p].text, NULL, !work->request.ignore_orientation, error));
        tenebra_code code = tn_patches_make(&work->model->patches, &image, patches, error);
        tn_image_free(&image);
        TN_TRY(code);
        const size_t sides[3] = { patches->grid_t, patches->grid_h, patches->grid_w };
        for (size_t axis = 0; axis < 3; axis++)
            work->grids[3 * count + axis] = (int64_t)sides[axis];
        work->patch_count += patches->count;
        work->embed_count += work->reasoner.pictures[count++].rows.rows;
    }
    return TENEBRA_OK;
}

static tenebra_code number_rows(job *work, tenebra_error *error)
{
    const tn_reasoner *reasoner = &work->reasoner;
    size_t count = reasoner->prompt_count;
    work->ids = calloc(count + 1, sizeof *work->ids);
    work->positions = calloc(3 * count + 1, sizeof *work->positions);
    if (work->ids == NULL || work->positions == NULL)
        return tn_fail(error, TENEBRA_ERROR_MEMORY, "prompt", "no memory");
    work->model->backbone->positions(reasoner->prompt, count, 0);
    for (size_t i = 0; i < count; i++)
        work->ids[i] = reasoner->prompt[i].token >= 0 ? reasoner->prompt[i].token : work->model->config.image_token;
    for (size_t i = 0; i < 3 * count; i++)
        work->positions[i] = reasoner->prompt[i % count].position.axis[i / count];
    return TENEBRA_OK;
}

static tenebra_code declare(const job *work, tn_writer *writer, tenebra_error *error)
{
    size_t rows = work->reasoner.prompt_count, pictures = work->reasoner.picture_count;
    const size_t positions[] = { 3, rows }, grids[] = { pictures, 3 };
    const size_t pixels[] = { work->patch_count, work->model->config.vision.patch_values };
    const size_t embeds[] = { work->embed_count, work->model->config.decoder.hidden_size };
    TN_TRY(tn_writer_declare(writer, "input_ids", TN_STORE_I64, 1, &rows, error));
    TN_TRY(tn_writer_declare(writer, "position_ids", TN_STORE_I64, 2, positions, error));
    if (pictures == 0)
        return TENEBRA_OK;
    TN_TRY(tn_writer_declare(writer, "image_grid_thw", TN_STORE_I64, 2, grids, error));
    TN_TRY(tn_writer_declare(writer, "pixel_values", TN_STORE_F32, 2, pixels, error));
    return tn_writer_declare(writer, "image_embeds", TN_STORE_F32, 2, embeds, error);
}

static tenebra_code write_tensors(const job *work, const char *path, tenebra_error *error)
{
    const tn_reasoner *reasoner = &work->reasoner;
    size_t rows = reasoner->prompt_count, pictures = reasoner->picture_count;
    tn_writer *writer = tn_writer_open(path, error);
    tenebra_code code = writer ? declare(work, writer, error) : error->code;
    if (code == TENEBRA_OK)
        code = tn_writer_write(writer, work->ids, rows * sizeof *work->ids, error);
    if (code == TENEBRA_OK)
        code = tn_writer_write(writer, work->positions, 3 * rows * sizeof *work->positions, error);
    if (code == TENEBRA_OK && pictures > 0)
        code = tn_writer_write(writer, work->grids, 3 * pictures * sizeof *work->grids, error);
    for (size_t p = 0; code == TENEBRA_OK && p < pictures; p++)
        code = tn_writer_write(writer, work->patches[p].values,
                               work->patches[p].count * work->patches[p].columns * sizeof(tn_real), error);
    for (size_t p = 0; code == TENEBRA_OK && p < pictures; p++) {
        tn_tensor embeds = reasoner->pictures[p].rows.embeds;
        code = tn_writer_write(writer, embeds.data, embeds.rows * embeds.cols * sizeof *embeds.data, error);
    }
    if (code == TENEBRA_OK)
        code = tn_writer_finish(writer, error);
    tn_writer_close(writer);
    return code;
}

static tenebra_code run(job *work, char **argv, json_t **json, tenebra_error *error)
{
    *json = tn_json_read(argv[2], 1 << 24, error);
    if (*json == NULL)
        return error->code;
    TN_TRY(read_messages(work, *json, error));
    work->model = tn_model_open(argv[1], NULL, error);
    work->session = work->model ? tn_session_open(work->model, NULL, error) : NULL;
    if (work->session == NULL)
        return error->code;
    TN_TRY(tn_reasoner_open(&work->reasoner, work->session, &work->request, NULL, error));
    TN_TRY(tn_reasoner_load_pictures(&work->reasoner, error));
    TN_TRY(tn_reasoner_encode_pictures(&work->reasoner, error));
    TN_TRY(tn_reasoner_render(&work->reasoner, error));
    TN_TRY(cut_pictures(work, error));
    TN_TRY(number_rows(work, error));
    return write_tensors(work, argv[3], error);
}

int main(int argc, char **argv)
{
    tenebra_error error = { 0 };
    json_t *json = NULL;
    job *work = calloc(1, sizeof *work);
    if (argc < 4 || argc > 5 || work == NULL) {
        fprintf(stderr, "usage: oracle_inputs MODEL MESSAGES.json OUT.safetensors [no-exif]\n");
        free(work);
        return 2;
    }
    work->request.ignore_orientation = argc == 5 && strcmp(argv[4], "no-exif") == 0;
    tenebra_code code = run(work, argv, &json, &error);
    if (code != TENEBRA_OK)
        fprintf(stderr, "oracle_inputs: %s: %s\n", error.where, error.sentence);
    for (size_t p = 0; p < TN_PICTURES_MAX; p++)
        tn_patches_free(&work->patches[p]);
    tn_reasoner_close(&work->reasoner);
    tn_session_close(work->session);
    tn_model_close(work->model);
    json_decref(json);
    free(work->ids);
    free(work->positions);
    free(work);
    return code == TENEBRA_OK ? 0 : 1;
}
