/* Gradients of LaRe through its whole loop in double precision (T6): all weights of the LQ-Former, the gate of its result, the size of
 * a thought, the marks, the maps of the contrastive loss, the denoiser, and the image embeddings, with the picks held fixed. The loss is
 * that of the answers and the contrastive one, of two examples beside a third one of another batch; then that of an answer and the
 * reconstruction from its thoughts. */
/* A quarter of the usual step, because the contrastive loss divides by 0.07: its fifth derivative is up to (1 / 0.07)^5 times as large.
 * With 1e-3 the rest of the difference is 1e-6 (measured; it falls 16-fold with each half of the step, as it should); with this step it
 * is 4e-9, and the rounding, of gradients that are small beside others, 1e-8. */
static double step_size = 2.5e-4;
#define STEP step_size
#define BOUND 5e-8
#include "check.h"
#include "small_decoder.h"

/* The method's file names sizes as it likes. */
#define HIDDEN LARE_HIDDEN
#include "reason/contrast.h"
#include "reason/look.h"
#include "reason/methods/lare.c"
#undef HIDDEN

enum { CELLS = 4, QUESTION = 3, STEPS_RUN = 3, ANSWER = 2, EXAMPLES = 2, TOTAL = 3, ROWS = CELLS + QUESTION + 2 + STEPS_RUN + ANSWER };

/* What the method's file refers to, and these tests do not call. */
void *tn_reasoner_take(tn_reasoner *reasoner, size_t count, size_t size) { (void)reasoner, (void)count, (void)size; return NULL; }
size_t tn_setting_size(const tn_reasoner *reasoner, size_t option) { (void)reasoner, (void)option; return 0; }
size_t tn_setting_choice(const tn_reasoner *reasoner, size_t option) { (void)reasoner, (void)option; return 0; }
double tn_setting_number(const tn_reasoner *reasoner, size_t option) { (void)reasoner, (void)option; return 0; }
tenebra_code tn_fail_session_full(tenebra_error *error) { return tn_fail(error, TENEBRA_ERROR_LIMIT, "session", "full"); }
const tn_network *tn_module_of(const tn_model *model, const char *method) { (void)model, (void)method; return NULL; }
tenebra_code tn_latent_open(tn_reasoner *r, const tn_latent_settings *s, tenebra_error *error) { (void)r, (void)s, (void)error; return TENEBRA_OK; }
tenebra_code tn_latent_next(tn_reasoner *r, tn_action *a, tenebra_error *error) { (void)r, (void)a, (void)error; return TENEBRA_OK; }
tenebra_code tn_latent_example(tn_reasoner *r, tn_train_example *e, tenebra_error *error) { (void)r, (void)e, (void)error; return TENEBRA_OK; }

size_t tn_look_cells(const tn_image_rows *shown, const tn_image_rows *look, size_t cell, tn_row *cells)
{
    (void)shown, (void)look, (void)cell, (void)cells;
    return 0;
}

static lare_module *module;

static int open_with(const tenebra_setting *settings, size_t count)
{
    tn_module_shape shape = { .sizes = { [TN_MODULE_HIDDEN] = HIDDEN } };
    module = calloc(1, sizeof *module);
    if (module == NULL || shape_module(settings, count, &shape, NULL) != TENEBRA_OK)
        return -1;
    if (shape.sizes[DENOISER + TN_DENOISER_LAYERS] > 0)
        shape.sizes[DENOISER + TN_DENOISER_LAYERS] = 1; /* fewer than a person may ask for */
    module->network.layout = &layout;
    memcpy(module->network.sizes, shape.sizes, sizeof shape.sizes);
    memcpy(module->network.numbers, shape.numbers, sizeof shape.numbers);
    return tn_network_open(&module->network, NULL) == TENEBRA_OK ? 0 : -1;
}

static int open_module(void **state)
{
    static const tenebra_setting settings[] = { { "lq-width", "6" }, { "lq-heads", "2" }, { "lq-queries", "2" }, { "lq-steps", "3" },
                                                { "lq-layers", "2" }, { "lambda-c", "0.5" }, { "loss", "lm" } };
    (void)state;
    return open_with(settings, sizeof settings / sizeof *settings);
}

static int open_reconstructing(void **state)
{
    static const tenebra_setting settings[] = { { "lq-width", "6" }, { "lq-heads", "2" }, { "lq-steps", "3" }, { "lq-layers", "1" },
                                                { "lambda-r", "0.5" }, { "rec-target", "features" }, { "rec-width", "4" }, { "loss", "lm" } };
    (void)state;
    return open_with(settings, sizeof settings / sizeof *settings);
}

