/* Changes in the contents of a config.json that follow from the weights beside it. */
#ifndef TN_MODEL_CONFIG_CHANGE_H
#define TN_MODEL_CONFIG_CHANGE_H

#include <jansson.h>
#include <stdbool.h>
#include <stddef.h>

/* Sets the type in which programs load the weights, such as "bfloat16", on all levels. False without memory. */
bool tn_config_set_type(json_t *config, const char *type);

/* Sets the number of rows of the embedding where the configuration has it. False without memory. */
bool tn_config_set_vocabulary(json_t *config, size_t rows);

#endif
