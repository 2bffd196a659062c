#include "reason/reconstruct.h"

#include "image/resize.h"
#include "reason/modules.h"
#include "reason/parts.h"

#include <math.h>
#include <string.h>

/* Draws of the denoising loss, the same ones for all vectors. */
enum { LOSS_DRAWS = 32 };

/* What one reconstruction requires. */
typedef struct job {
    tn_reasoner *reasoner;
    tn_ops *ops;
    tn_denoiser d;
    tn_denoiser_target target; /* normalised; its values are in the question's memory */
    uint64_t seed;
} job;

tenebra_code tn_reconstruct_open(tn_reasoner *reasoner, tenebra_error *error)
{
    const tn_denoiser d = tn_modules_denoiser(reasoner->session->model, reasoner->method);
    if (!reasoner->request->reconstruct)
        return TENEBRA_OK;
    tenebra_reconstruction *made = reasoner->account.reconstruction = tn_reasoner_take(reasoner, 1, sizeof *made);
    if (made == NULL)
        return tn_fail_session_full(error);
    *made = (tenebra_reconstruction){ .error = (double)NAN, .other_error = (double)NAN, .loss = (double)NAN, .other_loss = (double)NAN };
    made->note = reasoner->method->denoiser == NULL ? "the method reconstructs nothing from its steps"
                 : !tn_denoiser_is_present(&d)      ? "the module was trained without reconstruction, so there is nothing to look at"
                                                    : "there was no step, or no image";
    reasoner->trace.reconstruction = made;
    return TENEBRA_OK;
}

/* ------------------------------------------------------------- original -- */

/* The small picture of an image as the model sees it, in the question's memory. */
static tenebra_code reduce(job *j, const tn_picture *picture, unsigned char **rgb, tenebra_error *error)
{
    tn_image small = { 0 };
    size_t side = j->d.sizes[TN_DENOISER_SIDE], bytes = side * side * 3;
    *rgb = tn_reasoner_take(j->reasoner, bytes, 1);
    if (*rgb == NULL)
        return tn_fail_session_full(error);
    TN_TRY(tn_image_resize(&picture->pixels, side, side, TN_RESAMPLE_BOX, &small, error));
    memcpy(*rgb, small.pixels, bytes);
    tn_image_free(&small);
    return TENEBRA_OK;
}

/* The target of the first image; without values if it has none. */
static tenebra_code find_target(job *j, tenebra_error *error)
{
    tn_reasoner *reasoner = j->reasoner;
    const tn_picture *picture = &reasoner->conversation.pictures[0];
    unsigned char *small = NULL;
    if (reasoner->conversation.picture_count == 0)
        return TENEBRA_OK;
    if (tn_denoiser_shows(&j->d))
        TN_TRY(reduce(j, picture, &small, error));
    const tn_denoiser_source source = { &picture->rows, &reasoner->session->model->decoder.embed, small };
    j->target = tn_denoiser_target_of(j->ops, &j->d, &source);
    if (j->target.values != NULL)
        tn_denoiser_normalise(&j->d, &j->target);
    reasoner->account.reconstruction->seen = small;
    return TENEBRA_OK;
}

/* ------------------------------------------------------------ measuring -- */

static double difference_of(const job *j, const tn_denoiser_target *made)
{
    double sum = 0;
    size_t count = tn_denoiser_count(&j->d, made);
    for (size_t i = 0; i < count; i++) {
        double difference = (double)made->values[i] - (double)j->target.values[i];
        sum += difference * difference;
    }
    return sum / (double)count;
}

/* Reconstructs from vectors. *error_of: the mean squared error. NULL rgb: no picture is drawn. */
static bool reconstruct(const job *j, const tn_row_ref *thoughts, size_t count, unsigned char *rgb, double *error_of)
{
    tn_denoiser_target made = j->target;
    made.values = tn_ops_take(j->ops, "reconstruct", tn_denoiser_count(&j->d, &made), sizeof *made.values);
    if (made.values == NULL ||
        !tn_denoiser_sample(j->ops, &j->d, thoughts, count, TN_DENOISER_SAMPLE_STEPS, j->seed, &made))
        return false;
    *error_of = difference_of(j, &made);
    if (rgb != NULL)
        tn_denoiser_draw(&j->d, &made, rgb);
    return true;
}

