/* Verifies training steps against a golden case: gradients of an adapter, their norm, the weights after AdamW. */
#include "verify/parts.h"

#include "base/checked.h"
#include "base/file.h"
#include "model/parameters.h"
#include "reason/training.h"
#include "store/writer.h"
#include "train/optimizer.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { STAGES = 16, EXAMPLES = 64, PICKED_MAX = 4096 };

/* The settings of the reference's training, from the README of the golden sets. */
static const double LEARNING_RATE = 4e-5, CLIP = 0.7;

/* Bounds of that README: gradients relative to the largest of a tensor; the change of a weight in one step, unless the
 * gradient is so small that rounding decides its sign. */
static const double GRADIENT_BOUND = 1e-4, CHANGE_BOUND = 1e-7, SMALL_GRADIENT = 1e-4;

/* One model with an adapter, being trained. */
typedef struct trainer {
    tn_verify *verify;       /* the case of training steps                     */
    tn_verify *inputs;       /* the case of answers beside it, over the same model */
    tn_verify_picture picture;
    tn_adapter *adapter;
    tn_parameters *parameters;
    tn_training *training;
    tn_optimizer optimizer;
    bool *doubtful;          /* [parameters->elements] the gradient was small in some step */
    size_t picks;            /* K */
    int64_t latent;          /* id of the latent token */
    int64_t picked[PICKED_MAX];
    size_t picked_count;
    int64_t offset;          /* row of the first image token */
} trainer;

static void note_picks(void *user, size_t example, size_t step, const size_t *picks, size_t count)
{
    trainer *t = user;
    (void)step;
    for (size_t i = 0; i < count && example == 0 && t->picked_count < PICKED_MAX; i++)
        t->picked[t->picked_count++] = t->offset + (int64_t)picks[i];
}

/* ------------------------------------------------------------- opening -- */

static bool open_training(trainer *t, tenebra_error *error)
{
    char picks[24];
    snprintf(picks, sizeof picks, "%zu", t->picks);
    const tenebra_setting settings[] = { { "n-latent", "64" }, { "k-select", picks }, { "pick-order", "cuda" },
                                         { "exhausted", "repick" } };
    tn_training_options options = { .method = "ivt-lr", .settings = settings, .setting_count = 4, .on_picks = note_picks,
                                   .user = t, .threads = tn_pool_threads(t->verify->session->engine->pool) };
    return tn_training_open(t->verify->model, &options, &t->training, error) == TENEBRA_OK;
}

static bool open_optimizer(trainer *t, tenebra_error *error)
{
    tn_adamw settings = tn_adamw_defaults();
    tn_optimized *items = tn_verify_take(t->verify, t->parameters->count + 1, sizeof *items);
    for (size_t i = 0; items != NULL && i < t->parameters->count; i++) {
        const tn_parameter *p = &t->parameters->items[i];
        items[i] = (tn_optimized){ p->values, p->grad, p->rounded, p->count, p->decay };
    }
    bool good = items != NULL && tn_optimizer_open(&t->optimizer, items, t->parameters->count, &settings,
                                                   tn_training_pool(t->training), error) == TENEBRA_OK;
    free(items);
    return good;
}

/* The adapter as before the first step, with a new optimizer. */
static bool open_step(trainer *t)
{
    tenebra_error *error = &t->verify->failure;
    char *directory = tn_verify_beside(t->verify, "adapter");
    bool opened = directory != NULL && tn_adapter_open(t->verify->model, directory, 1, &t->adapter, error) == TENEBRA_OK;
    free(directory);
    if (!opened)
        return false;
    tn_adapter_attach(t->adapter);
    if (tn_parameters_open(&t->parameters, error) != TENEBRA_OK ||
        tn_parameters_add_adapter(t->parameters, t->adapter, error) != TENEBRA_OK)
        return false;
    t->doubtful = tn_verify_take(t->verify, t->parameters->elements + 1, sizeof *t->doubtful);
    return t->doubtful != NULL && open_training(t, error) && open_optimizer(t, error);
}

static void close_step(trainer *t)
{
    tn_optimizer_close(&t->optimizer);
    memset(&t->optimizer, 0, sizeof t->optimizer);
    tn_training_close(t->training);
    tn_parameters_close(t->parameters);
    tn_adapter_close(t->adapter);
    free(t->doubtful);
    t->training = NULL;
    t->parameters = NULL;
    t->adapter = NULL;
    t->doubtful = NULL;
}

/* -------------------------------------------------------------- examples -- */

