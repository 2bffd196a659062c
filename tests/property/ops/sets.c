/* Every kernel set that this machine runs gives the same results as the reference, within the roundings
 * of both, and large activations (P10: 1e4 .. 1e6) overflow in none. */
#include "unit/ops/fixture.h"

/* A sum of n products errs by n u times the sum of their sizes at worst, u = eps / 2, and by less than
 * 6 sqrt(n) u with all but negligible probability (Higham and Mary, SIAM J. Sci. Comput. 41, 2019). A
 * set and the reference err independently: 6 sqrt(n) eps for both. */
static const double eps = FLT_EPSILON;

static double sum_error(size_t n)
{
    return 6 * sqrt((double)n + 1) * eps;
}

typedef struct sizes {
    size_t rows, cols, outputs; /* of linear, norms, elementwise, loss      */
    size_t start, heads, kv_heads, head_dim; /* of attention over `rows` rows */
} sizes;

static sizes draw_sizes(tn_rng *rng)
{
    sizes s = { .rows = 1 + tn_rng_below(rng, 70), .cols = 8 * (1 + tn_rng_below(rng, 20)) + tn_rng_below(rng, 8),
                .outputs = 1 + tn_rng_below(rng, 200), .start = tn_rng_below(rng, 150),
                .kv_heads = 1 + tn_rng_below(rng, 3), .head_dim = 2 * (1 + tn_rng_below(rng, 50)) };
    s.heads = s.kv_heads * (1 + tn_rng_below(rng, 4));
    return s;
}

static tn_tensor drawn(fixture *f, size_t rows, size_t cols, double size)
{
    return tensor(f, rows, cols, numbers(f, rows * cols, 0, size));
}

/* An operation with gradients: its result, and the gradients of everything it reads, next to each
 * other as one row of numbers. `bound` receives what each of them may err by. */
typedef struct outcome {
    size_t count;
    tn_real *values;
    double *bound;
} outcome;

static void offer(outcome *o, const tn_real *values, size_t count, double bound)
{
    o->values = realloc(o->values, (o->count + count) * sizeof *o->values);
    o->bound = realloc(o->bound, (o->count + count) * sizeof *o->bound);
    memcpy(o->values + o->count, values, count * sizeof *values);
    for (size_t i = 0; i < count; i++)
        o->bound[o->count + i] = bound;
    o->count += count;
}

static double largest(const tn_real *x, size_t n)
{
    double most = 0;
    for (size_t i = 0; i < n; i++) {
        double size = fabs((double)x[i]);
        most = size <= most ? most : size; /* keeps a NaN */
    }
    return most;
}

/* loss = sum of y: every gradient of y is 1. */
static void sum_up(fixture *f, tn_tensor y)
{
    size_t n = y.rows * y.cols;
    tn_real *ones = numbers(f, n, 1, 0);
    tn_weight w = weight_of(ones, 1, n, NULL);
    tn_tape_backward(&f->ops, tn_op_linear(&f->ops, tn_op_reshape(&f->ops, y, 1, n), &w, NULL));
    works(f);
}

typedef void operation_fn(fixture *f, const sizes *s, double size, outcome *o);

/* n products of numbers up to a and b. */
static double product_bound(size_t n, double a, double b)
{
    return sum_error(n) * (double)n * a * b;
}

static void run_linear(fixture *f, const sizes *s, double size, outcome *o)
{
    size_t t = s->rows, k = s->cols, n = s->outputs;
    tn_real *w = numbers(f, n * k, 0, 1), *b = numbers(f, n, 0, size), *dw = numbers(f, n * k, 0, 0);
    tn_real *db = numbers(f, n, 0, 0);
    tn_weight matrix = weight_of(w, n, k, dw);
    tn_vector bias = { n, b, db };
    tn_tape_start(&f->ops);
    tn_tensor x = drawn(f, t, k, size), y = tn_op_linear(&f->ops, x, &matrix, &bias);
    sum_up(f, y);
    double most_x = largest(x.data, t * k), most_w = largest(w, n * k);
    offer(o, y.data, t * n, product_bound(k + 1, most_x, most_w) + eps * largest(b, n));
    offer(o, x.grad, t * k, product_bound(n, 1, most_w));
    offer(o, dw, n * k, product_bound(t, 1, most_x));
    offer(o, db, n, product_bound(t, 1, 1));
}

