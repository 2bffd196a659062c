/* Random weights to start from. */
#include "train/parts.h"

#include "base/rng.h"

#include <math.h>
#include <string.h>

static double deviation_of(const tn_parameter *parameter, double deviation)
{
    if (deviation == 0)
        return 1 / sqrt((double)parameter->cols);
    return parameter->residual > 0 ? deviation / sqrt(2.0 * (double)parameter->residual) : deviation;
}

tenebra_code tn_initial_values(tn_parameters *parameters, const char *const *globs, double deviation,
                               uint64_t seed, tenebra_error *error)
{
    tn_rng rng = tn_rng_seed(tn_seed_mix(seed, 0x696e6974, 0));
    size_t fresh = 0;
    for (size_t i = 0; i < parameters->count; i++) {
        tn_parameter *parameter = &parameters->items[i];
        bool of_module = strncmp(parameter->name, "module.", strlen("module.")) == 0; /* a new one has its values (model/module.h) */
        if (globs != NULL ? !tn_name_fits(parameter->name, globs) : of_module)
            continue;
        double scale = parameter->matrix ? deviation_of(parameter, deviation) : 0;
        for (size_t k = 0; k < parameter->count; k++)
            parameter->values[k] = parameter->matrix ? (tn_real)(scale * tn_rng_normal(&rng)) : parameter->scale;
        fresh++;
    }
    if (fresh == 0 && globs != NULL)
        return tn_fail(error, TENEBRA_ERROR_ARGUMENT, "fresh", "matches no trained parameter");
    tn_parameters_round(parameters);
    return TENEBRA_OK;
}