/* The starts of prompt, latents and text of an unpadded sequence. */
static tn_verify_example cut(const trainer *t, const int64_t *ids, const int64_t *labels, size_t count)
{
    tn_verify_example example = { .ids = ids, .labels = labels, .count = count, .picks = t->picks };
    while (example.prompt < count && ids[example.prompt] != t->latent)
        example.prompt++;
    while (example.prompt + example.latents < count && ids[example.prompt + example.latents] == t->latent)
        example.latents++;
    if (example.latents == 0) /* the labels start after the prompt */
        for (example.prompt = 0; example.prompt < count && labels[example.prompt] < 0; example.prompt++)
            ;
    return example;
}

static bool add_text(const trainer *t, tn_train_example *to, const tn_verify_example *from, size_t begin, size_t end)
{
    int32_t *ids = tn_verify_take(t->verify, 2 * (end - begin) + 1, sizeof *ids), *labels = ids + (end - begin);
    for (size_t i = begin; ids != NULL && i < end; i++) {
        ids[i - begin] = (int32_t)from->ids[i];
        labels[i - begin] = from->labels[i] < 0 ? -1 : (int32_t)from->labels[i];
    }
    bool good = ids != NULL && tn_train_example_add_ids(to, &t->verify->model->config, ids, labels, end - begin,
                                                 &t->verify->failure) == TENEBRA_OK;
    free(ids);
    return good;
}

/* Adds the image of the case. */
static bool add_picture(const trainer *t, tn_train_example *to)
{
    tn_prepared prepared = t->picture.prepared;
    prepared.values = tn_verify_take(t->verify, prepared.rows * prepared.columns, sizeof *prepared.values);
    if (prepared.values == NULL || tn_train_example_set_pictures(to, 1, &t->verify->failure) != TENEBRA_OK) {
        free(prepared.values);
        return false;
    }
    memcpy(prepared.values, t->picture.prepared.values, prepared.rows * prepared.columns * sizeof *prepared.values);
    to->pictures[0] = t->picture.rows;
    to->prepared[0] = prepared;
    return true;
}

static bool make_example(trainer *t, const tn_verify_example *from, tn_train_example *to)
{
    tn_latent_settings latent = { .steps = from->latents, .picks = from->picks, .repick = true, .order = TN_PICK_CUDA };
    memset(to, 0, sizeof *to);
    to->prompt = from->prompt;
    return add_picture(t, to) && add_text(t, to, from, 0, from->prompt) &&
           tn_train_example_add_latents(to, from->latents, &latent, &t->verify->failure) == TENEBRA_OK &&
           add_text(t, to, from, from->prompt + from->latents, from->count);
}

/* ---------------------------------------------------------------- steps -- */

/* Forward and backward of some sequences together; the mean loss over their labels, NaN on failure. */
static double learn(trainer *t, const tn_verify_example *sequences, size_t count)
{
    tn_train_example examples[EXAMPLES];
    const tn_train_example *pointers[EXAMPLES];
    size_t made = 0, labels = 0;
    double loss = (double)NAN;
    tn_optimizer_clear(&t->optimizer);
    t->picked_count = 0;
    while (made < count && make_example(t, &sequences[made], &examples[made])) {
        labels += examples[made].label_count;
        pointers[made] = &examples[made];
        made++;
    }
    tn_training_result result;
    if (made == count && labels > 0 &&
        tn_training_learn(t->training, pointers, count, 1 / (double)labels, &result, &t->verify->failure) == TENEBRA_OK)
        loss = result.loss / (double)labels;
    for (size_t i = 0; i < made; i++)
        tn_train_example_free(&examples[i]);
    return loss;
}

static double largest_of(const tn_parameter *p)
{
    double largest = 0;
    for (size_t i = 0; i < p->count; i++)
        largest = fmax(largest, fabs((double)p->grad[i]));
    return largest;
}

/* One AdamW step on the clipped gradients; returns their norm before clipping. */
static double update(trainer *t)
{
    size_t at = 0;
    for (size_t i = 0; i < t->parameters->count; i++) {
        const tn_parameter *p = &t->parameters->items[i];
        double small = SMALL_GRADIENT * largest_of(p);
        for (size_t k = 0; k < p->count; k++, at++)
            t->doubtful[at] |= !(fabs((double)p->grad[k]) > small);
    }
    double norm = tn_optimizer_norm(&t->optimizer);
    tn_optimizer_step(&t->optimizer, LEARNING_RATE, tn_clip_factor(norm, CLIP));
    return norm;
}

static void compare_number(trainer *t, const char *prefix, const char *name, double value)
{
    char full[128];
    tn_real got = (tn_real)value;
    snprintf(full, sizeof full, "%s.%s", prefix, name);
    tn_verify_compare(t->verify, full, &got, 1);
}