static int close_module(void **state)
{
    (void)state;
    tn_network_close(&module->network);
    free(module);
    return 0;
}

/* A sequence whose spans run one after another. */
typedef struct sequence {
    gradient_case *c;
    tn_decoder decoder;
    tn_keys keys[LAYERS];
    size_t length;
    tn_row fed[STEPS_RUN]; /* its thoughts */
} sequence;

/* Runs rows and returns their states before the final norm. */
static tn_tensor run_rows(sequence *s, tn_row *span, size_t count)
{
    const tn_decoder_part part = { count, s->length, s->keys, NULL };
    for (size_t i = 0; i < count; i++, s->length++)
        span[i].position = (tn_position){ { (int32_t)s->length, (int32_t)s->length, (int32_t)s->length } };
    return tn_rows_run(&s->c->ops, &s->decoder, span, count, &part, 1);
}

static void take_steps(sequence *s, const tn_image_rows *picture, tn_tensor marks, const lare_settings *own)
{
    static const tn_real scores[STEPS_RUN][CELLS] = { { 3, 1, 2, 0 }, { 0, 1, 2, 3 }, { 1, 3, 0, 2 } };
    tn_ops *ops = &s->c->ops;
    tn_row prompt[CELLS + QUESTION + 1], cells[CELLS];
    bool available[CELLS] = { true, true, true, true };
    size_t picks[CELLS], first[CELLS], starts[CELLS + 1], count;
    tn_row_ref thoughts[STEPS_RUN];
    tn_choice choice = { .settings = { .steps = STEPS_RUN, .picks = 2, .order = TN_PICK_ASC, .returns = true, .own = own },
                         .candidates = CELLS, .available = available, .cells = cells, .starts = starts, .most = 1, .picks = picks, .first = first, .thoughts = thoughts };
    for (size_t i = 0; i < CELLS; i++)
        prompt[i] = cells[i] = tn_row_of_cell(picture, i);
    for (size_t i = 0; i <= CELLS; i++)
        starts[i] = i;
    for (size_t i = 0; i < QUESTION; i++)
        prompt[CELLS + i] = tn_row_of_token((int32_t)(2 * i + 1));
    prompt[CELLS + QUESTION] = tn_row_of_vector(marks, 0);
    tn_tensor normed = tn_decoder_norm(ops, &s->decoder, run_rows(s, prompt, CELLS + QUESTION + 1));
    tn_latent_view view = { .ops = ops, .module = &module->network, .decoder = &s->decoder, .hidden = { normed, CELLS + QUESTION },
                            .question = { normed, CELLS }, .question_rows = QUESTION };
    for (size_t step = 0; step < STEPS_RUN; step++) {
        view.scores = scores[step];
        assert_int_equal(take_step(&choice, &view, &s->fed[step], &count, NULL), TENEBRA_OK);
        assert_int_equal(count, 1);
        view.hidden = (tn_row_ref){ tn_decoder_norm(ops, &s->decoder, run_rows(s, &(tn_row){ s->fed[step].kind, .vector = s->fed[step].vector }, 1)), 0 };
    }
}

/* The loss of the answer of one example. */
static tn_tensor answer(sequence *s, const tn_image_rows *picture, tn_tensor marks, const lare_settings *own)
{
    static const int32_t labels[ANSWER + 1] = { 4, 9, 2 };
    tn_ops *ops = &s->c->ops;
    for (size_t l = 0; l < LAYERS; l++)
        s->keys[l] = cache(s->c, ROWS, HEADS * DIM);
    take_steps(s, picture, marks, own);
    tn_row rest[ANSWER + 1] = { tn_row_of_vector(marks, 1), tn_row_of_token(4), tn_row_of_token(9) };
    tn_tensor x = run_rows(s, rest, ANSWER + 1);
    return tn_op_cross_entropy(ops, tn_decoder_logits(ops, &s->decoder, tn_decoder_norm(ops, &s->decoder, x)), labels, 0.5);
}