/* exp has an error of (2 + |x|) eps of the result, which sigmoid does not increase; three more roundings. The
 * derivatives of swiglu and GELU are up to 1.1 times the numbers. */
static void run_elementwise(fixture *f, const sizes *s, double size, outcome *o)
{
    size_t t = s->rows, k = s->cols;
    tn_tape_start(&f->ops);
    tn_tensor x = drawn(f, t, k, size), y = drawn(f, t, k, 1), z = drawn(f, t, k, size);
    tn_tensor a = tn_op_swiglu(&f->ops, x, y), b = tn_op_quick_gelu(&f->ops, z);
    sum_up(f, tn_op_add(&f->ops, a, b));
    double most = 1 + largest(x.data, t * k), other = 1 + largest(y.data, t * k), third = 1 + largest(z.data, t * k);
    offer(o, a.data, t * k, 2 * eps * most * other * 12);
    offer(o, b.data, t * k, 2 * eps * third * 12);
    offer(o, x.grad, t * k, 2 * eps * other * 12);
    offer(o, y.grad, t * k, 2 * eps * most * 12);
    offer(o, z.grad, t * k, 2 * eps * 12);
}

/* No kernel takes part in norms: equal bits, so a bound of 0. */
static void run_norms(fixture *f, const sizes *s, double size, outcome *o)
{
    size_t t = s->rows, k = s->cols;
    tn_vector scale = { k, numbers(f, k, 1, 0.2), numbers(f, k, 0, 0) };
    tn_tape_start(&f->ops);
    tn_tensor x = drawn(f, t, k, size), a = tn_op_rms_norm(&f->ops, x, &scale, 1e-6);
    tn_tensor b = tn_op_layer_norm(&f->ops, x, &scale, NULL, 1e-6);
    sum_up(f, tn_op_add(&f->ops, a, b));
    offer(o, a.data, t * k, 0);
    offer(o, b.data, t * k, 0);
    offer(o, x.grad, t * k, 0);
    offer(o, scale.grad, k, 0);
}

/* Largest sum of |q k| / sqrt(D), by which the rounding of a score is measured. */
static double score_size(const tn_real *q, const tn_real *k, const sizes *s)
{
    double most = 0;
    for (size_t row = 0; row < s->rows; row++)
        for (size_t head = 0; head < s->heads; head++)
            for (size_t key = 0; key < s->start + s->rows; key++) {
                const tn_real *a = q + (row * s->heads + head) * s->head_dim;
                const tn_real *b = k + (key * s->kv_heads + head / (s->heads / s->kv_heads)) * s->head_dim;
                double sum = 0;
                for (size_t i = 0; i < s->head_dim; i++)
                    sum += fabs((double)a[i] * (double)b[i]);
                most = fmax(most, sum / sqrt((double)s->head_dim));
            }
    return most;
}

/* Largest |sum over D of v| of a key: dP, as all gradients of the output are 1. */
static double largest_dp(const tn_keys *keys, const sizes *s)
{
    double most = 0;
    for (size_t at = 0; at < keys->capacity * keys->stride; at += s->head_dim) {
        double sum = 0;
        for (size_t i = 0; i < s->head_dim; i++)
            sum += (double)keys->v[at + i];
        most = fmax(most, fabs(sum));
    }
    return most;
}

/* A probability errs by the relative e: its score and the peak's, its exponential ((2 + |x|) eps) and
 * the sum. Outputs are means of values under it. dQ = sum of P (dP - mean dP) K / sqrt(D): P sums to 1
 * and dP errs by sum_error(D) of its terms. dK and dV are such sums over all queries, where each P is at
 * most 1. */
