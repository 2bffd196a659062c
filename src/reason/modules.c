#include "reason/modules.h"

static tn_module_kind kind_of(const char *name)
{
    const tn_method *method = tn_method_find(name);
    return method != NULL ? (tn_module_kind){ method->module, method->check_module } : (tn_module_kind){ 0 };
}

tenebra_code tn_modules_read(tn_model *model, const tenebra_adapter *adapters, size_t adapter_count, tenebra_error *error)
{
    for (size_t i = adapter_count; i > 0 && model->module_method == NULL; i--)
        TN_TRY(tn_module_read(model, adapters[i - 1].directory, kind_of, error));
    return model->module_method != NULL ? TENEBRA_OK : tn_module_read(model, model->directory, kind_of, error);
}

tn_denoiser tn_modules_denoiser(const tn_model *model, const tn_method *method)
{
    const tn_network *module = tn_module_of(model, method->name);
    return method->denoiser != NULL && module != NULL ? method->denoiser(module) : (tn_denoiser){ 0 };
}

tenebra_code tn_modules_check(const tn_model *model, const tn_method *method, tenebra_error *error)
{
    if (method->module == NULL || tn_module_of(model, method->name) != NULL)
        return TENEBRA_OK;
    return tn_fail(error, TENEBRA_ERROR_ARGUMENT, "method", "%s computes with a module of its own, and neither the model %s nor an "
                   "adapter on it has one; train it first", method->name, model->directory);
}

tenebra_code tn_modules_train(tn_model *model, const tn_method *method, const tenebra_setting *settings, size_t setting_count,
                              uint64_t seed, tenebra_error *error)
{
    tn_module_shape shape = { 0 };
    if (method->module == NULL)
        return TENEBRA_OK;
    TN_TRY(tn_modules_read(model, NULL, 0, error));
    if (model->module_method != NULL)
        return tn_modules_check(model, method, error);
    shape.sizes[TN_MODULE_HIDDEN] = model->config.decoder.hidden_size;
    TN_TRY(method->shape_module(settings, setting_count, &shape, error));
    TN_TRY(tn_module_make(model, method->name, method->module, &shape, seed, error));
    if (method->start_module != NULL)
        method->start_module(tn_networks_find(&model->networks, TN_NETWORK_MODULE), model);
    return TENEBRA_OK;
}
