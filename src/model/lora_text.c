/* The tokenizer that PEFT saves with an adapter if tokens were added. The model's own tokenizer is used; this file
 * compares the two, so that a user notices tokens that the adapter was not trained on. */
#include "model/lora_parts.h"

#include "base/checked.h"
#include "text/tokenizer.h"

#include <stdio.h>
#include <string.h>

/* True if an id is the same token in both. */
static bool is_same(const tn_tokenizer *a, const tn_tokenizer *b, int32_t id)
{
    size_t a_length, b_length;
    const char *one = tn_tokenizer_bytes(a, id, &a_length), *other = tn_tokenizer_bytes(b, id, &b_length);
    if (one == NULL || other == NULL)
        return one == other;
    return a_length == b_length && memcmp(one, other, a_length) == 0 && tn_tokenizer_is_added(a, id) == tn_tokenizer_is_added(b, id);
}

static tenebra_code compare(tn_adapter *adapter, const tn_tokenizer *theirs, const char *directory, tenebra_error *error)
{
    const tn_tokenizer *own = adapter->model->tokenizer;
    size_t size = tn_tokenizer_size(theirs), rows = tn_model_vocabulary(adapter->model), different = 0;
    char names[160] = "", name[40];
    if (size > rows)
        return tn_fail(error, TENEBRA_ERROR_MISMATCH, directory, "has a tokenizer of %zu tokens, but the embedding has %zu rows: the "
                       "adapter is for a model to which tokens were added", size, rows);
    for (size_t id = 0; id < tn_max(size, tn_tokenizer_size(own)); id++) {
        size_t length;
        if (is_same(own, theirs, (int32_t)id))
            continue;
        const char *bytes = tn_tokenizer_bytes(theirs, (int32_t)id, &length);
        snprintf(name, sizeof name, "%zu (%.*s)", id, (int)tn_min(length, 24), bytes != NULL ? bytes : "");
        tn_lora_list_add(names, sizeof names, &different, name);
    }
    if (different > 0)
        tn_adapter_note(adapter, "its tokenizer is not used, and differs from the model's in the tokens %s", names);
    return TENEBRA_OK;
}

tenebra_code tn_adapter_check_tokenizer(tn_adapter *adapter, const char *directory, tenebra_error *error)
{
    if (adapter->model->tokenizer == NULL || !tn_tokenizer_is_in(directory))
        return TENEBRA_OK;
    tenebra_error problem = { 0 };
    tn_tokenizer *theirs;
    tenebra_code code = tn_tokenizer_open(directory, &theirs, &problem);
    if (code == TENEBRA_ERROR_MEMORY)
        return tn_fail(error, code, problem.where, "%s", problem.sentence);
    if (code != TENEBRA_OK) { /* an unknown kind is not an error, because the model's own is used */
        tn_adapter_note(adapter, "its tokenizer is neither used nor compared: %s", problem.sentence);
        return TENEBRA_OK;
    }
    code = compare(adapter, theirs, directory, error);
    tn_tokenizer_close(theirs);
    return code;
}