static void run_attention(fixture *f, const sizes *s, double size, outcome *o)
{
    size_t t = s->rows, width = s->heads * s->head_dim, stride = s->kv_heads * s->head_dim, all = s->start + t;
    tn_keys keys = { all, stride, numbers(f, all * stride, 0, size), numbers(f, all * stride, 0, 1),
                     numbers(f, all * stride, 0, 0), numbers(f, all * stride, 0, 0), NULL, NULL };
    tn_attention shape = { .heads = s->heads, .kv_heads = s->kv_heads, .head_dim = s->head_dim, .causal = true,
                           .start = s->start };
    tn_tape_start(&f->ops);
    tn_tensor q = drawn(f, t, width, 1), y = tn_op_attention(&f->ops, q, &keys, &shape);
    sum_up(f, y);
    double most = score_size(q.data, keys.k, s), value = largest(keys.v, all * stride);
    double root = sqrt((double)s->head_dim);
    double e = 2 * sum_error(s->head_dim) * most + 4 * (1 + most) * eps + sum_error(all);
    double dp = largest_dp(&keys, s), dp_error = sum_error(s->head_dim) * (double)s->head_dim * value;
    double ds = 2 * (e * 2 * dp + dp_error) / root, queries = (double)(t * (s->heads / s->kv_heads));
    offer(o, y.data, t * width, e * value);
    offer(o, keys.dv, all * stride, (e + sum_error(t * s->heads)) * queries);
    offer(o, q.grad, t * width, (ds + sum_error(all) * 2 * dp / root) * largest(keys.k, all * stride));
    offer(o, keys.dk, all * stride,
          (ds + sum_error(t * s->heads) * 2 * dp / root) * queries * largest(q.data, t * width));
}

static void run_loss(fixture *f, const sizes *s, double size, outcome *o)
{
    size_t t = s->rows, v = s->outputs + 1;
    int32_t labels[70];
    for (size_t i = 0; i < t; i++)
        labels[i] = (int32_t)(i % v) - 1;
    tn_tape_start(&f->ops);
    tn_tensor logits = drawn(f, t, v, size), loss = tn_op_cross_entropy(&f->ops, logits, labels, 1);
    tn_tape_backward(&f->ops, loss);
    works(f);
    double most = 2 * largest(logits.data, t * v), rows = (double)t;
    offer(o, loss.data, 1, 2 * eps * (rows * (most + 10) + (double)v));
    offer(o, logits.grad, t * v, 2 * eps * (2 * 120 + (double)v)); /* exp(-120) is 0 in f32 */
}

/* Convolution: the products of linear, over patches. */
static void run_conv(fixture *f, const sizes *s, double size, outcome *o)
{
    size_t height = 1 + s->rows % 9, width = 1 + s->rows % 11, k = s->cols, n = s->outputs, pixels = height * width;
    const tn_conv shape = { .height = height, .width = width, .kernel = 3, .stride = 1 + s->rows % 2, .top = 1, .left = 1, .bottom = 1,
                            .right = 1 };
    tn_real *w = numbers(f, 9 * n * k, 0, 1), *b = numbers(f, n, 0, size), *dw = numbers(f, 9 * n * k, 0, 0), *db = numbers(f, n, 0, 0);
    tn_weight matrix = weight_of(w, n, 9 * k, dw);
    tn_vector bias = { n, b, db };
    tn_tape_start(&f->ops);
    tn_tensor x = drawn(f, pixels, k, size), y = tn_op_conv(&f->ops, x, &shape, &matrix, &bias);
    sum_up(f, y);
    double most_x = largest(x.data, pixels * k), most_w = largest(w, 9 * n * k);
    offer(o, y.data, y.rows * n, product_bound(9 * k + 1, most_x, most_w) + eps * largest(b, n));
    offer(o, x.grad, pixels * k, product_bound(9 * n, 1, most_w));
    offer(o, dw, 9 * n * k, product_bound(y.rows, 1, most_x));
    offer(o, db, n, product_bound(y.rows, 1, 1));
}

