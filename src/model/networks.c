#include "model/networks.h"

static void size_decoder(const tn_decoder_config *config, size_t *sizes)
{
    sizes[TN_DECODER_HIDDEN] = config->hidden_size;
    sizes[TN_DECODER_QUERY] = config->num_attention_heads * config->head_dim;
    sizes[TN_DECODER_KEY] = config->num_key_value_heads * config->head_dim;
    sizes[TN_DECODER_INTERMEDIATE] = config->intermediate_size;
    sizes[TN_DECODER_LAYERS] = config->num_hidden_layers;
}

static void size_vision(const tn_model_config *config, size_t *sizes)
{
    const tn_vision_config *vision = &config->vision;
    sizes[TN_VISION_WIDTH] = vision->embed_dim;
    sizes[TN_VISION_MLP] = vision->mlp_dim;
    sizes[TN_VISION_CHANNELS] = config->channels;
    sizes[TN_VISION_FRAMES] = config->temporal_patch_size;
    sizes[TN_VISION_SIDE] = config->patch_size;
    sizes[TN_VISION_AREA] = vision->spatial_merge_size * vision->spatial_merge_size;
    sizes[TN_VISION_MERGED] = vision->embed_dim * sizes[TN_VISION_AREA];
    sizes[TN_VISION_HIDDEN] = vision->hidden_size;
    sizes[TN_VISION_DEPTH] = vision->depth;
}

tenebra_code tn_networks_open(tn_networks *networks, const tn_backbone *backbone, const tn_model_config *config, tn_decoder *decoder,
                              tn_vision *vision, tenebra_error *error)
{
    *networks = (tn_networks){ .backbone = backbone, .tied = config->tie_word_embeddings,
                               .list = { &decoder->network, &vision->network }, .count = 2 };
    *decoder = (tn_decoder){ .network.layout = backbone->decoder, .config = config->decoder };
    *vision = (tn_vision){ .network.layout = backbone->vision, .config = config->vision };
    size_decoder(&config->decoder, decoder->network.sizes);
    size_vision(config, vision->network.sizes);
    TN_TRY(tn_network_open(&decoder->network, error));
    return tn_network_open(&vision->network, error);
}

void tn_networks_close(tn_networks *networks)
{
    for (size_t i = 0; i < networks->count; i++)
        tn_network_close(networks->list[i]);
    networks->count = 0;
}

tenebra_code tn_networks_each(const tn_networks *networks, tn_place_fn *visit, void *user, tenebra_error *error)
{
    for (size_t i = 0; i < networks->count; i++)
        TN_TRY(tn_network_each(networks->list[i], visit, user, error));
    return TENEBRA_OK;
}
