/* An estimate of the memory that a batch of training examples takes. */
#include "reason/training_parts.h"

/* The numbers that a recorded forward keeps for one row of the input of a network: inputs and results of its matrices, and of
 * its norms. */
static tenebra_code add_place(void *user, const tn_place *place, tenebra_error *error)
{
    double *kept = user;
    (void)error;
    if (place->network->layout->kind == TN_NETWORK_IMAGES && tn_place_is_matrix(place))
        *kept += (double)(place->rows + place->cols) / (double)tn_place_pool(place);
    else if (place->network->layout->kind == TN_NETWORK_IMAGES && place->row->role == TN_ROLE_SCALE)
        *kept += (double)place->cols;
    return TENEBRA_OK;
}

size_t tn_training_cost(const tn_training *training, const tn_train_example *const *examples, size_t count)
{
    const tn_model *model = training->model;
    const tn_decoder_config *d = &model->config.decoder;
    double rows = 0, labels = 0, input = 0, values = 0, tower = 0;
    for (size_t i = 0; i < count; i++) {
        rows += (double)examples[i]->rows;
        labels += (double)examples[i]->label_count;
        input += (double)tn_train_example_prepared(examples[i], 0);
        if (training->options.through_picks) /* otherwise they are not recorded */
            input += (double)tn_train_example_prepared(examples[i], 1);
        for (size_t p = 0; p < examples[i]->picture_count + examples[i]->look_count; p++)
            values += (double)examples[i]->prepared[p].rows * (double)examples[i]->prepared[p].columns;
    }
    double query = (double)(d->num_attention_heads * d->head_dim), key = (double)(d->num_key_value_heads * d->head_dim);
    double hidden = (double)d->hidden_size, inner = (double)d->intermediate_size;
    /* Values with gradients of one row in one layer: two norms and two sums; q and its rotated copy, k likewise, v;
     * the mixed heads twice (alone and joined); the output; gate, its product, up, down. */
    double layer = 2 * (6 * hidden + 4 * query + 3 * key + 3 * inner), cache = 4 * key;
    double layers = (double)d->num_hidden_layers;
    double kept = training->options.checkpoint ? layers * (2 * hidden + cache) + layer : layers * (layer + cache);
    if (tn_network_is_trained(tn_networks_find(&model->networks, TN_NETWORK_IMAGES), TN_ANY, 0))
        tn_networks_each(&model->networks, add_place, &tower, NULL);
    double head = 2 * labels * ((double)model->decoder.head.matrix.rows + 2 * hidden);
    return (size_t)(sizeof(tn_real) * (rows * kept + 2 * input * tower + values + head));
}