/* The contrastive loss of the examples. Images and texts are constants in it, so those that are mapped are not the parameters. */
static tn_tensor align(gradient_case *c, constants *all, const sequence *sequences, const lare_settings *own)
{
    static int32_t words[TOTAL][2] = { { 3, 5 }, { 7, 1 }, { 2, 2 } };
    tn_decoder *decoder = tn_arena_take(&c->work, 1, sizeof *decoder);
    tn_image_rows *pictures = tn_arena_take(&c->work, TOTAL, sizeof *pictures);
    tn_train_example *examples = tn_arena_take(&c->work, TOTAL, sizeof *examples);
    const tn_train_example *pointers[TOTAL];
    tn_loss_example of[EXAMPLES];
    tn_loss_part parts[TN_LOSS_PARTS] = { { 0 } };
    assert_true(decoder != NULL && pictures != NULL && examples != NULL);
    *decoder = sequences[0].decoder;
    decoder->embed = fixed(all, VOCABULARY, HIDDEN, 1);
    for (size_t i = 0; i < TOTAL; i++) {
        pictures[i] = (tn_image_rows){ .rows = CELLS, .embeds = tn_op_constant(&c->ops, CELLS, HIDDEN, constant(all, CELLS * HIDDEN, 0, 1)) };
        examples[i] = (tn_train_example){ .words = words[i], .word_count = 2, .picture_count = 1, .latent_steps = STEPS_RUN,
                                          .image_mark = { { 1 + i / 2 } }, .words_mark = { { 1 + i } } }; /* two of one image */
        pointers[i] = &examples[i];
    }
    for (size_t i = 0; i < EXAMPLES; i++)
        of[i] = (tn_loss_example){ &examples[i], sequences[i].fed, STEPS_RUN, &pictures[i], i };
    const tn_loss_batch batch = { .ops = &c->ops, .module = &module->network, .decoder = decoder, .own = own, .examples = of,
                                  .count = EXAMPLES, .share = 0.3, .all = pointers, .total = TOTAL, .first = 0,
                                  .shown = tn_contrast_unit(&c->ops, tn_op_constant(&c->ops, TOTAL * TN_ALIGN_MAPS, HIDDEN,
                                                                                    constant(all, TOTAL * TN_ALIGN_MAPS * HIDDEN, 0, 1))) };
    assert_int_equal(losses(&batch, parts), 1);
    assert_string_equal(parts[0].name, "contrastive");
    assert_true(parts[0].whole && parts[0].weight == own->weights.contrast && parts[0].loss.data[0] > 0);
    return parts[0].loss;
}

static tn_tensor build(gradient_case *c)
{
    const lare_settings own = { .gate = (tn_lq_gate)c->variant, .rescale = true, .refine = true, .weights = { 0.5, 0 } };
    constants all = { tn_rng_seed(5), c };
    tn_image_rows *pictures = tn_arena_take(&c->work, EXAMPLES, sizeof *pictures);
    sequence sequences[EXAMPLES] = { { .c = c }, { .c = c } };
    assert_non_null(pictures);
    make_decoder(c, &all, &layout, true, NULL, 0, &sequences[0].decoder);
    sequences[1].decoder = sequences[0].decoder;
    tn_network_each(&module->network, fill_parameter, &(filler){ c, 3, false }, NULL);
    tn_tensor marks = marks_of(&c->ops, &module->network), loss = { 0 };
    for (size_t i = 0; i < EXAMPLES; i++) {
        pictures[i] = (tn_image_rows){ .rows = CELLS, .frames = 1, .grid_rows = 2, .grid_columns = 2, .embeds = input(c, 1 + i) };
        tn_tensor one = answer(&sequences[i], &pictures[i], marks, &own);
        loss = i == 0 ? one : tn_op_add(&c->ops, loss, one);
    }
    return tn_op_add(&c->ops, loss, align(c, &all, sequences, &own));
}

static void open_case(gradient_case *c, uint64_t seed)
{
    case_open(c, seed);
    add(c, VOCABULARY, HIDDEN, 0, 1);
    add(c, CELLS, HIDDEN, 0, 1);
    add(c, CELLS, HIDDEN, 0, 1);
    tn_network_each(&module->network, fill_parameter, &(filler){ c, 3, true }, NULL);
}

/* With learned gates; with the others, the weights of gates have no gradient. */
static void loops_are_right(void **state)
{
    (void)state;
    gradient_case c;
    open_case(&c, 1);
    c.variant = TN_LQ_GATE_LEARNED;
    check(&c, build);
    case_close(&c);
}

/* The fixed vectors of the denoiser only normalise: they are constants, here of targets that were not measured. */
static tenebra_code fill_most(void *user, const tn_place *place, tenebra_error *error)
{
    static double zeros[HIDDEN];
    if (place->slot != &module->denoiser.frame->mean && place->slot != &module->denoiser.frame->deviation)
        return fill_parameter(user, place, error);
    *(tn_vector *)place->slot = (tn_vector){ HIDDEN, zeros, NULL };
    return TENEBRA_OK;
}