static void compare_gradients(trainer *t, const char *prefix)
{
    for (size_t i = 0; i < t->parameters->count; i++) {
        const tn_parameter *p = &t->parameters->items[i];
        char name[TN_STORED_NAME_MAX + 64];
        snprintf(name, sizeof name, "%s.grad.%s", prefix, p->name);
        const tn_stored *stored = tn_verify_input(t->verify, "%s", name);
        float *expected = stored && stored->elements == p->count ? tn_verify_floats(t->verify, stored) : NULL;
        double largest = 0;
        for (size_t k = 0; expected != NULL && k < p->count; k++)
            largest = fmax(largest, fabs((double)expected[k]));
        free(expected);
        tn_verify_compare_absolute(t->verify, name, p->grad, p->count, GRADIENT_BOUND * largest, NULL);
    }
}

static void compare_weights(trainer *t, const char *prefix)
{
    size_t at = 0;
    for (size_t i = 0; i < t->parameters->count; i++) {
        const tn_parameter *p = &t->parameters->items[i];
        char name[TN_STORED_NAME_MAX + 64];
        snprintf(name, sizeof name, "%s.after.%s", prefix, p->name);
        tn_verify_compare_absolute(t->verify, name, p->values, p->count, CHANGE_BOUND, t->doubtful + at);
        at += p->count;
    }
}

/* The last logits, computed by answering in a session that has not used the model without the adapter. */
static void compare_answering(trainer *t, const char *name, const tn_verify_example *sequence)
{
    tn_session *kept = t->verify->session;
    tn_session_options options = { .threads = tn_pool_threads(kept->engine->pool) };
    tn_session *fresh;
    tn_session_open(t->verify->model, &options, &fresh, &t->verify->failure);
    tn_real *logits = tn_verify_take(t->verify, kept->logits.cols, sizeof *logits);
    tn_verify_picture picture = { 0 };
    t->verify->session = t->inputs->session = fresh;
    if (fresh != NULL && logits != NULL && tn_verify_open_picture(t->inputs, &picture) &&
        tn_verify_last_logits(t->verify, &picture, sequence, logits))
        tn_verify_compare(t->verify, name, logits, kept->logits.cols);
    t->verify->session = t->inputs->session = kept;
    tn_session_close(fresh);
    tn_verify_close_picture(&picture);
    free(logits);
}

static void compare_forward(trainer *t, const char *prefix, const tn_verify_example *sequence)
{
    char name[128];
    snprintf(name, sizeof name, "%s.selected", prefix);
    if (t->picked_count > 0)
        tn_verify_compare_integers(t->verify, name, t->picked, t->picked_count);
    snprintf(name, sizeof name, "%s.last_logits", prefix);
    if (tn_verify_has(t->verify, "%s", name))
        compare_answering(t, name, sequence);
}

/* stage<s>: one sample, one step. Returns false if the case has no such stage. */
static bool check_stage(trainer *t, size_t stage)
{
    char prefix[32];
    const tn_stored *stored = tn_verify_input(t->verify, "stage%zu.ids", stage);
    const tn_stored *marks = tn_verify_input(t->verify, "stage%zu.labels", stage);
    if (stored == NULL || marks == NULL || stored->elements != marks->elements)
        return false;
    snprintf(prefix, sizeof prefix, "stage%zu", stage);
    int64_t *ids = tn_verify_ids(t->verify, stored), *labels = tn_verify_integers(t->verify, marks);
    if (ids != NULL && labels != NULL && open_step(t)) {
        tn_verify_example sequence = cut(t, ids, labels, stored->elements);
        compare_number(t, prefix, "loss", learn(t, &sequence, 1));
        compare_gradients(t, prefix);
        compare_forward(t, prefix, &sequence);
        compare_number(t, prefix, "grad_norm", update(t));
        compare_weights(t, prefix);
    }
    close_step(t);
    free(ids);
    free(labels);
    return true;
}

/* ------------------------------------------------------------- sequence -- */

/* The samples of a padded batch, without their padding. */
static size_t unpad(trainer *t, const int64_t *ids, const int64_t *mask, const int64_t *labels, size_t samples, size_t width,
                    tn_verify_example *sequences)
{
    for (size_t s = 0; s < samples; s++) {
        size_t begin = s * width, end = begin + width;
        while (begin < end && mask[begin] == 0)
            begin++;
        while (end > begin && mask[end - 1] == 0)
            end--;
        sequences[s] = cut(t, ids + begin, labels + begin, end - begin);
    }
    return samples;
}

