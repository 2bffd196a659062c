/* A method's module: a network that belongs to a method, stored in the directory of a model or of an adapter.
 * 
 * The file TN_WRITER_MODULE has its tensors. module.json has the method, and the sizes and other numbers of the network in the
 * order of its layout, the sizes from TN_MODULE_HIDDEN on: { "method": NAME, "sizes": [...], "numbers": [...] }.
 * 
 * The names of its tensors begin with "module.", so they differ from those of every model. Once it is in the model's list of
 * networks, training, checkpoints and digests treat it like the others. */
#ifndef TN_MODEL_MODULE_H
#define TN_MODEL_MODULE_H

#include "model/model.h"
#include "model/parameters.h"

/* The first size of every module: the width of the decoder's rows, which is set here. */
enum { TN_MODULE_HIDDEN = TN_SIZE_OWN };

typedef struct tn_module_shape {
    size_t sizes[TN_LAYOUT_SIZES];
    double numbers[TN_LAYOUT_NUMBERS];
} tn_module_shape;

/* Adds a new module: matrices normal with variance 1 / inputs, scales 1, other vectors 0. Errors: MEMORY. */
tenebra_code tn_module_make(tn_model *model, const char *method, const tn_layout *layout, const tn_module_shape *shape, uint64_t seed,
                            tenebra_error *error);

/* What is known of the modules of a method: the layout, and a check of sizes and numbers from a file, which must fit each other before
 * tensors are read and the forward runs (Errors: FORMAT, in `where`; NULL: any are valid). */
typedef tenebra_code tn_module_check_fn(const tn_module_shape *shape, const char *where, tenebra_error *error);
typedef struct tn_module_kind {
    const tn_layout *layout; /* NULL: the method has no modules, or is unknown */
    tn_module_check_fn *check;
} tn_module_kind;

typedef tn_module_kind tn_module_kind_fn(const char *method);

/* Adds the module of a directory; does nothing if there is none. Errors: IO, FORMAT (damaged), UNSUPPORTED (an unknown method),
 * MISMATCH (made for another model; tensors), MEMORY. */
tenebra_code tn_module_read(tn_model *model, const char *directory, tn_module_kind_fn *kind_of, tenebra_error *error);

/* Writes the files; trained tensors have the values of `parameters`. Errors: IO, MEMORY. */
tenebra_code tn_module_write(const tn_model *model, const tn_parameters *parameters, const char *directory, tenebra_error *error);

/* The module of this method, or NULL. */
const tn_network *tn_module_of(const tn_model *model, const char *method);

#endif
