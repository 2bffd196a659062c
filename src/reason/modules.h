/* Modules of methods (model/module.h): which method has one, and where it is found. */
#ifndef TN_REASON_MODULES_H
#define TN_REASON_MODULES_H

#include "reason/method.h"

/* Adds the module that the last adapter with one has, else that of the model's directory; none is fine. Errors: as
 * tn_module_read. */
tenebra_code tn_modules_read(tn_model *model, const tenebra_adapter *adapters, size_t adapter_count, tenebra_error *error);

/* Adds the module that the model's directory has of this method, else a new one, if the method has any. Errors: as tn_module_read,
 * those of the method, MISMATCH (the directory has another's). */
tenebra_code tn_modules_train(tn_model *model, const tn_method *method, const tenebra_setting *settings, size_t setting_count,
                              uint64_t seed, tenebra_error *error);

/* Whether the model has what the method computes with. Errors: ARGUMENT. */
tenebra_code tn_modules_check(const tn_model *model, const tn_method *method, tenebra_error *error);

#endif