/* The sample of stage `from`, or a padded batch with its own ids, as step number `step` of a run. */
static double learn_step(trainer *t, size_t step, size_t from)
{
    const tn_stored *own = tn_verify_input(t->verify, "seq.%zu.ids", step);
    const tn_stored *stored = own ? own : tn_verify_input(t->verify, "stage%zu.ids", from);
    const tn_stored *marks = own ? tn_verify_input(t->verify, "seq.%zu.labels", step)
                                 : tn_verify_input(t->verify, "stage%zu.labels", from);
    const tn_stored *masks = own ? tn_verify_input(t->verify, "seq.%zu.attention_mask", step) : NULL;
    if (stored == NULL || marks == NULL || stored->elements != marks->elements ||
        (own != NULL && (masks == NULL || own->rank != 2 || own->shape[0] > EXAMPLES || masks->elements != own->elements)))
        return (double)NAN;
    int64_t *ids = tn_verify_ids(t->verify, stored), *labels = tn_verify_integers(t->verify, marks);
    int64_t *mask = masks ? tn_verify_integers(t->verify, masks) : NULL;
    tn_verify_example sequences[EXAMPLES];
    double loss = (double)NAN;
    if (ids != NULL && labels != NULL && mask != NULL) {
        loss = learn(t, sequences, unpad(t, ids, mask, labels, own->shape[0], own->shape[1], sequences));
        char name[64];
        snprintf(name, sizeof name, "seq.%zu.position_ids", step);
        tn_verify_positions(t->verify, name, mask, own->shape[0], own->shape[1]);
    } else if (ids != NULL && labels != NULL && own == NULL) {
        sequences[0] = cut(t, ids, labels, stored->elements);
        loss = learn(t, sequences, 1);
    }
    free(ids);
    free(labels);
    free(mask);
    return loss;
}

/* seq.<i>: consecutive steps with one optimizer; without their own ids they use the samples of the stages, in turn. */
static void check_sequence(trainer *t, const size_t *stages, size_t stage_count)
{
    if (!tn_verify_has(t->verify, "seq.0.loss") || stage_count == 0)
        return;
    if (open_step(t))
        for (size_t step = 0; tn_verify_has(t->verify, "seq.%zu.loss", step); step++) {
            char prefix[32];
            snprintf(prefix, sizeof prefix, "seq.%zu", step);
            compare_number(t, prefix, "loss", learn_step(t, step, stages[tn_min(step, stage_count - 1)]));
            compare_number(t, prefix, "grad_norm", update(t));
            compare_weights(t, prefix);
        }
    close_step(t);
}

/* -------------------------------------------------------------- the case -- */

/* K: the second dimension of `selected` in any stage. */
static size_t find_picks(const tn_verify *verify)
{
    for (size_t stage = 0; stage < STAGES; stage++) {
        char name[32];
        snprintf(name, sizeof name, "stage%zu.selected", stage);
        const tn_stored *stored = tn_store_find(verify->golden, name);
        if (stored != NULL && stored->rank == 2)
            return stored->shape[1];
    }
    return 0;
}

/* The row of the first image token in the prompt, which is the same for all samples of a case. */
static int64_t first_image(tn_verify *inputs)
{
    const tn_stored *stored = tn_verify_input(inputs, "prompt_ids");
    int64_t *ids = stored ? tn_verify_ids(inputs, stored) : NULL, at = 0;
    while (ids != NULL && at < (int64_t)stored->elements && ids[at] != inputs->model->config.picture_token)
        at++;
    free(ids);
    return at;
}

static void check_all(trainer *t)
{
    size_t stages[STAGES], count = 0;
    const tn_stored *latents = tn_verify_input(t->inputs, "latent_token_id");
    int64_t *latent = latents && latents->elements == 1 ? tn_verify_ids(t->inputs, latents) : NULL;
    if (latent != NULL && tn_verify_open_picture(t->inputs, &t->picture)) {
        t->latent = latent[0];
        t->offset = first_image(t->inputs);
        for (size_t stage = 0; stage < STAGES; stage++)
            if (check_stage(t, stage))
                stages[count++] = stage;
        check_sequence(t, stages, count);
    }
    tn_verify_close_picture(&t->picture);
    free(latent);
}

static bool has_stage(const tn_verify *verify)
{
    bool found = false;
    for (size_t stage = 0; stage < STAGES && !found; stage++)
        found = tn_verify_has(verify, "stage%zu.ids", stage);
    return found;
}

void tn_verify_train(tn_verify *verify)
{
    if (!has_stage(verify))
        return;
    tn_verify inputs = { .model = verify->model, .session = verify->session };
    trainer *t = tn_verify_take(verify, 1, sizeof *t);
    char *path = tn_verify_beside(verify, "case" TN_WRITER_ENDING);
    if (path != NULL && tn_store_open(path, &inputs.golden, &verify->failure) == TENEBRA_OK)
        inputs.handled = tn_verify_take(verify, tn_store_count(inputs.golden) + 1, sizeof *inputs.handled);
    if (t != NULL && inputs.handled != NULL) {
        t->verify = verify;
        t->inputs = &inputs;
        t->picks = find_picks(verify);
        check_all(t);
    }
    if (verify->failure.code == TENEBRA_OK)
        verify->failure = inputs.failure;
    tn_store_close(inputs.golden);
    free(inputs.handled);
    free(inputs.rows);
    free(path);
    free(t);
}
