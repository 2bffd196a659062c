/* What the program feeds its networks for a conversation, as tensors: a helper of tools/oracle.py.
 *
 *     oracle_inputs MODEL MESSAGES.json OUT.safetensors [no-exif]
 *
 * MESSAGES.json is as for `tenebra run --messages`, with contents that are lists. OUT holds input_ids [P] and
 * position_ids [3, P] (M-RoPE) as I64, and where there are pictures image_grid_thw [n, 3] I64,
 * pixel_values [patches, values] and image_embeds [J, C] F32. */
#include "reason/parts.h"
#include "store/writer.h"

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
    tn_prepared prepared[TN_PICTURES_MAX];
    size_t pixel_rows, pixel_columns, embed_count;
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

/* The input of the tower for every picture once more, since the reasoner keeps only the pixels and what the tower makes of them. */
static tenebra_code prepare_pictures(job *work, tenebra_error *error)
{
    const tn_conversation *c = &work->reasoner.conversation;
    for (size_t p = 0; p < c->picture_count; p++) {
        tn_prepared *prepared = &work->prepared[p];
        TN_TRY(work->model->backbone->encoder->prepare(work->model->rule, &c->pictures[p].pixels, prepared, error));
        for (size_t axis = 0; axis < 3; axis++)
            work->grids[3 * p + axis] = (int64_t)prepared->sides[axis];
        work->pixel_rows += prepared->rows;
        work->pixel_columns = prepared->columns;
        work->embed_count += c->pictures[p].rows.rows;
    }
    return TENEBRA_OK;
}

static tenebra_code number_rows(job *work, tenebra_error *error)
{
    const tn_conversation *c = &work->reasoner.conversation;
    size_t count = c->prompt_count;
    work->ids = calloc(count + 1, sizeof *work->ids);
    work->positions = calloc(3 * count + 1, sizeof *work->positions);
    if (work->ids == NULL || work->positions == NULL)
        return tn_fail_memory(error, "prompt");
    work->model->backbone->positions(c->prompt, count, 0);
    for (size_t i = 0; i < count; i++)
        work->ids[i] = c->prompt[i].kind == TN_ROW_CELL ? work->model->config.picture_token : c->prompt[i].token;
    for (size_t i = 0; i < 3 * count; i++)
        work->positions[i] = c->prompt[i % count].position.axis[i / count];
    return TENEBRA_OK;
}

static tenebra_code declare(const job *work, tn_writer *writer, tenebra_error *error)
{
    size_t rows = work->reasoner.conversation.prompt_count, pictures = work->reasoner.conversation.picture_count;
    const size_t positions[] = { 3, rows }, grids[] = { pictures, 3 };
    const size_t pixels[] = { work->pixel_rows, work->pixel_columns };
    const size_t embeds[] = { work->embed_count, work->model->config.decoder.hidden_size };
    TN_TRY(tn_writer_declare(writer, "input_ids", TN_STORE_I64, 1, &rows, error));
    TN_TRY(tn_writer_declare(writer, "position_ids", TN_STORE_I64, 2, positions, error));
    if (pictures == 0)
        return TENEBRA_OK;
    TN_TRY(tn_writer_declare(writer, "image_grid_thw", TN_STORE_I64, 2, grids, error));
    TN_TRY(tn_writer_declare(writer, "pixel_values", TN_STORE_F32, 2, pixels, error));
    return tn_writer_declare(writer, "image_embeds", TN_STORE_F32, 2, embeds, error);
}

static tenebra_code write_embeds(const job *work, tn_writer *writer, const tn_image_rows *picture, tenebra_error *error)
{
    size_t count = picture->rows * work->model->config.decoder.hidden_size;
    tn_real *values = malloc((count + 1) * sizeof *values);
    tenebra_code code = values != NULL && tn_op_read(&work->session->engine->ops, picture->embeds, values)
                            ? tn_writer_write(writer, values, count * sizeof *values, error)
                            : tn_fail(error, TENEBRA_ERROR_UNSUPPORTED, "picture", "has no embeddings that can be read");
    free(values);
    return code;
}

static tenebra_code write_all(const job *work, tn_writer *writer, tenebra_error *error)
{
    const tn_conversation *c = &work->reasoner.conversation;
    TN_TRY(declare(work, writer, error));
    TN_TRY(tn_writer_write(writer, work->ids, c->prompt_count * sizeof *work->ids, error));
    TN_TRY(tn_writer_write(writer, work->positions, 3 * c->prompt_count * sizeof *work->positions, error));
    TN_TRY(tn_writer_write(writer, work->grids, 3 * c->picture_count * sizeof *work->grids, error));
    for (size_t p = 0; p < c->picture_count; p++)
        TN_TRY(tn_writer_write(writer, work->prepared[p].values, work->prepared[p].rows * work->prepared[p].columns * sizeof(tn_real),
                               error));
    for (size_t p = 0; p < c->picture_count; p++)
        TN_TRY(write_embeds(work, writer, &c->pictures[p].rows, error));
    return tn_writer_finish(writer, error);
}

static tenebra_code run(job *work, char **argv, json_t **json, tenebra_error *error)
{
    tn_writer *writer;
    TN_TRY(tn_json_read(argv[2], 1 << 24, json, error));
    TN_TRY(read_messages(work, *json, error));
    TN_TRY(tn_model_open(argv[1], &(tn_model_options){ .kernels = getenv("TENEBRA_KERNELS") }, &work->model, error));
    TN_TRY(tn_session_open(work->model, NULL, &work->session, error));
    TN_TRY(tn_reasoner_open(&work->reasoner, work->session, &work->request, NULL, error));
    TN_TRY(tn_reasoner_load_pictures(&work->reasoner, error));
    TN_TRY(tn_reasoner_encode_pictures(&work->reasoner, error));
    TN_TRY(tn_reasoner_render(&work->reasoner, error));
    TN_TRY(prepare_pictures(work, error));
    TN_TRY(number_rows(work, error));
    TN_TRY(tn_writer_open(argv[3], &writer, error));
    tenebra_code code = write_all(work, writer, error);
    tn_writer_close(writer);
    return code;
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
        tn_prepared_free(&work->prepared[p]);
    tn_reasoner_close(&work->reasoner);
    tn_session_close(work->session);
    tn_model_close(work->model);
    json_decref(json);
    free(work->ids);
    free(work->positions);
    free(work);
    return code == TENEBRA_OK ? 0 : 1;
}
