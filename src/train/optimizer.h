/* AdamW over a list of parameter tensors, global-norm clipping, and learning-rate schedules.
 *
 * The numbers are those of torch.optim.AdamW (decoupled decay, bias correction, eps outside the square root) and
 * torch.nn.utils.clip_grad_norm_, in f32 with the norm summed in f64. Work is divided into pieces of a fixed size, so
 * nothing depends on the number of threads. Source: arXiv:1711.05101, algorithm 2; documentation of torch.optim.AdamW. */
#ifndef TN_TRAIN_OPTIMIZER_H
#define TN_TRAIN_OPTIMIZER_H

#include "base/pool.h"
#include "base/real.h"

#include <stdint.h>

/* One tensor to be trained. All memory is the caller's and outlives the optimizer. */
typedef struct tn_optimized {
    tn_real *values;   /* [count] master values                                                  */
    tn_real *grad;     /* [count] their gradient                                                 */
    uint16_t *rounded; /* [count] bf16 copy that the networks read, updated by each step; NULL: none */
    size_t count;
    bool decay;        /* weight decay applies                                                   */
} tn_optimized;

typedef struct tn_adamw {
    double beta1, beta2; /* 0.9, 0.999 */
    double eps;          /* 1e-8       */
    double weight_decay; /* 0.01       */
} tn_adamw;

/* The defaults of torch. */
static inline tn_adamw tn_adamw_defaults(void) { return (tn_adamw){ 0.9, 0.999, 1e-8, 0.01 }; }

typedef struct tn_optimizer {
    tn_adamw settings;
    tn_optimized *items; /* [item_count], a copy of the caller's list                    */
    size_t item_count;
    size_t total;        /* values of all items                                          */
    tn_real *first, *second; /* [total] moments, item after item                         */
    uint64_t step;       /* updates made: the t of the bias correction                   */
    tn_pool *pool;
    struct tn_piece *pieces;
    size_t piece_count;
    double *sums;        /* [piece_count] */
} tn_optimizer;

/* Moments start at zero. pool may be NULL. Errors: ARGUMENT (settings out of range, a NULL tensor), MEMORY. */
tenebra_code tn_optimizer_open(tn_optimizer *optimizer, const tn_optimized *items, size_t item_count,
                               const tn_adamw *settings, tn_pool *pool, tenebra_error *error);

/* A zeroed optimizer may be closed. */
void tn_optimizer_close(tn_optimizer *optimizer);

/* Euclidean norm of all gradients; NaN or infinite if one of them is. */
double tn_optimizer_norm(tn_optimizer *optimizer);

/* The factor that reduces gradients of `norm` to at most `limit` (> 0; 0: no clipping), as clip_grad_norm_: min(1,
 * limit / (norm + 1e-6)). */
double tn_clip_factor(double norm, double limit);

/* One update with learning rate `lr`; gradients are multiplied by `factor` but not changed. */
void tn_optimizer_step(tn_optimizer *optimizer, double lr, double factor);

/* Sets all gradients to zero. */
void tn_optimizer_clear(tn_optimizer *optimizer);

/* Resets the moments and the step count. */
void tn_optimizer_reset(tn_optimizer *optimizer);

/* Updates the rounded copies from the values, e.g. after a checkpoint was read. */
void tn_optimizer_round(tn_optimizer *optimizer);

/* ------------------------------------------------------------ schedules -- */

typedef enum tn_schedule_kind { TN_SCHEDULE_CONSTANT, TN_SCHEDULE_LINEAR, TN_SCHEDULE_COSINE } tn_schedule_kind;

typedef struct tn_schedule {
    tn_schedule_kind kind;
    uint64_t warmup; /* updates of linear increase from 0               */
    uint64_t total;  /* updates in total; linear and cosine end at 0 */
} tn_schedule;

/* Factor of the learning rate for update number `update`, from 0. As get_constant_schedule_with_warmup,
 * get_linear_schedule_with_warmup and get_cosine_schedule_with_warmup of HF transformers. */
double tn_schedule_factor(const tn_schedule *schedule, uint64_t update);

#endif