/* The loss of training, with fixed draws. */
static bool measure_loss(const job *j, const tn_row_ref *thoughts, size_t count, double *loss)
{
    double sum = 0;
    for (size_t i = 0; i < LOSS_DRAWS; i++) {
        size_t mark = tn_ops_mark(j->ops);
        const tn_denoiser_case one = { thoughts, count, j->target, tn_seed_mix(j->seed, i, 1) };
        tn_real value = 0;
        bool read = tn_op_read(j->ops, tn_denoiser_loss(j->ops, &j->d, &one, 1, 1), &value);
        tn_ops_release(j->ops, mark);
        if (!read)
            return false;
        sum += (double)value / LOSS_DRAWS;
    }
    *loss = sum;
    return true;
}

/* The same from the vectors of another question. */
static tenebra_code measure_other(job *j, tenebra_reconstruction *to, tenebra_error *error)
{
    const tenebra_input *other = tn_reasoner_input(j->reasoner, TN_INPUT_RECONSTRUCT);
    size_t width = j->d.parts.frame->from_thought.matrix.cols;
    if (other == NULL || other->rows == 0)
        return TENEBRA_OK;
    if (other->columns != width)
        return tn_fail(error, TENEBRA_ERROR_ARGUMENT, TN_INPUT_RECONSTRUCT, "has rows of %zu numbers, the model has rows of %zu",
                       other->columns, width);
    tn_row_ref *refs = tn_ops_take(j->ops, "reconstruct", other->rows, sizeof *refs);
    tn_real *values = tn_ops_take(j->ops, "reconstruct", other->rows * width, sizeof *values);
    if (refs == NULL || values == NULL)
        return TENEBRA_OK; /* ops->failure is set */
    for (size_t i = 0; i < other->rows * width; i++)
        values[i] = (tn_real)other->values[i];
    const tn_tensor all = tn_op_constant(j->ops, other->rows, width, values);
    for (size_t i = 0; i < other->rows; i++)
        refs[i] = (tn_row_ref){ all, i };
    if (reconstruct(j, refs, other->rows, NULL, &to->other_error))
        measure_loss(j, refs, other->rows, &to->other_loss);
    return TENEBRA_OK;
}

/* ----------------------------------------------------------------- step -- */

static tenebra_code describe(job *j, const tn_row_ref *thoughts, size_t count, bool last, tenebra_step *step, tenebra_error *error)
{
    tenebra_reconstruction *to = j->reasoner->account.reconstruction;
    bool shows = tn_denoiser_shows(&j->d);
    size_t side = j->d.sizes[TN_DENOISER_SIDE];
    unsigned char *rgb = NULL;
    TN_TRY(find_target(j, error));
    if (j->target.values == NULL)
        return TENEBRA_OK;
    to->side = side;
    to->note = shows ? NULL : "the module reconstructs image embeddings, which are no picture to look at";
    if (!shows && !last)
        return TENEBRA_OK;
    if (shows && (rgb = tn_reasoner_take(j->reasoner, side * side * 3, 1)) == NULL)
        return tn_fail_session_full(error);
    if (!reconstruct(j, thoughts, count, rgb, &step->reconstruction_error))
        return TENEBRA_OK; /* ops->failure is set */
    step->reconstruction = rgb;
    if (!last)
        return TENEBRA_OK;
    to->error = step->reconstruction_error;
    return measure_loss(j, thoughts, count, &to->loss) ? measure_other(j, to, error) : TENEBRA_OK;
}

tenebra_code tn_reconstruct_step(tn_reasoner *reasoner, const tn_row_ref *thoughts, size_t count, bool last, tenebra_step *step,
                                 tenebra_error *error)
{
    tn_engine *engine = reasoner->session->engine;
    job j = { .reasoner = reasoner, .ops = &engine->ops, .d = tn_modules_denoiser(reasoner->session->model, reasoner->method),
              .seed = tn_seed_mix(reasoner->request->sampling.seed, 0x7265636F6E, 0) };
    if (!reasoner->request->reconstruct || !tn_denoiser_is_present(&j.d))
        return TENEBRA_OK;
    size_t mark = tn_ops_mark(j.ops);
    tenebra_error problem;
    tenebra_code code = describe(&j, thoughts, count, last, step, &problem);
    TN_TRY(tn_engine_finish(engine, mark, error));
    return code == TENEBRA_OK ? code : tn_fail(error, code, problem.where, "%s", problem.sentence);
}