/* The reconstruction of one image from the thoughts of its question. */
static tn_tensor build_reconstruction(gradient_case *c)
{
    const lare_settings own = { .gate = TN_LQ_GATE_LEARNED, .rescale = true, .refine = true, .weights = { 0, 0.5 } };
    constants all = { tn_rng_seed(5), c };
    tn_image_rows *picture = tn_arena_take(&c->work, 2, sizeof *picture);
    const tn_train_example example = { .picture_count = 1, .latent_steps = STEPS_RUN }, *pointer = &example;
    sequence s = { .c = c };
    tn_loss_part parts[TN_LOSS_PARTS] = { { 0 } };
    assert_non_null(picture);
    make_decoder(c, &all, &layout, true, NULL, 0, &s.decoder);
    tn_network_each(&module->network, fill_most, &(filler){ c, 2, false }, NULL);
    picture[0] = picture[1] = (tn_image_rows){ .rows = CELLS, .frames = 1, .grid_rows = 2, .grid_columns = 2, .embeds = input(c, 1) };
    picture[1].embeds = tn_op_constant(&c->ops, CELLS, HIDDEN, constant(&all, CELLS * HIDDEN, 0, 1));
    tn_tensor loss = answer(&s, &picture[0], marks_of(&c->ops, &module->network), &own);
    const tn_loss_example of = { &example, s.fed, STEPS_RUN, &picture[1], 3 };
    const tn_loss_batch batch = { .ops = &c->ops, .module = &module->network, .decoder = &s.decoder, .own = &own, .examples = &of,
                                  .count = 1, .share = 0.6, .all = &pointer, .total = 1 };
    assert_int_equal(losses(&batch, parts), 1);
    assert_string_equal(parts[0].name, "reconstruction");
    return tn_op_add(&c->ops, loss, parts[0].loss);
}

static void reconstructions_reach_the_loop(void **state)
{
    (void)state;
    gradient_case c;
    case_open(&c, 6);
    add(&c, VOCABULARY, HIDDEN, 0, 1);
    add(&c, CELLS, HIDDEN, 0, 1);
    tn_network_each(&module->network, fill_most, &(filler){ &c, 2, true }, NULL);
    step_size = 1e-3; /* without the contrastive loss: the rounding is the larger part */
    check(&c, build_reconstruction);
    step_size = 2.5e-4;
    case_close(&c);
}

/* The largest difference of the third result if the first two thoughts are exchanged. */
static double exchange(gradient_case *c)
{
    const double values[2][HIDDEN] = { { 1, -1, 2, 0, 1, 3, -2, 1, 0, 0, 1, 1 }, { 0, 2, -1, 1, 1, 0, 2, -3, 1, 1, 0, 2 } };
    double difference = 0;
    tn_tensor results[2];
    for (size_t i = 0; i < 2; i++) {
        tn_tensor thoughts = tn_op_constant(&c->ops, 2, HIDDEN, NULL);
        memcpy(thoughts.data, values[i], sizeof values[i]);
        memcpy(thoughts.data + HIDDEN, values[1 - i], sizeof values[i]);
        const tn_lq_input input = { .state = tn_op_constant(&c->ops, 1, HIDDEN, values[0]), .step = 2, .thoughts = thoughts };
        results[i] = tn_lq_former_run(&c->ops, &module->lq, module->network.sizes + LQ, module->network.numbers[EPS], &input);
        assert_false(tn_tensor_is_empty(results[i]));
    }
    for (size_t i = 0; i < HIDDEN; i++)
        difference = fmax(difference, fabs(results[0].data[i] - results[1].data[i]));
    return difference;
}

/* T10: the order of earlier thoughts counts, because they have the numbers of their steps; with equal numbers it does not. */
static void order_of_thoughts_counts(void **state)
{
    (void)state;
    gradient_case c;
    open_case(&c, 2);
    tn_network_each(&module->network, fill_parameter, &(filler){ &c, 3, false }, NULL);
    size_t width = module->network.sizes[LQ + TN_LQ_WIDTH];
    tn_real *numbers = (tn_real *)(uintptr_t)module->lq.numbers.matrix.data;
    assert_true(exchange(&c) > 1e-3);
    memcpy(numbers + width, numbers, width * sizeof *numbers);
    assert_true(exchange(&c) < 1e-12);
    case_close(&c);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(loops_are_right, open_module, close_module),
        cmocka_unit_test_setup_teardown(reconstructions_reach_the_loop, open_reconstructing, close_module),
        cmocka_unit_test_setup_teardown(order_of_thoughts_counts, open_module, close_module),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
