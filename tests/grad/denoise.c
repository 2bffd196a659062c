/* Gradients of the denoiser in double precision: all its weights, and the thoughts that it reads. */
#include "check.h"
#include "toys/denoiser.h"

enum { HIDDEN = 6, THOUGHTS = 5, CASES = 2 };

static denoiser_module *module;

/* The fixed vectors are constants: they only normalise. */
static bool is_fixed(const tn_place *place)
{
    return place->slot == &module->denoiser.frame->mean || place->slot == &module->denoiser.frame->deviation;
}

typedef struct filler {
    gradient_case *c;
    size_t next;
    bool adds;
} filler;

static tenebra_code fill(void *user, const tn_place *place, tenebra_error *error)
{
    filler *f = user;
    bool matrix = tn_place_is_matrix(place);
    (void)error;
    if (is_fixed(place))
        *(tn_vector *)place->slot = (tn_vector){ place->cols, module->network.vectors, NULL }; /* zeros: not measured */
    else if (f->adds) /* positions are far from 0, where a norm curves too much for the differences */
        add(f->c, place->rows, place->cols, place->row->role == TN_ROLE_SCALE, place->row->role == TN_ROLE_PATCHES ? 1.5 : matrix ? 0.5 : 0.3);
    else if (matrix)
        *(tn_weight *)place->slot = weight(f->c, f->next++);
    else
        *(tn_vector *)place->slot = vector(f->c, f->next++);
    return TENEBRA_OK;
}

/* Two images, of which the second has fewer cells. */
static tn_tensor build(gradient_case *c)
{
    tn_network_each(&module->network, fill, &(filler){ c, 1, false }, NULL);
    const tn_denoiser d = denoiser_of(module);
    tn_tensor all = input(c, 0);
    tn_row_ref refs[THOUGHTS];
    tn_denoiser_case cases[CASES] = { { refs, 2, { 2, 2, NULL }, 7 }, { refs + 2, 3, { 1, 2, NULL }, 8 } };
    tn_rng rng = tn_rng_seed(3);
    for (size_t i = 0; i < THOUGHTS; i++)
        refs[i] = (tn_row_ref){ all, i };
    for (size_t i = 0; i < CASES; i++) {
        size_t count = tn_denoiser_count(&d, &cases[i].target);
        cases[i].target.values = tn_ops_take(&c->ops, "target", count, sizeof(tn_real));
        for (size_t k = 0; k < count; k++)
            cases[i].target.values[k] = tn_rng_normal(&rng);
    }
    return tn_denoiser_loss(&c->ops, &d, cases, CASES, 0.7);
}

static void check_one(const tn_denoiser_options *options)
{
    gradient_case c;
    module = denoiser_open(options, HIDDEN);
    assert_non_null(module);
    module->network.sizes[DENOISER_FIRST + TN_DENOISER_GRID] = 2; /* fewer cells than a person may ask for */
    case_open(&c, 4);
    add(&c, THOUGHTS, HIDDEN, 0, 1);
    tn_network_each(&module->network, fill, &(filler){ &c, 1, true }, NULL);
    check(&c, build);
    case_close(&c);
    denoiser_close(module);
}

static void denoisers_are_right(void **state)
{
    (void)state;
    check_one(&(tn_denoiser_options){ .layers = 2, .width = 4, .grid = 4 });
}

static void regressions_are_right(void **state)
{
    (void)state;
    check_one(&(tn_denoiser_options){ .regression = true, .layers = 2, .width = 6, .grid = 4 });
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(denoisers_are_right),
        cmocka_unit_test(regressions_are_right),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
