/* What the files of the adapters share among themselves. */
#ifndef TN_MODEL_LORA_PARTS_H
#define TN_MODEL_LORA_PARTS_H

#include "model/lora.h"
#include "model/slots.h"

/* The name of a matrix as a module: without ".weight", into name [TN_STORED_NAME_MAX + 1]. False if it is none. */
bool tn_lora_module_name(const tn_place *place, char *name);

/* One more module, A and B zero. Errors: UNSUPPORTED (no linear layer), ARGUMENT, MEMORY. */
tenebra_code tn_adapter_add_module(tn_adapter *adapter, const tn_place *place, const char *name, size_t rank, double alpha,
                                   tenebra_error *error);

/* The value of the first pattern that fits the module, else `otherwise`; as in PEFT a pattern is a regular expression
 * for the name or for an end of it that starts behind a '.'. Errors: ARGUMENT (no expression), LIMIT. */
tenebra_code tn_lora_exception(const tn_lora_pattern *patterns, size_t count, const char *name, double otherwise,
                               double *value, tenebra_error *error);

#endif
