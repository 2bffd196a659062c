/* Random weights to start from. */
#include "train/parts.h"

#include "base/rng.h"

#include <math.h>
#include <string.h>

static bool reads(const tn_weight *weight, const tn_parameter *parameter)
{
    return weight->matrix.data != NULL &&
           (weight->matrix.data == (const void *)parameter->values || weight->matrix.data == (const void *)parameter->rounded);
}

/* Layers of the tower in which this matrix writes into the residual stream; 0: it does not. */
static size_t residual_depth(const tn_model *model, const tn_parameter *parameter)
{
    size_t layers = model->decoder.config.num_hidden_layers, depth = model->vision.config.depth;
    for (size_t l = 0; l < layers; l++)
        if (reads(&model->decoder.layers[l].o, parameter) || reads(&model->decoder.layers[l].down, parameter))
            return layers;
    for (size_t b = 0; b < depth; b++)
        if (reads(&model->vision.blocks[b].proj, parameter) || reads(&model->vision.blocks[b].fc2, parameter))
            return depth;
    return 0;
}

static bool is_scale(const char *name)
{
    static const char end[] = ".weight";
    size_t length = strlen(name), size = sizeof end - 1;
    return length >= size && strcmp(name + length - size, end) == 0;
}

static double deviation_of(const tn_model *model, const tn_parameter *parameter, double deviation)
{
    if (deviation == 0)
        return 1 / sqrt((double)parameter->cols);
    size_t depth = residual_depth(model, parameter);
    return depth > 0 ? deviation / sqrt(2.0 * (double)depth) : deviation;
}

tenebra_code tn_initial_values(tn_model *model, tn_parameters *parameters, const char *const *globs, double deviation,
                               uint64_t seed, tenebra_error *error)
{
    tn_rng rng = tn_rng_seed(tn_seed_mix(seed, 0x696e6974, 0));
    size_t fresh = 0;
    for (size_t i = 0; i < parameters->count; i++) {
        tn_parameter *parameter = &parameters->items[i];
        if (globs != NULL && !tn_name_fits(parameter->name, globs))
            continue;
        double scale = parameter->matrix ? deviation_of(model, parameter, deviation) : 0;
        for (size_t k = 0; k < parameter->count; k++)
            parameter->values[k] = parameter->matrix ? (tn_real)(scale * tn_rng_normal(&rng)) : is_scale(parameter->name);
        fresh++;
    }
    if (fresh == 0)
        return tn_fail(error, TENEBRA_ERROR_ARGUMENT, globs != NULL ? "fresh" : "trainable",
                       globs != NULL ? "fits no parameter that is trained" : "nothing is trained");
    tn_parameters_round(parameters);
    return TENEBRA_OK;
}
