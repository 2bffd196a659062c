#include "model/networks.h"

#include <stdlib.h>
#include <string.h>

void tn_decoder_sizes(const tn_decoder_config *config, size_t sizes[TN_LAYOUT_SIZES])
{
    sizes[TN_DECODER_HIDDEN] = config->hidden_size;
    sizes[TN_DECODER_QUERY] = config->num_attention_heads * config->head_dim;
    sizes[TN_DECODER_KEY] = config->num_key_value_heads * config->head_dim;
    sizes[TN_DECODER_HEADS] = config->num_attention_heads;
    sizes[TN_DECODER_KEY_HEADS] = config->num_key_value_heads;
    sizes[TN_DECODER_HEAD] = config->head_dim;
    sizes[TN_DECODER_INTERMEDIATE] = config->intermediate_size;
    sizes[TN_DECODER_LAYERS] = config->num_hidden_layers;
}

tenebra_code tn_networks_open(tn_networks *networks, const tn_backbone *backbone, const tn_model_config *config, tn_decoder *decoder,
                              tenebra_error *error)
{
    *networks = (tn_networks){ .backbone = backbone, .tied = config->tie_word_embeddings, .list = { &decoder->network }, .count = 1 };
    *decoder = (tn_decoder){ .network.layout = backbone->decoder, .config = config->decoder, .never = config->vision.ids,
                             .never_count = config->vision.code_count };
    tn_decoder_sizes(&config->decoder, decoder->network.sizes);
    TN_TRY(tn_network_open(&decoder->network, error));
    return tn_networks_add(networks, backbone->encoder->layout, config->vision.sizes, config->vision.numbers, error);
}

tenebra_code tn_networks_add(tn_networks *networks, const tn_layout *layout, const size_t *sizes, const double *numbers,
                             tenebra_error *error)
{
    tn_network *network = calloc(1, layout->bytes);
    if (network == NULL)
        return tn_fail(error, TENEBRA_ERROR_MEMORY, NULL, "no memory for a network");
    network->layout = layout;
    memcpy(network->sizes, sizes, sizeof network->sizes);
    memcpy(network->numbers, numbers, sizeof network->numbers);
    networks->list[networks->count++] = network;
    return tn_network_open(network, error);
}

void tn_networks_close(tn_networks *networks)
{
    for (size_t i = 0; i < networks->count; i++) {
        tn_network_close(networks->list[i]);
        if (i > 0) /* the caller owns the decoder */
            free(networks->list[i]);
    }
    networks->count = 0;
}

tn_network *tn_networks_find(const tn_networks *networks, tn_network_kind kind)
{
    for (size_t i = 0; i < networks->count; i++)
        if (networks->list[i]->layout->kind == kind)
            return networks->list[i];
    return NULL;
}

tn_encoded tn_networks_encode(tn_ops *ops, const tn_networks *networks, const tn_prepared *const *pictures, size_t count)
{
    return networks->backbone->encoder->encode(ops, tn_networks_find(networks, TN_NETWORK_IMAGES), pictures, count);
}

size_t tn_encoder_size(const tn_image_encoder *encoder, const tn_encoder_config *config, const char *name)
{
    size_t size = 0;
    for (const tn_size_name *each = encoder->names; each->name != NULL; each++)
        if (strcmp(each->name, name) == 0)
            size = config->sizes[each->size];
    return size;
}

tenebra_code tn_networks_each(const tn_networks *networks, tn_place_fn *visit, void *user, tenebra_error *error)
{
    for (size_t i = 0; i < networks->count; i++)
        TN_TRY(tn_network_each(networks->list[i], visit, user, error));
    return TENEBRA_OK;
}

bool tn_networks_rename(const tn_networks *networks, const char *name, size_t length, size_t to, char other[TN_PLACE_NAME],
                        size_t *from)
{
    bool found = false;
    for (size_t i = 0; i < networks->count && !found; i++)
        found = tn_layout_rename(networks->list[i]->layout, name, length, to, other, from);
    return found;
}