/* No kernel takes part in group norms; silu errs as swiglu does. */
static void run_images(fixture *f, const sizes *s, double size, outcome *o)
{
    size_t t = s->rows + 1, k = 4 * s->cols;
    tn_vector scale = { k, numbers(f, k, 1, 0.2), numbers(f, k, 0, 0) }, shift = { k, numbers(f, k, 0, 1), numbers(f, k, 0, 0) };
    tn_tape_start(&f->ops);
    tn_tensor x = drawn(f, t, k, size), z = drawn(f, t, k, size);
    tn_tensor a = tn_op_group_norm(&f->ops, x, &scale, &shift, 4, 1e-6), b = tn_op_silu(&f->ops, z);
    sum_up(f, tn_op_add(&f->ops, a, b));
    double most = 1 + largest(z.data, t * k);
    offer(o, b.data, t * k, 2 * eps * most * 12);
    offer(o, z.grad, t * k, 2 * eps * 12);
    offer(o, x.grad, t * k, 0);
    offer(o, scale.grad, k, 0);
    offer(o, shift.grad, k, 0);
}

static operation_fn *const operations[] = { run_linear, run_elementwise, run_norms, run_attention, run_loss, run_conv, run_images };
enum { OPERATIONS = sizeof operations / sizeof *operations };

static outcome run(operation_fn *operation, const tn_kernels *kernels, uint64_t seed, double size)
{
    fixture f;
    outcome o = { 0 };
    fixture_open(&f, kernels, 2, seed);
    sizes s = draw_sizes(&f.rng);
    operation(&f, &s, size, &o);
    fixture_close(&f);
    return o;
}

static void release(outcome *o)
{
    free(o->values);
    free(o->bound);
}

static bool agree(const outcome *a, const outcome *b)
{
    if (a->count != b->count)
        return false;
    for (size_t i = 0; i < a->count; i++)
        if (!(fabs((double)a->values[i] - (double)b->values[i]) <= a->bound[i]))
            return false;
    return true;
}

static void sets_agree(void **state)
{
    (void)state;
    for (size_t i = 0; i < OPERATIONS; i++)
        for (uint64_t seed = 0; seed < 12; seed++) {
            outcome wanted = run(operations[i], tn_kernels_reference(), seed, 1.5);
            for (size_t set = 1; tn_kernels_at(set) != NULL; set++) {
                outcome got = run(operations[i], tn_kernels_at(set), seed, 1.5);
                if (!agree(&wanted, &got))
                    fail_msg("set %s, operation %zu, seed %zu", tn_kernels_at(set)->name, i, (size_t)seed);
                release(&got);
            }
            /* One number off by more than its bound is found, and so is a NaN. */
            outcome broken = run(operations[i], tn_kernels_reference(), seed, 1.5);
            size_t middle = broken.count / 2;
            assert_true(agree(&wanted, &broken));
            double value = fabs((double)broken.values[middle]);
            broken.values[middle] += (tn_real)(2 * wanted.bound[middle] + 1e-4 * (1 + value));
            assert_false(agree(&wanted, &broken));
            broken.values[middle] = (tn_real)NAN;
            assert_false(agree(&wanted, &broken));
            release(&broken);
            release(&wanted);
        }
}

static void large_activations_stay_finite(void **state)
{
    static const double scales[] = { 1e4, 1e5, 1e6 };
    (void)state;
    for (size_t set = 0; tn_kernels_at(set) != NULL; set++)
        for (size_t i = 0; i < OPERATIONS; i++)
            for (size_t j = 0; j < 3; j++)
                for (uint64_t seed = 0; seed < 3; seed++) {
                    outcome o = run(operations[i], tn_kernels_at(set), seed, scales[j]);
                    for (size_t n = 0; n < o.count; n++)
                        if (!isfinite(o.values[n]))
                            fail_msg("set %s, operation %zu, size %g: value %zu", tn_kernels_at(set)->name, i,
                                     scales[j], n);
                    release(&o);
                }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(sets_agree),
        cmocka_unit_test(large_activations_stay_finite),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
