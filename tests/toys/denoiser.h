/* A module that consists of a denoiser, with random values or those of gradient cases. */
#ifndef TN_TESTS_TOYS_DENOISER_H
#define TN_TESTS_TOYS_DENOISER_H

#include "reason/denoise.h"

#include <stdlib.h>
#include <string.h>

enum { DENOISER_HIDDEN = TN_SIZE_OWN, DENOISER_FIRST, DENOISER_GROUP = 1 };

typedef struct denoiser_module {
    tn_network network;
    tn_denoiser_parts denoiser;
} denoiser_module;

static const tn_layout_row denoiser_rows[] = { TN_DENOISER_ROWS(DENOISER_GROUP, DENOISER_FIRST, DENOISER_HIDDEN), { .name = NULL } };

static const tn_layout denoiser_layout = {
    .kind = TN_NETWORK_MODULE,
    .bytes = sizeof(denoiser_module),
    .groups = { TN_DENOISER_GROUPS(DENOISER_GROUP, denoiser_module, DENOISER_FIRST) },
    .rows = denoiser_rows,
};

/* A module with empty slots; NULL without memory. */
static inline denoiser_module *denoiser_open(const tn_denoiser_options *options, size_t hidden)
{
    denoiser_module *module = calloc(1, sizeof *module);
    if (module == NULL)
        return NULL;
    module->network.layout = &denoiser_layout;
    module->network.sizes[DENOISER_HIDDEN] = hidden;
    tn_denoiser_shape(options, hidden, &module->network.sizes[DENOISER_FIRST]);
    return tn_network_open(&module->network, NULL) == TENEBRA_OK ? module : NULL;
}

static inline void denoiser_close(denoiser_module *module)
{
    tn_network_close(&module->network);
    free(module);
}

static inline tn_denoiser denoiser_of(const denoiser_module *module)
{
    return (tn_denoiser){ &module->network.sizes[DENOISER_FIRST], module->denoiser };
}

#endif
