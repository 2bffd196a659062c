/* Modules of methods (model/module.h): finds and opens the module of a method. */
#ifndef TN_REASON_MODULES_H
#define TN_REASON_MODULES_H

#include "reason/denoise.h"
#include "reason/method.h"

/* Adds the module of the last adapter that has one, else that of the model's directory; there may be none. Errors: as
 * tn_module_read. */
tenebra_code tn_modules_read(tn_model *model, const tenebra_adapter *adapters, size_t adapter_count, tenebra_error *error);

/* Adds this method's module from the model's directory, else a new one, if the method has modules. Errors: as tn_module_read,
 * those of the method, MISMATCH (the directory has another's). */
tenebra_code tn_modules_train(tn_model *model, const tn_method *method, const tenebra_setting *settings, size_t setting_count,
                              uint64_t seed, tenebra_error *error);

/* The denoiser in the method's module of the model; without sizes if there is none (tn_denoiser_is_present). */
tn_denoiser tn_modules_denoiser(const tn_model *model, const tn_method *method);

/* Whether the model has what the method computes with. Errors: ARGUMENT. */
tenebra_code tn_modules_check(const tn_model *model, const tn_method *method, tenebra_error *error);

#endif
